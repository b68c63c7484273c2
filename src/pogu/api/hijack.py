"""Edge: a connection taken over from HTTP: raw bytes both ways, each side may end alone.

The client asks with `Connection: Upgrade` and `Upgrade: tcp` (answer 101) or without (200).
"""

from __future__ import annotations

import asyncio

from aiohttp.abc import AbstractStreamWriter

from pogu.api.call import Call
from pogu.api.http_server import BaseRequest, Connection, StreamResponse, is_hung_up
from pogu.api.reply import HEADERS

__all__ = ["Hijacked", "HijackedResponse", "hijack"]

_HIGH_WATER = 1 << 20


class HijackedResponse(StreamResponse):
    """What a handler returns after a hijack: nothing is left to say."""

    def __init__(self) -> None:
        super().__init__()
        self.force_close()

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class Hijacked(asyncio.Protocol):
    """Both directions of a hijacked connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._transport: asyncio.Transport | None = None
        self._incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self._waiting_bytes = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended = False
        self.vanished = False
        """The client closed both directions: it is gone, rather than done with its input."""

    def begin(self, transport: asyncio.Transport, early: bytes, early_eof: bool) -> None:
        """Start with what the client sent before it had an answer."""
        self._transport = transport
        if early:
            self.data_received(early)
        if early_eof:
            self.eof_received()

    def data_received(self, data: bytes) -> None:
        self._incoming.put_nowait(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > _HIGH_WATER and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        if not self._ended:
            self._ended = True
            self.vanished = is_hung_up(self._transport)
            self._incoming.put_nowait(b"")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.eof_received()
        self._writable.set()
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    @property
    def gone(self) -> bool:
        """Nothing can be sent any more."""
        return self._transport is None or self._transport.is_closing()

    async def read(self) -> bytes:
        """What the client sent; empty at its end."""
        data = await self._incoming.get()
        if not data:
            self._incoming.put_nowait(b"")
            return b""
        before = self._waiting_bytes
        self._waiting_bytes -= len(data)
        emptied = before > _HIGH_WATER >= self._waiting_bytes
        if emptied and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send, as fast as the client reads. Raises: ConnectionError when it is gone."""
        transport = self._transport
        if transport is None or self.gone:
            raise ConnectionResetError("the client is gone")
        transport.write(data)
        await self._writable.wait()

    def close(self) -> None:
        """End the connection after what was written."""
        if self._transport is not None:
            self._transport.close()


def hijack(call: Call, content_type: str) -> Hijacked:
    """Answer 101 (or 200 where the client asked for no upgrade) and take the connection."""
    protocol = Hijacked(call.connection)
    transport, early, early_eof = call.connection.take_over(protocol)
    upgrade = call.http.headers.get("Upgrade", "").lower() == "tcp"
    lines = [
        "HTTP/1.1 101 UPGRADED" if upgrade else "HTTP/1.1 200 OK",
        f"Content-Type: {content_type}",
        *(f"{key}: {value}" for key, value in HEADERS.items()),
        *(("Connection: Upgrade", "Upgrade: tcp") if upgrade else ("Connection: close",)),
    ]
    transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    protocol.begin(transport, early, early_eof)
    return protocol
