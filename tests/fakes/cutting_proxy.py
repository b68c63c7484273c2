"""A reverse proxy before a real registry that cuts, throttles and lies, as its rules say."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["CuttingProxy", "Rule", "Seen", "a_cutting_proxy"]

_PIECE = 1 << 14


@dataclass(slots=True, kw_only=True)
class Rule:
    """What befalls the next `times` requests whose `METHOD path` matches."""

    match: str
    times: int = 1
    status: int = 0
    """Answer this instead of asking the registry."""
    headers: dict[str, str] = field(default_factory=dict)
    """Added to the answer, or in place of the registry's own."""
    cut_answer_after: int | None = None
    """Bytes of the body after which the connection is cut."""
    cut_request_after: int | None = None
    damage: bool = False
    """One byte of the answer is another."""
    hang: bool = False
    """After the cut the connection stays open, and nothing comes."""
    piece_pause_s: float = 0


@dataclass(slots=True, kw_only=True)
class Seen:
    """One request and what became of it."""

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    served: int = 0
    """Bytes of the answer's body that went out."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(slots=True, kw_only=True)
class CuttingProxy:
    """Before `upstream`; a registry behind it names the proxy's own address as its own."""

    upstream: str
    address: str = ""
    rules: list[Rule] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)

    def name(self, repository: str) -> str:
        return f"{self.address}/{repository}"

    def those(self, match: str) -> list[Seen]:
        return [one for one in self.seen if re.search(match, str(one))]

    def served(self, match: str) -> int:
        """Bytes of all bodies of the requests that match."""
        return sum(one.served for one in self.those(match))

    def rule_for(self, seen: Seen) -> Rule:
        for rule in self.rules:
            if rule.times > 0 and re.search(rule.match, str(seen)):
                rule.times -= 1
                return rule
        return Rule(match="")

    def forget(self) -> None:
        self.rules.clear()
        self.seen.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: CuttingProxy

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def _serve(self) -> None:
        seen = Seen(method=self.command, path=self.path, headers=dict(self.headers.items()))
        rule = self.proxy.rule_for(seen)
        self.proxy.seen.append(seen)
        if rule.status:
            self._answer_at_once(seen, rule)
            return
        connection = http.client.HTTPConnection(self.proxy.upstream, timeout=30)
        try:
            if self._pass_request(connection, rule):
                self._pass_answer(connection.getresponse(), seen, rule)
        finally:
            connection.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _answer_at_once(self, seen: Seen, rule: Rule) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        seen.status = rule.status
        self.send_response(rule.status)
        for name, value in ({"Content-Length": "0"} | rule.headers).items():
            self.send_header(name, value)
        self.end_headers()

    def _pass_request(self, connection: http.client.HTTPConnection, rule: Rule) -> bool:
        """False when the connection was cut on the way."""
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        left = int(self.headers.get("Content-Length", "0"))
        allowed = left if rule.cut_request_after is None else rule.cut_request_after
        while left and allowed:
            data = self.rfile.read(min(_PIECE, left, allowed))
            connection.send(data)
            left, allowed = left - len(data), allowed - len(data)
            time.sleep(rule.piece_pause_s)
        if left:
            self._cut(rule)
        return not left

    def _pass_answer(self, answer: http.client.HTTPResponse, seen: Seen, rule: Rule) -> None:
        seen.status = answer.status
        self.send_response_only(answer.status, answer.reason)
        own = {name.lower() for name in rule.headers} | {"connection", "transfer-encoding"}
        for name, value in answer.getheaders():
            if name.lower() not in own:
                self.send_header(name, value)
        for name, value in rule.headers.items():
            self.send_header(name, value)
        self.end_headers()
        left = rule.cut_answer_after
        while data := answer.read(_PIECE if left is None else min(_PIECE, left)):
            if rule.damage:
                data, rule.damage = bytes([data[0] ^ 1]) + data[1:], False
            self.wfile.write(data)
            seen.served += len(data)
            left = None if left is None else left - len(data)
            self.proxy.ending.wait(rule.piece_pause_s)
        if left is not None or "Content-Length" in rule.headers:
            self._cut(rule)

    def _cut(self, rule: Rule) -> None:
        self.close_connection = True
        if rule.hang:
            self.proxy.ending.wait(20)
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_words: object) -> None:
        return


@contextmanager
def a_cutting_proxy(upstream: str) -> Iterator[CuttingProxy]:
    """Serve on loopback before the registry at `upstream` (HOST:PORT)."""
    proxy = CuttingProxy(upstream=upstream)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        listening.daemon_threads = True
        listening.block_on_close = False
        proxy.address = f"127.0.0.1:{listening.server_address[1]}"
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.ending.set()
            listening.shutdown()
            thread.join()
