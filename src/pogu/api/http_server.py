"""Edge: aiohttp's HTTP server, without its client, and with connections that can be hijacked.

`import aiohttp` loads the client too: 120 ms and 7 MB that the engine pays at every start. The
server's modules stand alone, so they are imported under a bare package first; whoever needs the
client later gets the whole package at the first name it asks for.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
import select
import sys
from collections.abc import Awaitable, Callable
from types import ModuleType


def _bare_aiohttp() -> None:
    """Enter `aiohttp` into sys.modules without running its `__init__`, until it is needed."""
    spec = importlib.util.find_spec("aiohttp")
    if "aiohttp" in sys.modules or spec is None or spec.loader is None:
        return
    loader = spec.loader
    package = ModuleType("aiohttp")
    package.__spec__ = spec
    package.__path__ = list(spec.submodule_search_locations or ())
    package.__file__ = spec.origin
    package.__package__ = "aiohttp"

    def whole(name: str) -> object:
        if importlib.util.find_spec(f"aiohttp.{name}") is not None:
            raise AttributeError(name)  # a submodule: the import system looks for it next
        package.__dict__.pop("__getattr__", None)
        loader.exec_module(package)
        return getattr(package, name)

    package.__dict__["__version__"] = "0"
    package.__dict__["__getattr__"] = whole
    sys.modules["aiohttp"] = package


_bare_aiohttp()

from aiohttp.abc import AbstractStreamWriter  # noqa: E402
from aiohttp.http_parser import RawRequestMessage  # noqa: E402
from aiohttp.streams import StreamReader  # noqa: E402
from aiohttp.web_protocol import RequestHandler  # noqa: E402
from aiohttp.web_request import BaseRequest  # noqa: E402
from aiohttp.web_response import Response, StreamResponse  # noqa: E402
from aiohttp.web_server import Server  # noqa: E402

__all__ = [
    "BaseRequest",
    "Connection",
    "HttpServer",
    "Response",
    "StreamReader",
    "StreamResponse",
    "is_hung_up",
]

_HIJACKED = re.compile(rb"POST /(?:v[0-9.]+/)?(?:containers/[^ ?]+/attach|exec/[^ ?]+/start)[ ?]")
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_LONGEST_HEAD = 1 << 18
_EARLY_LIMIT = 1 << 20
_JSON_BODY_LIMIT = 16 << 20
_KEEP_ALIVE_S = 75.0


class Connection(RequestHandler):
    """One client's connection; what it sends behind a hijack request is kept for the hijacker.

    aiohttp would read those bytes as the next request.
    """

    __slots__ = ("_bodies", "_early", "_early_eof", "_head")

    def __init__(self, server: HttpServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]
            keepalive_timeout=_KEEP_ALIVE_S,
            tcp_keepalive=False,
            max_line_size=_LONGEST_HEAD,
            max_field_size=_LONGEST_HEAD,
            auto_decompress=False,
            lingering_time=1.0,
        )
        self._bodies: list[StreamReader] = []
        self._head = b""
        self._early: bytearray | None = None
        self._early_eof = False

    def data_received(self, data: bytes) -> None:
        """Hand whole requests to aiohttp's parser; hold back what follows a hijack request."""
        if self._early is not None:
            self._keep_early(data)
            return
        if self._head or not self._in_request:
            data = self._split_hijack(self._head + data)
        if data:
            super().data_received(data)

    @property
    def _in_request(self) -> bool:
        return self._request_in_progress or bool(self._messages)

    def _split_hijack(self, data: bytes) -> bytes:
        """Return what the parser may see now."""
        self._head = b""
        if not _HIJACKED.match(data):
            return data
        end = data.find(b"\r\n\r\n")
        if end < 0 and len(data) < _LONGEST_HEAD:
            self._head = data
            return b""
        if end < 0 or _CHUNKED.search(data, 0, end + 2):
            return data
        length = _CONTENT_LENGTH.search(data, 0, end + 2)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(data) < whole and whole < _EARLY_LIMIT:
            self._head = data
            return b""
        self._early = bytearray(data[whole:])
        return data[:whole]

    def _keep_early(self, data: bytes) -> None:
        assert self._early is not None
        self._early += data
        if len(self._early) > _EARLY_LIMIT and self.transport is not None:
            self.transport.pause_reading()

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that closes its side behind a whole request still wants the answer."""
        if self._early is not None:
            self._early_eof = True
            return True
        if self._payload_parser is not None:  # a websocket ends by a frame, else its client is gone
            return False
        idle = self._waiter is not None and not self._messages
        bodies = [body for _, body in self._messages] + ([] if idle else self._bodies)
        if not bodies or not all(body.is_eof() for body in bodies) or is_hung_up(self.transport):
            return False
        self.close()  # after the answer
        return True

    def begins(self, body: StreamReader) -> None:
        """A request is handled now; all of its body may not have come yet."""
        self._bodies = [body]

    def take_over(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport, bytes, bool]:
        """Give the transport to `protocol`; return it, the early bytes, and whether they end.

        From now on `protocol` must pass `connection_lost` on to this object.
        Raises: ConnectionError when the client is gone.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        early = bytes(self._early or b"")
        transport.set_protocol(protocol)
        if not transport.is_reading():
            transport.resume_reading()
        return transport, early, self._early_eof

    def not_hijacked(self) -> None:
        """The hijack request was refused: what followed is an ordinary request again."""
        early, self._early = self._early, None
        if self._early_eof:
            self.close()  # after the answer
        elif early:
            super().data_received(bytes(early))


def is_hung_up(transport: asyncio.BaseTransport | None) -> bool:
    """True when the client closed both directions: it is gone, rather than done with its input."""
    found = transport.get_extra_info("socket") if transport is not None else None
    if found is None or found.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(found.fileno(), 0)
    return any(state & (select.POLLHUP | select.POLLERR) for _, state in poll.poll(0))


class HttpServer(Server):
    """Makes connections; `connected` counts them, hijacked ones too."""

    def __init__(self, handler: Callable[[BaseRequest], Awaitable[StreamResponse]]) -> None:
        super().__init__(handler, request_factory=self._request, handler_cancellation=True)
        self._event_loop = asyncio.get_running_loop()

    def __call__(self) -> Connection:
        return Connection(self, self._event_loop)

    @property
    def connected(self) -> int:
        return len(self._connections)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> BaseRequest:
        if isinstance(protocol, Connection):
            protocol.begins(payload)
        return BaseRequest(
            message,
            payload,
            protocol,
            writer,
            task,
            self._event_loop,
            client_max_size=_JSON_BODY_LIMIT,
        )
