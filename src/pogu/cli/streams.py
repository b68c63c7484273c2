"""Edge: an attached process: standard input to it, its output to ours, signals passed on."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import select

from pogu.cli.context import Context
from pogu.cli.detach import configured_keys, parse_detach_keys
from pogu.cli.failure import ApiError, CliError
from pogu.cli.http import Http
from pogu.cli.terminal import RawTerminal, is_terminal, terminal_size

__all__ = ["DETACHED", "Attachment", "Session"]

DETACHED = -1
"""What `Attachment.run` returns when the detach keys were typed."""

_BLOCK = 1 << 16
_PROXIED = (1, 2, 3, 10, 12, 13, 14, 15, 16, 18, 20, 21, 22, 23, 24, 25, 26, 27, 29, 30)
_SIGPIPE, _SIGTSTP = 13, 20
_ENDING = (2, 15)
_PATIENCE = 3
"""After so many SIGINTs and SIGTERMs the client leaves a process that ignores them, as Docker's."""


class Session:
    """A hijacked connection to one process: input, output, the terminal's size."""

    def __init__(
        self,
        context: Context,
        http: Http,
        noun: str,
        *,
        terminal: bool,
        stdin: bool,
        detach_keys: str = "",
        redraw: bool = False,
    ) -> None:
        """`noun` is the path of what has the size; `redraw`: a change of the size there and back
        makes the program draw its prompt anew.
        """
        self._context = context
        self._http = http
        self._noun = noun
        self._terminal = terminal
        self._stdin = stdin
        if terminal and stdin and not detach_keys:
            detach_keys = configured_keys()
        self.detach_keys = detach_keys
        self._keys = parse_detach_keys(detach_keys) if terminal and stdin else b""
        self._held = 0
        self._outgoing = b""
        self._redraw = redraw
        self._frame = bytearray()

    def close(self) -> None:
        self._http.close()

    def _resize(self) -> None:
        height, width = terminal_size()
        if not height:
            return
        if self._redraw:
            self._redraw = False
            self._set_size(height + 1, width)
        self._set_size(height, width)

    def _set_size(self, height: int, width: int) -> None:
        connection = self._context.connection()
        try:
            connection.request(
                "POST", f"{self._noun}/resize", {"h": height, "w": width}, check=False
            )
        except CliError:
            return
        finally:
            connection.close()

    def run(self) -> int:
        """Pump until the output ends; DETACHED when the keys were typed."""
        if self._terminal:
            with RawTerminal(self._resize, raw=self._stdin and is_terminal(0)):
                self._resize()
                return self._pump()
        return self._pump()

    def _pump(self) -> int:
        """Both directions at once: a process that echoes must never wait for us to read."""
        poll = select.poll()
        engine = self._http.fileno()
        while True:
            if self._http.has_buffered():
                ready = [(engine, select.POLLIN)]
            else:
                poll.register(engine, select.POLLIN | (select.POLLOUT if self._outgoing else 0))
                if self._stdin and not self._outgoing:
                    poll.register(0, select.POLLIN)
                ready = poll.poll()
                if self._stdin and not self._outgoing:
                    poll.unregister(0)
            for fd, state in ready:
                if fd == 0:
                    self._feed()
                    if self._keys and self._held == len(self._keys):
                        return DETACHED
                    continue
                if state & select.POLLOUT:
                    self._send()
                if state & ~select.POLLOUT:
                    data = self._http.receive()
                    if not data:
                        return 0
                    self._print(data)

    def _feed(self) -> None:
        """Take what was typed; at its end say so to the engine."""
        try:
            data = os.read(0, _BLOCK)
        except OSError:
            data = b""
        if not data:
            self._stdin = False
            self._http.half_close()
            return
        self._outgoing = self._without_keys(data) if self._keys else data
        if self._outgoing:
            self._send()

    def _send(self) -> None:
        try:
            self._outgoing = self._outgoing[self._http.send_some(self._outgoing) :]
        except CliError:  # it ended: its last output is still to be read
            self._stdin, self._outgoing = False, b""

    def _without_keys(self, data: bytes) -> bytes:
        """Hold back what may be the beginning of the detach keys."""
        passed = bytearray()
        for byte in data:
            if byte == self._keys[self._held]:
                self._held += 1
                if self._held == len(self._keys):
                    break
                continue
            passed += self._keys[: self._held]
            self._held = 1 if byte == self._keys[0] else 0
            if not self._held:
                passed.append(byte)
        return bytes(passed)

    def _print(self, data: bytes) -> None:
        if self._terminal:
            write_all(1, data)
            return
        self._frame += data
        while len(self._frame) >= 8:
            size = int.from_bytes(self._frame[4:8], "big")
            if len(self._frame) < 8 + size:
                return
            write_all(2 if self._frame[0] == 2 else 1, bytes(self._frame[8 : 8 + size]))
            del self._frame[: 8 + size]


class Attachment(Session):
    """A session with a container's first process."""

    def __init__(
        self,
        context: Context,
        container_id: str,
        *,
        terminal: bool,
        stdin: bool,
        stdout: bool = True,
        stderr: bool = True,
        detach_keys: str = "",
        logs: bool = False,
        running: bool = False,
    ) -> None:
        """Attach; before a start it waits for it. Raises: ApiError, CliError."""
        noun = f"/containers/{container_id}"
        super().__init__(
            context,
            context.connection(),
            noun,
            terminal=terminal,
            stdin=stdin,
            detach_keys=detach_keys,
            redraw=running,
        )
        self._id = container_id
        self._ending = 0
        parameters: dict[str, object] = {
            "stream": True,
            "stdin": stdin,
            "stdout": stdout,
            "stderr": stderr,
            "logs": logs,
        }
        if self.detach_keys:
            parameters["detachKeys"] = self.detach_keys
        self._http.upgrade(f"{noun}/attach", parameters)

    def proxy_signals(self) -> None:
        """Pass every signal that asks for something on to the container."""
        for number in _PROXIED:
            if number not in (_SIGPIPE, _SIGTSTP):
                _signal.signal(number, self._pass_on)

    def _pass_on(self, number: int, _frame: object) -> None:
        if number in _ENDING:
            self._ending += 1
            if self._ending == _PATIENCE:
                raise CliError(
                    f"\ngot {_PATIENCE} SIGTERM/SIGINTs, forcefully exiting",
                    hint=f"the process ignores them and goes on: pogu stop {self._id[:12]}",
                )
        connection = self._context.connection()
        try:
            connection.request("POST", f"/containers/{self._id}/kill", {"signal": number})
        except (ApiError, CliError):
            return
        finally:
            connection.close()


def write_all(fd: int, data: bytes) -> None:
    """Write everything. Raises: BrokenPipeError when nobody reads."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
