"""The proxies, against servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from pogu.network.proxy import TcpProxy, UdpProxy


def a_listener(kind: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6, kind)
    listener.setblocking(False)
    listener.bind(("::1", 0))
    if kind == socket.SOCK_STREAM:
        listener.listen()
    return listener


async def answer_after_eof(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    data = await reader.read()
    writer.write(data.upper() * 2)
    await writer.drain()
    writer.close()


async def test_a_half_closed_connection_still_gets_its_answer() -> None:
    server = await asyncio.start_server(answer_after_eof, "127.0.0.1", 0)
    proxy = TcpProxy(listener := a_listener(socket.SOCK_STREAM), server.sockets[0].getsockname())
    async with server, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
        sent = b"x" * 3_000_000
        writer.write(sent)
        writer.write_eof()
        assert await reader.read() == sent.upper() * 2
        writer.close()
        await writer.wait_closed()
    await proxy.close()


async def test_a_refused_connection_is_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        target = unused.getsockname()
    proxy = TcpProxy(listener := a_listener(socket.SOCK_STREAM), target)
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
        with pytest.raises(ConnectionResetError):
            assert await reader.read() != b""
        writer.close()
    await proxy.close()


async def test_close_ends_open_connections() -> None:
    server = await asyncio.start_server(answer_after_eof, "127.0.0.1", 0)
    proxy = TcpProxy(listener := a_listener(socket.SOCK_STREAM), server.sockets[0].getsockname())
    async with server, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
        writer.write(b"begun")
        await writer.drain()
        while not proxy._connections:
            await asyncio.sleep(0)
        await proxy.close()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()


async def test_each_udp_client_gets_its_own_answers() -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setblocking(False)
        server.bind(("127.0.0.1", 0))
        proxy = UdpProxy(listener := a_listener(socket.SOCK_DGRAM), server.getsockname())
        clients = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2)]
        async with asyncio.timeout(10):
            for number, client in enumerate(clients):
                client.setblocking(False)
                client.connect(listener.getsockname())
                await loop.sock_sendall(client, f"from {number}".encode())
            for _ in clients:
                data, origin = await loop.sock_recvfrom(server, 100)
                await loop.sock_sendto(server, data.upper(), origin)
            for number, client in enumerate(clients):
                assert await loop.sock_recv(client, 100) == f"FROM {number}".encode()
                client.close()
        await proxy.close()
