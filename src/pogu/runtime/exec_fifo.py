"""Edge: lets a created process go on as the runtime's `start` does, without a start of the runtime.

crun and runc leave `exec.fifo` in the container's state directory. The process of crun reads a byte
from it (libcrun/status.c), that of runc writes one and waits for a reader
(libcontainer/container_linux.go); as long as the file is there, the state is `created`.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from pogu.crash_point import crash_point
from pogu.linux.process import ready
from pogu.linux.spawn import wait_pidfd

__all__ = ["let_go"]

_FIFO = "exec.fifo"


async def let_go(runtime: str, state: Path, pid: int) -> bool:
    """Let the process `pid`, made by crun or runc, execute its program; `state` is its directory.

    False when that is left to the runtime: it knows another way, or the process has ended. An
    engine that is killed in the middle leaves a process that runs and a state of `created`.
    """
    take = {"crun": _tell, "runc": _hear}.get(runtime)
    if take is None or not await take(state / _FIFO, pid):
        return False
    crash_point()
    (state / _FIFO).unlink(missing_ok=True)
    crash_point()
    return True


async def _tell(fifo: Path, _pid: int) -> bool:
    try:
        fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # ENOENT, or ENXIO: nobody reads any more
        return False
    try:
        return os.write(fd, b"\0") == 1
    except OSError:
        return False
    finally:
        os.close(fd)


async def _hear(fifo: Path, pid: int) -> bool:
    try:
        fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    heard = asyncio.ensure_future(_byte(fd))
    ended = asyncio.ensure_future(wait_pidfd(pid))
    try:
        await asyncio.wait((heard, ended), return_when=asyncio.FIRST_COMPLETED)
        return heard.done() or _has_byte(fd)  # it may have ended after it wrote
    finally:
        for task in (heard, ended):
            task.cancel()
        await asyncio.gather(heard, ended, return_exceptions=True)
        os.close(fd)


async def _byte(fd: int) -> None:
    """Return when a byte was read; before the process opens its end there is an end of file."""
    while not _has_byte(fd):
        await ready(fd, write=False)


def _has_byte(fd: int) -> bool:
    try:
        return bool(os.read(fd, 1))
    except BlockingIOError:
        return False
