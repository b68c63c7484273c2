"""Edge: one output of a process (a pipe or a terminal), read to its end and handed on."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
import termios
from collections.abc import Awaitable, Callable, Collection

from pogu.linux.process import read_some

__all__ = ["Outlet", "deliver"]

_LATE_OUTPUT_S = 0.2
"""How long output is waited for that children write after the process has ended."""


class Outlet:
    """Reads only as fast as what it read is taken; owns its descriptor."""

    def __init__(self, fd: int, stream: int) -> None:
        self._fd = fd
        self._stream = stream
        self._read_bytes = 0
        self._handed_bytes = 0
        self._task: asyncio.Task[None] | None = None

    def begin(self, take: Callable[[int, bytes], Awaitable[None]]) -> None:
        """Read in a task of its own until nobody can write any more."""
        self._task = asyncio.create_task(self._pump(take))

    async def _pump(self, take: Callable[[int, bytes], Awaitable[None]]) -> None:
        try:
            while data := await _read(self._fd):
                self._read_bytes += len(data)
                await take(self._stream, data)
                self._handed_bytes = self._read_bytes
        finally:
            os.close(self._fd)

    @property
    def ended(self) -> bool:
        return self._task is None or self._task.done()

    async def wait(self, timeout_s: float) -> None:
        """Return at its end, or when the time is over."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=timeout_s)

    def total_bytes(self) -> int:
        """What was read, and what waits to be."""
        if self.ended:
            return self._read_bytes
        waiting = bytearray(4)
        fcntl.ioctl(self._fd, termios.FIONREAD, waiting)
        return self._read_bytes + int(struct.unpack("i", waiting)[0])

    def has_handed(self, total_bytes: int) -> bool:
        return self.ended or self._handed_bytes >= total_bytes

    def stop(self) -> None:
        """Read no more, and close. Idempotent."""
        if self._task is not None:
            self._task.cancel()
        elif self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


async def deliver(outlets: Collection[Outlet]) -> None:
    """After the process's end: return when all it wrote was taken, however slowly that goes.

    A child that it left behind may hold the pipes open: its output is waited for a moment only.
    """
    owed = [(outlet, outlet.total_bytes()) for outlet in outlets]
    deadline = asyncio.get_running_loop().time() + _LATE_OUTPUT_S
    for outlet, total_bytes in owed:
        while not outlet.ended:
            late = asyncio.get_running_loop().time() >= deadline
            if late and outlet.has_handed(total_bytes):
                break
            await outlet.wait(0.02)


async def _read(fd: int) -> bytes:
    """A terminal without processes says EIO instead of ending."""
    try:
        return await read_some(fd)
    except OSError as err:
        if err.errno != errno.EIO:
            raise
        return b""
