"""Edge: a tar as an answer: written in a thread, sent by the event loop, a few blocks at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping

from pogu.api.call import Call
from pogu.api.http_server import StreamResponse
from pogu.api.reply import HEADERS
from pogu.linux.blocking import in_own_thread
from pogu.storage.tarwriter import TarSink

__all__ = ["Gone", "send_tar"]

_QUEUED_BLOCKS = 4
_BLOCK = 1 << 18


class Gone(Exception):
    """Ends the writing thread when nobody reads any more."""


class _BodySink:
    """Hands blocks from the writing thread to the event loop, a few at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._room = threading.Semaphore(_QUEUED_BLOCKS)
        self.blocks: asyncio.Queue[bytes] = asyncio.Queue()
        self._over = False
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    def write(self, data: bytes) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= _BLOCK:
            self.flush()

    def flush(self) -> None:
        """From the writing thread: hand over what is left."""
        block = b"".join(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        if not block:
            return
        self._room.acquire()
        if self._over:
            raise Gone
        self._loop.call_soon_threadsafe(self.blocks.put_nowait, block)

    def end(self) -> None:
        """From the writing thread: an empty block is the last."""
        self._loop.call_soon_threadsafe(self.blocks.put_nowait, b"")

    def taken(self) -> None:
        self._room.release()

    def close(self) -> None:
        """From the event loop: let the writing thread end."""
        self._over = True
        self._room.release()


async def send_tar(
    call: Call, write_tar: Callable[[TarSink], None], headers: Mapping[str, str] | None = None
) -> StreamResponse:
    """Stream what `write_tar` writes in a thread.

    A failure before the first block is an answer like any other; one in the middle cuts the
    connection: half an archive must not look like a whole one.
    """
    sink = _BodySink(asyncio.get_running_loop())

    def write() -> None:
        try:
            write_tar(sink)
            sink.flush()
        finally:
            sink.end()

    writing = asyncio.ensure_future(in_own_thread(write))
    tar = {"Content-Type": "application/x-tar"}
    response = StreamResponse(headers={**HEADERS, **tar, **(headers or {})})
    if call.http.version >= (1, 1):
        response.enable_chunked_encoding()
    try:
        block = await sink.blocks.get()
        if not block:
            await writing
        await response.prepare(call.http)
        while block:
            await response.write(block)
            sink.taken()
            block = await sink.blocks.get()
    finally:
        sink.close()
        outcome = (await asyncio.gather(writing, return_exceptions=True))[0]
    if isinstance(outcome, BaseException):
        raise outcome
    return response
