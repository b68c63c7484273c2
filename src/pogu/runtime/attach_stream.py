"""Edge: a connection to a container's stdio, at conmon's attach socket (unix seqpacket)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from pogu.runtime.held_stdin import HeldStdin

__all__ = ["AttachStream"]

log = logging.getLogger(__name__)

_CHUNK = 8192
"""conmon reads stdin in packets of this size."""

_BATCH = 32
_PATIENCE_S = 10.0


class AttachStream:
    """One connection to a container's stdio, which conmon waits for: see `Broadcast`."""

    def __init__(
        self,
        connection: socket.socket,
        stdin: HeldStdin | None = None,
        run_dir: Path | None = None,
    ) -> None:
        """`stdin`: where the input goes; None = through the connection, and ends with it.
        `run_dir`: where conmon listens.
        """
        self._socket = connection
        self._run_dir = run_dir
        self._stdin = stdin
        self._stdin_open = True
        if stdin is not None:
            self._end_input()  # conmon closes its own write end

    @classmethod
    def connected(cls, run_dir: Path, conmon_pid: int) -> AttachStream:
        """Raises: OSError."""
        connection = _connection(run_dir)
        try:
            return cls(connection, HeldStdin.of(run_dir, conmon_pid), run_dir)
        except OSError:
            connection.close()
            raise

    async def accepted(self) -> None:
        """Return when conmon writes to this connection.

        It accepts one at each turn, and what it reads in the same turn those that wait behind it
        miss. So one more connection is made, which conmon sees the end of: then it has accepted
        all before. Only where the end of a connection is not the end of input.
        """
        if self._run_dir is not None:
            with contextlib.suppress(OSError):  # it has ended
                await _knock(self._run_dir)

    @property
    def holds_stdin(self) -> bool:
        """True when the end of the connection may be the end of the input."""
        return self._stdin is None

    async def batches(self) -> AsyncIterator[list[tuple[int, bytes]]]:
        """Yield what has come, (1 stdout | 2 stderr, bytes), until the container's output ends."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                packet = await loop.sock_recv(self._socket, _CHUNK + 1)
                packets = []
                while packet:
                    packets.append((2 if packet[0] == 3 else 1, packet[1:]))
                    packet = self._at_once(len(packets))
            except OSError:
                return
            if not packets:
                return
            yield packets

    def _at_once(self, number: int) -> bytes:
        """The next packet if it is there; empty when not, or at the end: the next wait says so."""
        if number >= _BATCH:
            return b""
        try:
            return self._socket.recv(_CHUNK + 1)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        """Feed stdin; what comes after the container's end is dropped."""
        if self._stdin is not None:
            await self._stdin.write(data)
            return
        loop = asyncio.get_running_loop()
        view = memoryview(data)
        with contextlib.suppress(OSError):
            for at in range(0, len(view), _CHUNK):
                await loop.sock_sendall(self._socket, view[at : at + _CHUNK])

    async def close_stdin(self) -> None:
        """End of file for the process. Idempotent."""
        if self._stdin is not None:
            self._stdin.end()
        elif self._stdin_open:
            self._stdin_open = False
            self._end_input()

    def _end_input(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def hang_up(self) -> None:
        """Nothing comes or goes any more; who waits to write is woken."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._stdin is not None:
            self._stdin.give_up()

    def close(self) -> None:
        """Idempotent; the container goes on."""
        self._socket.close()
        if self._stdin is not None:
            self._stdin.close()


def _connection(run_dir: Path) -> socket.socket:
    """Connect, however long the path is. Raises: OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    connection.setblocking(False)
    try:
        directory = os.open(run_dir, os.O_PATH | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{directory}/attach")
        finally:
            os.close(directory)
    except OSError:
        connection.close()
        raise
    return connection


async def _knock(run_dir: Path) -> None:
    """Return when conmon has read the end of a connection that wants no output. Raises: OSError."""
    loop, seen = asyncio.get_running_loop(), asyncio.Event()
    with _connection(run_dir) as connection, select.epoll() as hung_up:
        connection.shutdown(socket.SHUT_RD)
        connection.send(b"")  # for conmon the end; it then lets go of its side
        hung_up.register(connection, 0)
        loop.add_reader(hung_up.fileno(), seen.set)
        try:
            await asyncio.wait_for(seen.wait(), _PATIENCE_S)
        except TimeoutError:
            log.warning("conmon in %s does not accept connections", run_dir)
        finally:
            loop.remove_reader(hung_up.fileno())
