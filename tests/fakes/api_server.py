"""A fake engine: answers the CLI's requests with canned JSON, and remembers them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedRWPair
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

__all__ = ["ApiServer", "Request", "an_api_server"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the client sent; a chunked body is joined."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True, kw_only=True)
class ApiServer:
    """`answers` maps `GET /path` to a status and a JSON value, bytes as they are, or None."""

    path: Path
    answers: dict[str, tuple[int, object]]
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream:
            while (request := _read(stream)) is not None:
                self.requests.append(request)
                missing = 404, {"message": "page not found"}
                status, value = self.answers.get(f"{request.method} {request.path}", missing)
                body = value if isinstance(value, bytes) else json.dumps(value).encode()
                body = b"" if value is None else body
                stream.write(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n" % (status, len(body)))
                stream.write(body)
                stream.flush()


def _read(stream: BufferedRWPair) -> Request | None:
    first = stream.readline()
    if not first:
        return None
    method, target, _ = first.decode().split()
    headers: dict[str, str] = {}
    while line := stream.readline().strip():
        key, _, value = line.decode().partition(":")
        headers[key.lower()] = value.strip()
    body = b""
    if headers.get("transfer-encoding") == "chunked":
        while size := int(stream.readline(), 16):
            body += stream.read(size)
            stream.readline()
        stream.readline()
    elif headers.get("content-length"):
        body = stream.read(int(headers["content-length"]))
    parts = urlsplit(target)
    query = parse_qs(parts.query)
    return Request(method=method, path=parts.path, query=query, headers=headers, body=body)


@contextmanager
def an_api_server(directory: Path, answers: dict[str, tuple[int, object]]) -> Iterator[ApiServer]:
    """Listen on a socket in `directory`, each connection in a thread of its own."""
    server = ApiServer(path=directory / "fake.sock", answers=answers)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(server.path))
    listener.listen()
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=server.serve, args=(connection,), daemon=True))
            threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(5)
