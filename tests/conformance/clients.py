"""Clients that others wrote, tied to one engine: the docker CLI, a terminal, plain HTTP."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.engine_process import PATIENCE, EngineProcess, eventually

__all__ = ["Answer", "DockerCli", "Terminal", "Wire", "needs_docker_cli"]

needs_docker_cli = pytest.mark.skipif(
    shutil.which("docker") is None, reason="needs the docker CLI on the PATH"
)
_LIMIT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerCli:
    """The docker CLI with a configuration directory of its own and the legacy builder."""

    engine: EngineProcess
    home: Path

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        return {
            **os.environ,
            "DOCKER_HOST": f"unix://{self.engine.socket}",
            "DOCKER_BUILDKIT": "0",
            "DOCKER_CONFIG": str(self.home),
            **(extra or {}),
        }

    def popen(self, *words: str) -> subprocess.Popen[bytes]:
        """Start one command with pipes."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            ["docker", *words], stdin=pipe, stdout=pipe, stderr=pipe, env=self.environment()
        )

    @contextlib.contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start one command with pipes; end it afterwards if it has not ended."""
        process = self.popen(*words)
        try:
            yield process
        finally:
            process.kill()
            process.communicate(timeout=_LIMIT_S)

    def call(
        self, *words: str, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end, whatever its exit code."""
        done = subprocess.run(
            ["docker", *words],
            input=stdin,
            capture_output=True,
            check=False,
            timeout=_LIMIT_S,
            env=self.environment(env),
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def ok(self, *words: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        """Run one command that must succeed; return its output without the last newline."""
        done = self.call(*words, stdin=stdin, env=env)
        assert done.returncode == 0, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.rstrip("\n")

    def refused(self, *words: str, code: int = 1, stdin: bytes = b"") -> str:
        """Run one command that must fail with `code`; return its standard error."""
        done = self.call(*words, stdin=stdin)
        assert done.returncode == code, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stderr

    def run(self, *words: str) -> str:
        """`docker run --rm …` that must succeed; return its output."""
        return self.ok("run", "--rm", *words)

    def sh(self, script: str, *options: str) -> str:
        """Run a script in a busybox of its own; return its output."""
        return self.run(*options, "busybox", "sh", "-c", script)

    def inspect(self, name: str, kind: str = "container") -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self.ok("inspect", "--type", kind, name))
        return found[0]

    def show(self, template: str, name: str) -> str:
        return self.ok("inspect", "-f", template, name)

    def status(self, name: str) -> str:
        return self.show("{{.State.Status}}", name)

    def start(self, name: str, script: str, *options: str) -> None:
        """Start a script in the background and wait until it says `ready`."""
        self.ok("run", "-d", "--name", name, *options, "busybox", "sh", "-c", script)
        eventually(lambda: "ready" in self.ok("logs", name), what="the script is ready")

    def serve(self, name: str, *options: str, text: str = "hello") -> None:
        """Start a web server that answers `text` at port 80."""
        page = f"mkdir /www && echo {text} > /www/index.html && exec httpd -f -p 80 -h /www"
        self.ok("run", "-d", "--name", name, *options, "busybox", "sh", "-c", page)

    def terminal(self, *words: str) -> Terminal:
        """Start one command on a pseudo-terminal."""
        return Terminal(["docker", *words], self.environment({"TERM": "xterm"}))

    def remove_containers(self) -> None:
        containers = self.ok("ps", "-aq").split()
        if containers:
            self.ok("rm", "-f", "-v", *containers)


class Terminal:
    """A program whose controlling terminal is a pseudo-terminal of 24 × 80."""

    def __init__(self, argv: list[str], env: Mapping[str, str]) -> None:
        self._master, slave = os.openpty()
        self.resize(24, 80)
        # setsid --ctty makes it the controlling terminal: SIGWINCH and ctrl-c arrive.
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *argv], stdin=slave, stdout=slave, stderr=slave, env=env
        )
        os.close(slave)
        self.seen = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        os.close(self._master)

    @property
    def pid(self) -> int:
        return self._process.pid

    def resize(self, rows: int, columns: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def expect(self, text: str) -> None:
        """Read until `text` is on the screen; what comes up to it is taken away."""
        deadline = time.monotonic() + _LIMIT_S / 4 * PATIENCE
        while text not in self.seen:
            assert self._read(deadline), f"{text!r} was not shown: {self.seen!r}"
        self.seen = self.seen.partition(text)[2]

    def shows(self, text: str) -> bool:
        """Read for a moment; true when `text` is on the screen."""
        self._read(time.monotonic() + 0.1)
        return text in self.seen

    def _read(self, deadline: float) -> bool:
        """False at the end or when the time is over."""
        ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
        try:
            data = os.read(self._master, 65536) if ready else b""
        except OSError:  # EIO: the program closed its side
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def wait(self) -> int:
        """Read to the end; return the exit code."""
        deadline = time.monotonic() + _LIMIT_S / 4 * PATIENCE
        while self._read(deadline):
            pass
        return self._process.wait(timeout=_LIMIT_S / 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """The error's text, the only field that clients of Docker read."""
        return str(self.json["message"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Plain HTTP over the engine's socket."""

    path: Path

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_LIMIT_S / 4)
        connection.connect(str(self.path))
        return connection

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        """Send bytes as they are, anything else as JSON; read the whole answer."""
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {} if raw is None else {"Content-Type": "application/json"}
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self.connect()
        try:
            connection.request(method, path, raw, headers)
            reply = connection.getresponse()
            return Answer(
                status=reply.status, headers=dict(reply.headers.items()), body=reply.read()
            )
        finally:
            connection.close()

    @contextlib.contextmanager
    def lines(self, path: str) -> Iterator[Iterator[Any]]:
        """Follow a stream of JSON lines; leaving the block hangs up."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self.connect()
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            assert reply.status == 200, reply.read()
            yield map(json.loads, iter(reply.readline, b""))
        finally:
            connection.close()

    def talk(self, request: bytes, *, half_close: bool = True) -> bytes:
        """Send bytes, end our side, and return all that comes back."""
        with self.connect() as connection:
            connection.sendall(request)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def create(self, *, name: str = "", **config: Any) -> str:
        """Create a container from busybox; return its ID."""
        query = f"?name={name}" if name else ""
        answer = self.ask("POST", f"/containers/create{query}", {"Image": "busybox", **config})
        assert answer.status == 201, answer.body
        return str(answer.json["Id"])
