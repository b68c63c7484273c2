"""Edge: conmon, one per container: keeps stdio, log and exit code; outlives the engine.

<run_root>/containers/<id>/   attach (unix seqpacket), ctl (fifo), pidfile, conmon.pid
<run_root>/exits/<id>         exit code, written after everything was logged
<root>/containers/<id>/ctr.log   k8s-file format: time, stream, P|F, text
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from pogu.config import Config
from pogu.runtime.oci_runtime import OciRuntime

__all__ = ["AttachStream", "Conmon", "Monitored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """A created (not yet started) process under a conmon."""

    container_id: str
    pid: int
    conmon_pid: int


class AttachStream:
    """One attachment to a container's stdio; many may exist at once."""

    def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (1 stdout | 2 stderr, bytes) until the container's output ends."""
        raise NotImplementedError

    async def write(self, data: bytes) -> None:
        """Feed stdin."""
        raise NotImplementedError

    async def close_stdin(self) -> None:
        """End of file for the process (half-close). Idempotent."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Idempotent; the container goes on."""
        raise NotImplementedError


class Conmon:
    """Starts monitors and talks to them."""

    def __init__(self, config: Config, runtime: OciRuntime) -> None:
        raise NotImplementedError

    async def create(
        self,
        container_id: str,
        bundle: Path,
        *,
        terminal: bool,
        stdin: bool,
        stdin_once: bool,
        log_path: Path | None,
        log_max_bytes: int = 0,
    ) -> Monitored:
        """Run conmon and the runtime's `create`; return when the process exists, not started.

        `log_path` None = no log; `log_max_bytes` is conmon's own last-resort bound (0 = none).
        Raises: EngineError with the runtime's cause in Docker's words (see OciRuntime.start); a
        failed create leaves nothing behind.
        """
        raise NotImplementedError

    async def attach(self, container_id: str, *, stdin: bool = True) -> AttachStream:
        """Connect to the attach socket. Works before start, so no byte is missed."""
        raise NotImplementedError

    async def resize(self, container_id: str, *, height: int, width: int) -> None:
        """Set the terminal's size. Silent when the container has just ended."""
        raise NotImplementedError

    async def reopen_log(self, container_id: str) -> None:
        """Make conmon open the log path anew (after a rename by rotation)."""
        raise NotImplementedError

    def is_alive(self, conmon_pid: int, container_id: str) -> bool:
        """True when that pid is still this container's conmon (pids are reused)."""
        raise NotImplementedError

    async def wait(self, conmon_pid: int, container_id: str) -> int | None:
        """Wait for the container's end and return its exit code.

        Uses a pidfd of conmon, which works for adopted containers too; None when conmon died
        without saying. All output is in the log by then.
        """
        raise NotImplementedError

    def exit_code(self, container_id: str) -> int | None:
        """Return the recorded exit code, None when there is none (yet)."""
        raise NotImplementedError

    def oom_killed(self, container_id: str) -> bool:
        """True when conmon saw an OOM kill (file `oom` in the bundle's persist directory)."""
        raise NotImplementedError

    def forget(self, container_id: str) -> None:
        """Remove the monitor's files of a container that ended. Idempotent."""
        raise NotImplementedError
