"""Edge: what arrives at a held port's socket goes to the container.

IPv4 does not come this way where nftables works: its rules lead it past the sockets. IPv6 always
does, since containers have no IPv6 address.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import struct

__all__ = ["TcpProxy", "UdpProxy"]

log = logging.getLogger(__name__)

_CHUNK = 1 << 18
_CONNECT_TIMEOUT_S = 10.0
_UDP_IDLE_S = 60.0
_UDP_PEERS = 4096
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class TcpProxy:
    """Accepts at one socket; either side may close its half first."""

    def __init__(self, listener: socket.socket, target: tuple[str, int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._target = target
        self._connections: set[asyncio.Task[None]] = set()
        self._resume: asyncio.TimerHandle | None = None
        self._listen()

    def _listen(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError as err:
            if err.errno in _NO_DESCRIPTORS:
                log.warning("cannot accept error=%s target=%s", err, self._target)
                self._loop.remove_reader(self._listener)
                self._resume = self._loop.call_later(0.2, self._listen)
            return
        task = self._loop.create_task(self._serve(client))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as container:
            for one in (client, container):
                one.setblocking(False)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    await self._loop.sock_connect(container, self._target)
            except (OSError, TimeoutError):
                _reset_on_close(client)  # as if nobody listened here either
                return
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._copy(client, container))
                    both.create_task(self._copy(container, client))
            except* OSError:
                _reset_on_close(client)
                _reset_on_close(container)

    async def _copy(self, source: socket.socket, target: socket.socket) -> None:
        buffer = bytearray(_CHUNK)
        view = memoryview(buffer)
        while size := await self._loop.sock_recv_into(source, buffer):
            await self._loop.sock_sendall(target, view[:size])
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._resume:
            self._resume.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)


def _reset_on_close(connection: socket.socket) -> None:
    linger = struct.pack("ii", 1, 0)
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


class UdpProxy:
    """Each client has a socket of its own towards the container, dropped when it is idle."""

    def __init__(self, listener: socket.socket, target: tuple[str, int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._target = target
        self._peers: dict[tuple[str, int], socket.socket] = {}
        self._last: dict[tuple[str, int], float] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._loop.add_reader(listener, self._from_client)

    def _from_client(self) -> None:
        try:
            data, client = self._listener.recvfrom(1 << 16)
            peer = self._peers.get(client) or self._new_peer(client)
            self._last[client] = self._loop.time()
            peer.send(data)
        except OSError:
            return  # a datagram may be lost

    def _new_peer(self, client: tuple[str, int]) -> socket.socket:
        if len(self._peers) >= _UDP_PEERS:
            self._drop(min(self._last, key=lambda one: self._last[one]))
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        peer.setblocking(False)
        try:
            peer.connect(self._target)
        except OSError:
            peer.close()
            raise
        self._peers[client] = peer
        self._loop.add_reader(peer, self._from_container, peer, client)
        if self._sweep is None:
            self._sweep = self._loop.call_later(_UDP_IDLE_S, self._drop_idle)
        return peer

    def _from_container(self, peer: socket.socket, client: tuple[str, int]) -> None:
        try:
            data = peer.recv(1 << 16)
            self._last[client] = self._loop.time()
            self._listener.sendto(data, client)
        except OSError:
            return

    def _drop(self, client: tuple[str, int]) -> None:
        self._last.pop(client, None)
        peer = self._peers.pop(client)
        self._loop.remove_reader(peer)
        peer.close()

    def _drop_idle(self) -> None:
        now = self._loop.time()
        for client in [one for one, at in self._last.items() if now - at >= _UDP_IDLE_S]:
            self._drop(client)
        self._sweep = self._loop.call_later(_UDP_IDLE_S, self._drop_idle) if self._peers else None

    async def close(self) -> None:
        """Stop listening and forget every client."""
        if self._sweep:
            self._sweep.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for client in list(self._peers):
            self._drop(client)
