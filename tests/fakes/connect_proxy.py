"""A forward proxy (CONNECT only) that leads names of the tests' own to loopback addresses."""

from __future__ import annotations

import base64
import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["ConnectProxy", "a_connect_proxy"]


@dataclass(slots=True, kw_only=True)
class ConnectProxy:
    """`names`: what a client may ask for, and where it is led to."""

    names: dict[str, str] = field(default_factory=dict)
    login: str = ""
    """`user:password` that is wanted; empty = nobody is asked."""
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def leads(self, target: str, head: list[str]) -> str | None:
        """Where to, or None when the caller may not."""
        self.asked.append(target)
        wanted = "Basic " + base64.b64encode(self.login.encode()).decode()
        if self.login and f"Proxy-Authorization: {wanted}" not in head:
            return None
        return self.names.get(target, "127.0.0.1:1")


@contextmanager
def a_connect_proxy(*, login: str = "") -> Iterator[ConnectProxy]:
    """Serve on loopback."""
    proxy = ConnectProxy(login=login)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = []
            while line := self.rfile.readline().decode().strip():
                head.append(line)
            if not head:
                return
            there = proxy.leads(head[0].split()[1], head)
            if there is None:
                self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                return
            host, _, port = there.partition(":")
            try:
                upstream = socket.create_connection((host, int(port)))
            except OSError:
                self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                return
            with upstream:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _copy(self.connection, upstream)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as listening:
        proxy.address = f"127.0.0.1:{listening.server_address[1]}"
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            listening.shutdown()
            thread.join()


def _copy(one: socket.socket, other: socket.socket) -> None:
    """Both ways, until one of them ends."""
    while True:
        for source in select.select([one, other], [], [])[0]:
            try:
                data = source.recv(1 << 16)
                if not data:
                    return
                (other if source is one else one).sendall(data)
            except OSError:
                return
