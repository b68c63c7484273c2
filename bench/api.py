"""Edge: the Engine API over its unix socket, without any client's own cost."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from pathlib import Path
from typing import Any

__all__ = ["call", "cpu_s", "server_pid"]

_CLOCK_HZ = 100


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def call(path: str, method: str, target: str, body: object = None) -> Any:
    """One request on a connection of its own; JSON where the answer is JSON, else bytes."""
    connection = _Connection(path)
    try:
        encoded = None if body is None else json.dumps(body)
        connection.request(method, target, encoded, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    if answer.status >= 400:
        raise SystemExit(f"{method} {target} of {path} failed ({answer.status}): {data!r}")
    return json.loads(data) if answer.headers.get_content_subtype() == "json" and data else data


def server_pid(path: str) -> int:
    """Who listens on that socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        sent = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", sent)[0])


def cpu_s(pid: int) -> float:
    """Processor time that a process and the children it has waited for took."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _CLOCK_HZ
