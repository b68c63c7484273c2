"""Edge: the CLI's own HTTP/1.1 client over a unix socket (`http.client` would cost 25 ms).

Knows what the Docker Engine API needs: fixed and chunked bodies both ways, streams, hijacking.
"""

from __future__ import annotations

import _socket
import os

from pogu.cli.failure import ApiError, CliError
from pogu.cli.wire import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Http", "Reply", "quote"]

_BLOCK = 1 << 16
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:")


def quote(text: str) -> str:
    """Percent-encode for a path or a query value (slashes and colons stay)."""
    return "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in os.fsencode(text))


def _query(parameters: dict[str, object]) -> str:
    pairs = []
    for key, value in parameters.items():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if one is None:
                continue
            text = ("1" if one else "0") if isinstance(one, bool) else str(one)
            pairs.append(f"{key}={quote(text)}")
    return "?" + "&".join(pairs) if pairs else ""


class Http:
    """One connection; requests follow each other on it."""

    def __init__(self, path: str) -> None:
        """Connect to the unix socket at `path`. Raises: OSError."""
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._buffer = bytearray()
        try:
            directory = os.open(os.path.dirname(path) or ".", os.O_PATH)
            try:
                # A path of any length: sun_path holds 107 bytes.
                name = os.path.basename(path)
                self._socket.connect(f"/proc/self/fd/{directory}/{name}")
            finally:
                os.close(directory)
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    # ---- raw bytes -----------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Raises: CliError when the engine went away."""
        try:
            self._socket.sendall(data)
        except OSError as err:
            raise gone() from err

    def send_some(self, data: bytes) -> int:
        """Send what there is room for and return how much that was. Raises: CliError."""
        try:
            return self._socket.send(data, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError as err:
            raise gone() from err

    def half_close(self) -> None:
        """Say that nothing more will be sent."""
        try:
            self._socket.shutdown(_socket.SHUT_WR)
        except OSError:
            return

    def receive(self) -> bytes:
        """What has come; empty at the end."""
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            return data
        try:
            return self._socket.recv(_BLOCK)
        except ConnectionResetError:
            return b""

    def has_buffered(self) -> bool:
        return bool(self._buffer)

    def _fill(self) -> bool:
        try:
            data = self._socket.recv(_BLOCK)
        except ConnectionResetError:
            data = b""
        self._buffer += data
        return bool(data)

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if not self._fill():
                raise gone()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            if not self._fill():
                raise gone()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    # ---- requests ------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        parameters: dict[str, object] | None = None,
        *,
        body: object = None,
        stream: Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
        check: bool = True,
    ) -> Reply:
        """Send and read the headers of the answer.

        `body` is JSON unless it is bytes; `stream` is sent in chunks as it comes.
        Raises: ApiError when `check` and the status is an error; CliError when the engine goes.
        """
        lines = [f"{method} {path}{_query(parameters or {})} HTTP/1.1", "Host: pogu"]
        data = b""
        if stream is not None:
            lines.append("Transfer-Encoding: chunked")
        elif body is not None:
            data = body if isinstance(body, bytes) else encode(body).encode()
            if not isinstance(body, bytes):
                lines.append("Content-Type: application/json")
            lines.append(f"Content-Length: {len(data)}")
        elif method in ("POST", "PUT"):
            lines.append("Content-Length: 0")
        lines += [f"{key}: {value}" for key, value in (headers or {}).items()]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + data)
        if stream is not None:
            self._send_chunks(stream)
        reply = self._reply(head=method == "HEAD")
        if check and reply.status >= 400:
            raise reply.error()
        return reply

    def begin(
        self, method: str, path: str, parameters: dict[str, object] | None = None
    ) -> Callable[[], Reply]:
        """Send a request without a body; what is returned waits for the answer, as `request`."""
        empty = "Content-Length: 0\r\n" if method in ("POST", "PUT") else ""
        target = f"{path}{_query(parameters or {})}"
        head = f"{method} {target} HTTP/1.1\r\nHost: pogu\r\n{empty}\r\n"
        self.send(head.encode("utf-8", "surrogateescape"))

        def answer() -> Reply:
            reply = self._reply(head=False)
            if reply.status >= 400:
                raise reply.error()
            return reply

        return answer

    def _send_chunks(self, stream: Iterable[bytes]) -> None:
        for piece in stream:
            if piece and not self._sent(b"%x\r\n%b\r\n" % (len(piece), piece)):
                return
        self._sent(b"0\r\n\r\n")

    def _sent(self, data: bytes) -> bool:
        """False when the engine has hung up: before that it may have answered why."""
        try:
            self._socket.sendall(data)
        except OSError:
            return False
        return True

    def _reply(self, *, head: bool) -> Reply:
        while True:
            status = int(self._line().split(b" ", 2)[1])
            headers: dict[str, str] = {}
            while line := self._line():
                key, _, value = line.decode("latin-1").partition(":")
                headers[key.strip().lower()] = value.strip()
            if status != 100:
                return Reply(self, status, headers, head=head)

    def upgrade(
        self, path: str, parameters: dict[str, object] | None = None, *, body: object = None
    ) -> Reply:
        """POST and take the connection over: then `send`, `receive`, `half_close`."""
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
        return self.request("POST", path, parameters, body=body, headers=headers)


class Reply:
    """An answer whose body is read by one of its methods, once."""

    __slots__ = ("_head", "_http", "headers", "status")

    def __init__(self, http: Http, status: int, headers: dict[str, str], *, head: bool) -> None:
        self._http = http
        self._head = head
        self.status = status
        self.headers = headers

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes."""
        if self._head or self.status in (101, 204, 304):
            return
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._chunks()
        elif "content-length" in self.headers:
            left = int(self.headers["content-length"])
            while left:
                if not self._http._buffer and not self._http._fill():
                    raise gone()
                data = self._http._exactly(min(left, len(self._http._buffer)))
                left -= len(data)
                yield data
        else:
            while data := self._http.receive():
                yield data

    def _chunks(self) -> Iterator[bytes]:
        while True:
            size = int(self._http._line().split(b";")[0], 16)
            if size == 0:
                while self._http._line():
                    pass
                return
            data = self._http._exactly(size)
            self._http._line()  # before the chunk is given: what is buffered then is a next one
            yield data

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self.pieces())

    def json(self) -> object:
        """The whole body as JSON."""
        return decode(self.read())

    def objects(self) -> Iterator[dict[str, object]]:
        """JSON objects, one a line, as they come."""
        rest = b""
        for piece in self.pieces():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.strip():
                    yield _object(line)
        if rest.strip():
            yield _object(rest)

    def error(self) -> ApiError:
        """Read the body as the API's error."""
        raw = self.read()
        try:
            body = decode(raw)
        except ValueError:
            body = raw.decode(errors="replace")
        if isinstance(body, dict):
            message = str(body.get("docker_message") or body.get("message") or body)
            return ApiError(self.status, message, str(body.get("hint") or ""))
        return ApiError(self.status, str(body).strip() or f"status {self.status}", "")


def _object(line: bytes) -> dict[str, object]:
    value = decode(line)
    return value if isinstance(value, dict) else {"value": value}


def gone() -> CliError:
    """The error for a connection that ended in the middle."""
    return CliError(
        "the engine ended while this command ran",
        hint="containers go on; run the command again. Why: engine.log in the storage root"
        " (`pogu info`)",
    )
