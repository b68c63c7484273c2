"""Edge: a websocket (RFC 6455) as a client of a container's stdio.

It has no half-close: the client's close frame ends its input, and its connection soon after.
"""

from __future__ import annotations

import codecs

from aiohttp.http_websocket import WSMsgType
from aiohttp.web_ws import WebSocketResponse

from pogu.api.call import Call
from pogu.errors import InvalidParameter

__all__ = ["WebSocket"]

_LONGEST_MESSAGE = 4 << 20
_CLOSE_S = 5.0
_HEARTBEAT_S = 30.0
"""How often a client that is silent is asked whether it is still there."""


class WebSocket:
    """Messages either way are pieces of a byte stream."""

    def __init__(self, response: WebSocketResponse, *, text: bool) -> None:
        self.response = response
        self.vanished = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace") if text else None

    @property
    def gone(self) -> bool:
        """Nothing can be sent any more, as after either side's close."""
        return bool(self.response.closed)

    @classmethod
    async def accept(cls, call: Call) -> WebSocket:
        """Answer the handshake. Raises: InvalidParameter when the request is none."""
        response = WebSocketResponse(
            timeout=_CLOSE_S,
            heartbeat=_HEARTBEAT_S,
            compress=False,
            max_msg_size=_LONGEST_MESSAGE,
        )
        if not response.can_prepare(call.http):
            raise InvalidParameter(
                "bad websocket handshake: the request asks for no upgrade to one",
                hint="POST …/attach is the same over a plain connection",
            )
        await response.prepare(call.http)
        return cls(response, text=call.version < (1, 28))

    async def read(self) -> bytes:
        """What the client sent; empty at its end, when `vanished` says how it ended."""
        while True:
            message = await self.response.receive()
            if message.type is WSMsgType.BINARY and message.data:
                return bytes(message.data)
            if message.type is WSMsgType.TEXT and message.data:
                return str(message.data).encode()
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                self.vanished = message.type is not WSMsgType.CLOSE
                return b""

    async def write(self, data: bytes) -> None:
        """Send, as fast as the client reads. Raises: ConnectionError when it is gone."""
        if self._decoder is not None:
            await self.response.send_str(self._decoder.decode(data))
        else:
            await self.response.send_bytes(data)

    async def close(self) -> None:
        """Say that this was all. Idempotent."""
        await self.response.close()
