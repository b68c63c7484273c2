"""Format: answers that go on: chunked streams, JSON lines, Docker's frames."""

from __future__ import annotations

import struct

import msgspec

from pogu.api.call import Call
from pogu.api.http_server import StreamResponse
from pogu.api.reply import HEADERS, error_reply, hinted, unexpected
from pogu.errors import EngineError

__all__ = ["MULTIPLEXED", "RAW", "JsonLines", "frame", "open_stream", "stream_type"]

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"


def stream_type(call: Call, *, terminal: bool) -> str:
    """Name the stream: a terminal's bytes as they are, or frames (said so from 1.42)."""
    return RAW if terminal or call.version < (1, 42) else MULTIPLEXED


async def open_stream(call: Call, content_type: str = "application/json") -> StreamResponse:
    """Send the headers of a chunked answer at once."""
    response = StreamResponse(headers=HEADERS | {"Content-Type": content_type})
    if call.http.version >= (1, 1):
        response.enable_chunked_encoding()
    await response.prepare(call.http)
    return response


def frame(stream: int, data: bytes) -> bytes:
    """Docker's frame: 0 stdin, 1 stdout, 2 stderr, 3 the engine's own error."""
    return struct.pack(">BxxxL", stream, len(data)) + data


class JsonLines:
    """A stream of JSON objects whose headers go out with the first one.

    An error before the first object is an ordinary error; afterwards it is the last object.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._response: StreamResponse | None = None

    @property
    def started(self) -> bool:
        return self._response is not None

    async def send(self, value: object) -> None:
        if self._response is None:
            self._response = await open_stream(self._call)
        await self._response.write(msgspec.json.encode(value) + b"\r\n")

    async def fail(self, error: Exception, *, code: int = 0) -> StreamResponse:
        """End the stream with Docker's error object, or answer with the error's status.

        A defect too: a stream that only broke off would look like the end of the engine.
        """
        if isinstance(error, ConnectionError):
            raise error
        if not isinstance(error, EngineError):
            error = unexpected(error, f"{self._call.http.method} {self._call.http.path}")
        if self._response is None:
            return error_reply(error)
        detail = {"code": code} if code else {}
        text = hinted(error)
        await self.send(
            {
                "errorDetail": detail | {"message": text},
                "error": text,
                "pogu": {"message": error.message, "hint": error.hint or ""},
            }
        )
        return self._response

    async def end(self) -> StreamResponse:
        if self._response is None:
            self._response = await open_stream(self._call)
        return self._response
