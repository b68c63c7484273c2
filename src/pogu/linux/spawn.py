"""Edge: starting programs by posix_spawn and waiting for any process by a pidfd.

asyncio's own subprocesses cost 3 to 5 ms each (a thread to watch each child); these cost 1.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pogu.crash_point import crash_point
from pogu.linux.blocking import in_own_thread
from pogu.linux.libc import last_error, libc

__all__ = [
    "adopt",
    "expect_orphan",
    "is_awaited",
    "reap",
    "spawn",
    "spawn_in",
    "wait_child",
    "wait_pidfd",
]

_RESET = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
"""What our own parent ignored (nohup, a shell's `&`) is not for a container to inherit."""

_CLONE_FS = 0x200

_AWAITED: set[int] = set()
"""Children that whoever started them will reap."""

_expected = 0
"""How many programs may soon leave us a child whose pid we are not told yet."""


def spawn(
    argv: Sequence[str],
    *,
    stdin: int,
    stdout: int,
    stderr: int,
    pass_fds: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
    new_session: bool = False,
) -> int:
    """Start `argv` (looked up on PATH) and return its pid; the caller waits for it.

    `pass_fds` keep their numbers in the child. Raises: OSError when the program is missing.
    """
    actions: list[tuple[int, int, int]] = [
        (os.POSIX_SPAWN_DUP2, stdin, 0),
        (os.POSIX_SPAWN_DUP2, stdout, 1),
        (os.POSIX_SPAWN_DUP2, stderr, 2),
        *((os.POSIX_SPAWN_DUP2, fd, fd) for fd in pass_fds),
    ]

    crash_point()
    pid = os.posix_spawnp(
        argv[0],
        list(argv),
        dict(os.environ if env is None else env),
        file_actions=actions,
        setsigdef=_RESET,
        setsigmask=[],
        setsid=new_session,
    )
    _AWAITED.add(pid)
    crash_point()
    return pid


async def spawn_in(directory: Path, start: Callable[[], int]) -> int:
    """Call `start`, a `spawn`, in a thread that works in `directory`; return the pid.

    The other threads stay where they are, and the loop does not wait for the kernel to load the
    program. A cancelled call kills the child. Raises: OSError as `spawn`.
    """

    def body() -> int:
        if libc.unshare(_CLONE_FS) < 0:
            raise last_error("unshare(CLONE_FS)")
        os.chdir(directory)
        return start()

    starting = asyncio.ensure_future(in_own_thread(body))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        pid = await starting
        os.kill(pid, signal.SIGKILL)
        reap(pid)
        raise


def is_awaited(pid: int) -> bool:
    """True for a child that `spawn` made, or that was adopted, and nobody has reaped yet.

    While an orphan is expected every child may be it.
    """
    return _expected > 0 or pid in _AWAITED


def expect_orphan() -> None:
    """A program is about to leave us its child: `adopt` must follow."""
    global _expected
    _expected += 1


def adopt(pid: int) -> None:
    """Take over the child that was expected; 0 = there is none after all. The caller reaps it."""
    global _expected
    _expected -= 1
    if pid:
        _AWAITED.add(pid)


def reap(pid: int) -> int:
    """Wait for a child's end; return its exit code, negative for a signal.

    Raises: ChildProcessError when it was reaped before.
    """
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        _AWAITED.discard(pid)


async def wait_pidfd(pid: int) -> None:
    """Return when the process has ended, child or not; at once when it is gone already."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(fd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


async def wait_child(pid: int) -> int:
    """Wait for a child and reap it; return its exit code, negative for a signal.

    A cancelled wait kills the child first, so that none is left unreaped.
    """
    try:
        await wait_pidfd(pid)
    except asyncio.CancelledError:
        os.kill(pid, signal.SIGKILL)
        reap(pid)
        raise
    return reap(pid)
