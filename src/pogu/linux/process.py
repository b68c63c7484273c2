"""Edge: the one way to run a program.

A pure function builds the argv, so that tests read `assert create_argv(…) == ["crun", …]`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pogu.errors import CommandFailed, SystemFailure
from pogu.host_failure import host_failure
from pogu.linux.spawn import reap, spawn, wait_child

__all__ = ["Completed", "not_executed", "read_some", "ready", "run", "write_all"]

log = logging.getLogger(__name__)


def not_executed(program: str, err: OSError) -> Exception:
    """The error for a program that the host lacks or cannot execute; else `err` itself."""
    if isinstance(err, FileNotFoundError):
        return SystemFailure(
            f"{program}: program not found", hint=f"install it; `pogu doctor` says how ({program})"
        )
    if isinstance(err, PermissionError) or err.errno == errno.ENOEXEC:
        return SystemFailure(
            f"{program}: {os.strerror(err.errno or 0).lower()}",
            hint="this program of the host is damaged: install it again; `pogu doctor` says how",
        )
    return host_failure(err, program) or err


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a finished program left: its exit code and everything it wrote."""

    exit_code: int
    stdout: bytes
    stderr: bytes


async def run(
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
    timeout_s: float | None = None,
    check: bool = True,
) -> Completed:
    """Run `argv` to its end and return what it wrote.

    The program is killed when the awaiting task is cancelled or `timeout_s` has passed.

    Raises: CommandFailed on a non-zero exit when `check`; SystemFailure when the program is
    missing or the time is over.
    """
    log.debug("run command=%s", shlex.join(argv))
    words = ["env", "-C", str(cwd), *argv] if cwd is not None else list(argv)
    with _Pipes(feeds_stdin=stdin is not None) as pipes:
        try:
            pid = spawn(
                words,
                stdin=pipes.child_stdin,
                stdout=pipes.child_stdout,
                stderr=pipes.child_stderr,
                pass_fds=pass_fds,
                env=env,
            )
        except OSError as err:
            raise not_executed(argv[0], err) from err
        pipes.close_child_ends()
        talk = asyncio.gather(pipes.collect(1), pipes.collect(2), pipes.feed(stdin or b""))
        try:
            async with asyncio.timeout(timeout_s):
                stdout, stderr, _ = await talk
                exit_code = await wait_child(pid)
        except TimeoutError as err:
            _kill_and_reap(pid)
            raise SystemFailure(f"{argv[0]} did not end within {timeout_s} s") from err
        except asyncio.CancelledError:
            _kill_and_reap(pid)
            raise
        finally:
            talk.cancel()
    if check and exit_code != 0:
        raise CommandFailed(argv, exit_code, stderr.decode(errors="replace"))
    return Completed(exit_code=exit_code, stdout=stdout, stderr=stderr)


def _kill_and_reap(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        reap(pid)
    except (ProcessLookupError, ChildProcessError):
        return  # wait_child was first


class _Pipes:
    """Standard streams of one child: our ends are read and fed by the event loop."""

    def __init__(self, *, feeds_stdin: bool) -> None:
        self._in = self._out = self._err = -1
        self.child_stdin = self.child_stdout = self.child_stderr = -1
        try:
            if feeds_stdin:
                self.child_stdin, self._in = os.pipe()
            else:
                self.child_stdin = os.open(os.devnull, os.O_RDONLY)
            self._out, self.child_stdout = os.pipe()
            self._err, self.child_stderr = os.pipe()
        except OSError:  # no descriptor is left
            self.__exit__()
            raise

    def __enter__(self) -> _Pipes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_child_ends()
        for fd in (self._in, self._out, self._err):
            if fd >= 0:
                os.close(fd)

    def close_child_ends(self) -> None:
        """Close what only the child needs. Idempotent."""
        for fd in (self.child_stdin, self.child_stdout, self.child_stderr):
            if fd >= 0:
                os.close(fd)
        self.child_stdin = self.child_stdout = self.child_stderr = -1

    async def collect(self, which: int) -> bytes:
        """Read one output to its end."""
        fd = self._out if which == 1 else self._err
        parts = []
        while data := await read_some(fd):
            parts.append(data)
        return b"".join(parts)

    async def feed(self, data: bytes) -> None:
        """Write `data` to the child's input and close it; a child that ends early is no error."""
        if self._in < 0:
            return
        try:
            await write_all(self._in, data)
        except BrokenPipeError:
            pass
        finally:
            os.close(self._in)
            self._in = -1


async def read_some(fd: int, size: int = 1 << 16) -> bytes:
    """Read what a pipe holds, waiting for something; empty at its end."""
    os.set_blocking(fd, False)
    while True:
        try:
            return os.read(fd, size)
        except BlockingIOError:
            await ready(fd, write=False)


async def write_all(fd: int, data: bytes) -> None:
    """Write everything to a pipe or terminal, waiting for room. Raises: OSError (BrokenPipe…)."""
    os.set_blocking(fd, False)
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await ready(fd, write=True)


async def ready(fd: int, *, write: bool) -> None:
    """Return when there is something to read, or room to write, or an end."""
    loop = asyncio.get_running_loop()
    is_ready = asyncio.Event()
    add, remove = (
        (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
    )
    add(fd, is_ready.set)
    try:
        await is_ready.wait()
    finally:
        remove(fd)
