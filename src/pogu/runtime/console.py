"""Edge: the socket over which a runtime sends the terminal that it made (runtime-spec
"console socket"). Stands in the monitor's directory while the terminal comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from pathlib import Path

from pogu.errors import SystemFailure

__all__ = ["ConsoleSocket"]


class ConsoleSocket:
    """Used in a `with` block; `path` may be given to the runtime inside it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._name = f"console-{secrets.token_hex(4)}"
        self._held = contextlib.ExitStack()
        self.path = ""

    def __enter__(self) -> ConsoleSocket:
        directory = os.open(self._directory, os.O_PATH | os.O_DIRECTORY)
        self._held.callback(os.close, directory)
        # A path of any length: sun_path holds 107 bytes.
        self.path = f"/proc/{os.getpid()}/fd/{directory}/{self._name}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._held.callback(self._socket.close)
        self._socket.setblocking(False)
        self._socket.bind(self.path)
        self._held.callback((self._directory / self._name).unlink, missing_ok=True)
        self._socket.listen(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    async def receive(self) -> int:
        """Return the terminal's descriptor, the caller's from now on."""
        loop = asyncio.get_running_loop()
        connection, _ = await loop.sock_accept(self._socket)
        with connection:
            readable = asyncio.Event()
            loop.add_reader(connection, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(connection)
            _, fds, _, _ = socket.recv_fds(connection, 4096, 1)
        if not fds:
            raise SystemFailure("the runtime sent no terminal")
        os.set_inheritable(fds[0], False)
        return fds[0]
