"""Connections to conmon, which accepts one at each of its turns."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pogu.runtime import attach_stream as module
from pogu.runtime.attach_stream import AttachStream

NO_CONMON = 0


@pytest.fixture
def conmon(tmp_path: Path) -> Iterator[socket.socket]:
    """conmon's attach socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        directory = os.open(tmp_path, os.O_PATH)
        listening.bind(f"/proc/self/fd/{directory}/attach")
        os.close(directory)
        listening.listen()
        listening.settimeout(10)
        yield listening


async def test_a_stream_is_accepted_when_conmon_has_seen_the_one_behind_it(
    tmp_path: Path, conmon: socket.socket
) -> None:
    stream = AttachStream.connected(tmp_path, NO_CONMON)
    accepted = asyncio.ensure_future(stream.accepted())
    await asyncio.sleep(0.02)
    first, _ = conmon.accept()
    second, _ = conmon.accept()
    with first, second:
        await asyncio.sleep(0.02)
        assert not accepted.done()
        assert second.recv(100) == b""
        second.shutdown(socket.SHUT_RD)  # as conmon does at an end
        await asyncio.wait_for(accepted, 10)
        with pytest.raises(BrokenPipeError):
            second.send(b"\x02nobody waits for this")
        first.send(b"\x02out")
        assert await anext(aiter(stream.batches())) == [(1, b"out")]
    stream.close()


async def test_a_conmon_that_ends_is_not_waited_for(tmp_path: Path, conmon: socket.socket) -> None:
    stream = AttachStream.connected(tmp_path, NO_CONMON)
    accepted = asyncio.ensure_future(stream.accepted())
    await asyncio.sleep(0.02)
    conmon.close()
    await asyncio.wait_for(accepted, 10)
    await stream.accepted()  # nobody listens any more
    stream.close()


async def test_a_conmon_that_does_nothing_is_not_waited_for_for_ever(
    tmp_path: Path, conmon: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.02)
    stream = AttachStream.connected(tmp_path, NO_CONMON)
    await asyncio.wait_for(stream.accepted(), 10)
    stream.close()
