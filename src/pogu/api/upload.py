"""Edge: a request's body as a file for code that runs in a thread.

Bytes go through a pipe, so a client that is slow or goes away never fills memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO

from pogu.api.call import Call
from pogu.linux.process import write_all

__all__ = ["Body", "body", "body_file"]

_PIPE_BYTES = 1 << 20


class Body:
    """A body on its way: `file` blocks until it comes."""

    def __init__(self, call: Call) -> None:
        read_fd, self._fd = os.pipe()
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_blocking(self._fd, False)
        self.file: BinaryIO = os.fdopen(read_fd, "rb")
        self._waits_since: float | None = None
        self._feeder = asyncio.create_task(self._feed(call))

    @property
    def idle_s(self) -> float:
        """How long the client has been waited for."""
        return time.monotonic() - self._waits_since if self._waits_since else 0.0

    def cut(self) -> None:
        """End the file, whatever is still to come. Idempotent."""
        self._feeder.cancel()

    async def close(self) -> None:
        self.cut()
        await asyncio.gather(self._feeder, return_exceptions=True)
        self._end()  # a feeder that never began
        self.file.close()

    def _end(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def _feed(self, call: Call) -> None:
        pieces = aiter(call.http.content.iter_any())
        try:
            while True:
                self._waits_since = time.monotonic()
                piece = await anext(pieces, b"")
                self._waits_since = None
                if not piece:
                    return
                await write_all(self._fd, piece)
        except BrokenPipeError:
            async for _ in pieces:
                pass  # the reader has had enough: let the client finish
        finally:
            self._end()


@asynccontextmanager
async def body(call: Call) -> AsyncIterator[Body]:
    """Give the body as it arrives."""
    arriving = Body(call)
    try:
        yield arriving
    finally:
        await arriving.close()


@asynccontextmanager
async def body_file(call: Call) -> AsyncIterator[BinaryIO]:
    """Give a blocking file that reads the body as it arrives."""
    async with body(call) as arriving:
        yield arriving.file
