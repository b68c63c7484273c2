"""An output is delivered whole, as fast as it is taken."""

from __future__ import annotations

import asyncio
import os

from pogu.runtime.outlet import Outlet, deliver


class Reader:
    """Takes output, slowly if asked."""

    def __init__(self, pause_s: float = 0) -> None:
        self.taken = bytearray()
        self._pause_s = pause_s

    async def take(self, _stream: int, data: bytes) -> None:
        await asyncio.sleep(self._pause_s)
        self.taken += data


async def test_all_that_was_written_is_delivered_to_a_slow_reader() -> None:
    ours, its = os.pipe()
    reader, outlet = Reader(pause_s=0.3), Outlet(ours, 1)
    outlet.begin(reader.take)
    os.write(its, b"x" * 60000)
    await deliver([outlet])
    assert len(reader.taken) == 60000
    os.close(its)
    await outlet.wait(1)


async def test_a_child_that_holds_the_pipe_is_not_waited_for() -> None:
    ours, its = os.pipe()
    outlet = Outlet(ours, 1)
    outlet.begin(Reader().take)
    await asyncio.wait_for(deliver([outlet]), 2)
    assert not outlet.ended
    os.close(its)
    await outlet.wait(1)
    assert outlet.ended


async def test_late_output_of_a_child_is_waited_for_a_moment() -> None:
    ours, its = os.pipe()
    reader, outlet = Reader(), Outlet(ours, 1)
    outlet.begin(reader.take)
    asyncio.get_running_loop().call_later(0.05, os.write, its, b"late")
    await deliver([outlet])
    assert bytes(reader.taken) == b"late"
    outlet.stop()
    os.close(its)
    await outlet.wait(1)


async def test_a_terminal_ends_when_its_last_process_does() -> None:
    master, slave = os.openpty()
    reader, outlet = Reader(), Outlet(master, 1)
    outlet.begin(reader.take)
    os.write(slave, b"bye")
    os.close(slave)
    await deliver([outlet])
    assert bytes(reader.taken) == b"bye"
    assert outlet.ended
