"""Edge: a request's body as a file for code that runs in a thread.

Bytes go through a pipe, so a client that is slow or goes away never fills memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO

from pogu.api.call import Call

__all__ = ["body_file"]

_PIPE_BYTES = 1 << 20


@asynccontextmanager
async def body_file(call: Call) -> AsyncIterator[BinaryIO]:
    """Give a blocking file that reads the body as it arrives."""
    read_fd, write_fd = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    os.set_blocking(write_fd, False)
    feeder = asyncio.create_task(_feed(call, write_fd))
    file = os.fdopen(read_fd, "rb")
    try:
        yield file
    finally:
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)
        file.close()


async def _feed(call: Call, fd: int) -> None:
    loop = asyncio.get_running_loop()
    writable = asyncio.Event()
    try:
        async for chunk in call.http.content.iter_any():
            view = memoryview(chunk)
            while view:
                try:
                    view = view[os.write(fd, view) :]
                except BlockingIOError:
                    writable.clear()
                    loop.add_writer(fd, writable.set)
                    try:
                        await writable.wait()
                    finally:
                        loop.remove_writer(fd)
    except BrokenPipeError:
        async for _ in call.http.content.iter_any():
            pass  # the reader has had enough: let the client finish
    finally:
        os.close(fd)
