"""One connection to conmon, many who listen."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pogu.errors import SystemFailure
from pogu.runtime import broadcast as module
from pogu.runtime.attach_stream import AttachStream
from pogu.runtime.broadcast import Broadcast, Listener


class Wire:
    """conmon's end of the connection."""

    def __init__(self, tmp: Path) -> None:
        ours, self.conmon = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.conmon.setblocking(False)
        self._stream, self._tmp = AttachStream(ours), tmp
        self.broadcast: Broadcast | None = None

    def begin(self, *, stdin_once: bool = False) -> Broadcast:
        self.broadcast = Broadcast(self._stream, self._tmp, stdin_once=stdin_once)
        return self.broadcast

    async def say(self, data: bytes, *, stream: int = 1) -> None:
        packet = bytes([2 if stream == 1 else 3]) + data
        await asyncio.get_running_loop().sock_sendall(self.conmon, packet)

    async def flood(self, packets: int) -> bytes:
        """Write packets that differ; stuck for ever when the engine does not read."""
        said = [b"%08d" % at * 500 for at in range(packets)]
        for data in said:
            await asyncio.wait_for(self.say(data), 10)
        return b"".join(said)


@asynccontextmanager
async def a_wire(tmp_path: Path) -> AsyncIterator[Wire]:
    wire = Wire(tmp_path)
    with wire.conmon:
        yield wire
        if wire.broadcast is not None:
            await wire.broadcast.aclose()


async def heard(listener: Listener) -> bytes:
    return b"".join([data async for _, data in listener])


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MEMORY_BYTES", 20_000)
    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)


async def test_everybody_hears_all_since_they_came(tmp_path: Path) -> None:
    async with a_wire(tmp_path) as wire:
        broadcast = wire.begin()
        first = broadcast.join(foreground=True)
        await wire.say(b"one")
        assert await anext(aiter(first)) == (1, b"one")
        second = broadcast.join(foreground=False)
        await wire.say(b"two", stream=2)
        wire.conmon.close()
        assert [packet async for packet in first] == [(2, b"two")]
        assert [packet async for packet in second] == [(2, b"two")]
        assert broadcast.over


@pytest.mark.parametrize("foreground", [True, False])
async def test_one_that_does_not_read_stalls_nobody_and_misses_nothing(
    tmp_path: Path, foreground: bool
) -> None:
    async with a_wire(tmp_path) as wire:
        broadcast = wire.begin()
        idle = broadcast.join(foreground=foreground)
        reading = asyncio.ensure_future(heard(broadcast.join(foreground=False)))
        said = await wire.flood(200)
        wire.conmon.close()
        assert await asyncio.wait_for(reading, 10) == said
        assert await heard(idle) == said


async def test_one_that_looks_on_is_told_when_more_came_than_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FILE_BYTES", 100_000)
    async with a_wire(tmp_path) as wire:
        idle = wire.begin().join(foreground=False)
        said = await wire.flood(400)
        got = b""
        with pytest.raises(SystemFailure, match="did not read"):
            async for _, data in idle:
                got += data
        assert 100_000 < len(got) < len(said)
        assert said.startswith(got)


async def test_output_waits_for_the_one_in_the_foreground_when_no_more_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FILE_BYTES", 100_000)
    async with a_wire(tmp_path) as wire:
        listener = wire.begin().join(foreground=True)
        flooding = asyncio.ensure_future(wire.flood(600))
        done, _ = await asyncio.wait([flooding], timeout=0.5)
        assert not done
        reading = asyncio.ensure_future(heard(listener))
        said = await flooding
        wire.conmon.close()
        assert await reading == said


async def test_one_that_leaves_lets_the_output_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FILE_BYTES", 0)
    async with a_wire(tmp_path) as wire:
        broadcast = wire.begin()
        stuck, other = broadcast.join(foreground=True), broadcast.join(foreground=True)
        reading = asyncio.ensure_future(heard(other))
        flooding = asyncio.ensure_future(wire.flood(200))
        done, _ = await asyncio.wait([flooding], timeout=0.2)
        assert not done
        await stuck.aclose()
        await stuck.aclose()
        said = await flooding
        wire.conmon.close()
        assert await reading == said


async def test_input_of_several_arrives_whole(tmp_path: Path) -> None:
    async with a_wire(tmp_path) as wire:
        broadcast = wire.begin()
        writers = [broadcast.join(foreground=False) for _ in range(3)]
        data = [bytes([at]) * 100_000 for at in range(3)]
        writing = [asyncio.ensure_future(w.write(d)) for w, d in zip(writers, data, strict=True)]
        got = bytearray()
        while len(got) < 300_000:
            got += await asyncio.get_running_loop().sock_recv(wire.conmon, 1 << 16)
        await asyncio.gather(*writing)
        assert [got.count(bytes([at])) for at in range(3)] == [100_000] * 3


@pytest.mark.parametrize("once", [True, False])
async def test_the_end_of_one_input_is_the_end_only_where_it_was_asked_for(
    tmp_path: Path, once: bool
) -> None:
    async with a_wire(tmp_path) as wire:
        broadcast = wire.begin(stdin_once=once)
        first, second = broadcast.join(foreground=True), broadcast.join(foreground=True)
        await first.close_stdin()
        await second.write(b"more")
        got = await asyncio.get_running_loop().sock_recv(wire.conmon, 100)
        assert got == (b"" if once else b"more")


async def test_input_that_a_client_left_open_stays_open(tmp_path: Path) -> None:
    async with a_wire(tmp_path) as wire:
        broadcast = wire.begin(stdin_once=True)
        await broadcast.join(foreground=True).aclose()
        await wire.flood(100)  # it is read, though nobody listens
        listener = broadcast.join(foreground=False)
        await listener.write(b"more")
        assert await asyncio.get_running_loop().sock_recv(wire.conmon, 100) == b"more"


async def test_the_first_output_that_nobody_hears_is_the_last_that_is_read(tmp_path: Path) -> None:
    async with a_wire(tmp_path) as wire:
        broadcast = wire.begin()
        await broadcast.join(foreground=True).aclose()
        listener = broadcast.join(foreground=False)  # nothing was said meanwhile
        await wire.say(b"heard")
        assert await anext(aiter(listener)) == (1, b"heard")
        await listener.aclose()
        await wire.say(b"not heard")
        assert await asyncio.get_running_loop().sock_recv(wire.conmon, 100) == b""
        assert broadcast.over
