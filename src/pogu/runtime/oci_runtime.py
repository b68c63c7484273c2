"""Edge: crun or runc, whichever works on this host (crun first). Pure argv builders, async calls.

Probing runs a real container once per boot and remembers the answer under `<run_root>`.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from pogu.config import Config
from pogu.runtime.workload import UserIds, Workload

__all__ = ["OciRuntime", "RuntimeState", "choose_runtime", "resolve_user", "write_bundle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeState:
    """runtime-spec "State": `created`, `running`, `stopped` (`paused` is the runtimes' own)."""

    id: str
    status: str
    pid: int


def resolve_user(rootfs: Path, user: str, *, group_add: tuple[str, ...] = ()) -> UserIds:
    """Resolve Docker's `user[:group]` against the root file system's passwd and group files.

    Never follows a link out of `rootfs`. Raises: InvalidParameter in Docker's words ("unable to
    find user x: no matching entries in passwd file").
    """
    raise NotImplementedError


def write_bundle(bundle: Path, workload: Workload) -> list[str]:
    """Write `bundle/config.json`; return warnings (a clamped rlimit, a limit the kernel lacks)."""
    raise NotImplementedError


async def choose_runtime(config: Config) -> OciRuntime:
    """Return the first runtime that runs a probe container. Raises: SystemFailure with a hint."""
    raise NotImplementedError


class OciRuntime:
    """One runtime binary with its state directory `<run_root>/runtime`."""

    def __init__(self, binary: Path, state_root: Path) -> None:
        self.binary = binary
        self.state_root = state_root

    @property
    def name(self) -> str:
        return self.binary.name

    async def version(self) -> str:
        raise NotImplementedError

    async def start(self, container_id: str) -> None:
        """Start what `create` (by conmon) made. Raises: EngineError in Docker's words: 126/127
        causes keep "permission denied" / "executable file not found in $PATH".
        """
        raise NotImplementedError

    async def kill(self, container_id: str, signal_number: signal.Signals | int) -> None:
        """Raises: NotFound when it does not run any more."""
        raise NotImplementedError

    async def delete(self, container_id: str, *, force: bool = False) -> None:
        """Idempotent."""
        raise NotImplementedError

    async def list(self) -> list[RuntimeState]:
        raise NotImplementedError

    async def run_attached(
        self,
        container_id: str,
        bundle: Path,
        output: Callable[[int, bytes], Awaitable[None]],
    ) -> int:
        """Run a bundle to its end without conmon; hand over output live (1 out, 2 err).

        For RUN steps. Cancelling kills it and deletes it. Returns the exit code (128+n for a
        signal). The container is gone afterwards.
        """
        raise NotImplementedError
