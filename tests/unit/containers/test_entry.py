"""One container in memory: its process and those who wait for it."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator

import pytest
from tests.builders import a_container

from pogu.containers.entry import Entry, ExitStatus
from pogu.containers.model import Status
from pogu.errors import Conflict
from pogu.runtime.broadcast import Listener


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as child:
        yield child
        child.kill()


def holding(process: subprocess.Popen[bytes]) -> Entry:
    entry = a_container(status=Status.RUNNING, pid=process.pid)
    entry.hold_process()
    return entry


def a_future() -> asyncio.Future[ExitStatus]:
    return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("status", list(Status))
async def test_only_what_runs_or_is_paused_is_active(status: Status) -> None:
    entry = a_container(status=status)
    assert entry.active is (status in (Status.RUNNING, Status.PAUSED))
    assert entry.ended.is_set() is not entry.active


async def test_a_signal_reaches_the_process(process: subprocess.Popen[bytes]) -> None:
    entry = holding(process)
    assert entry.send_signal(10)
    assert process.wait(5) == -10
    assert not entry.send_signal(15)
    entry.drop_process()


async def test_a_process_that_is_gone_gets_no_signal() -> None:
    entry = a_container(status=Status.RUNNING, pid=2**22 + 1)
    entry.hold_process()
    assert not entry.send_signal(9)


async def test_a_dropped_process_is_left_alone(process: subprocess.Popen[bytes]) -> None:
    entry = holding(process)
    for _ in range(2):
        entry.drop_process()
    assert not entry.send_signal(9)
    assert process.poll() is None


async def test_holding_again_leaks_no_handle(process: subprocess.Popen[bytes]) -> None:
    entry = holding(process)
    before = len(os.listdir("/proc/self/fd"))
    entry.hold_process()
    assert len(os.listdir("/proc/self/fd")) == before
    entry.drop_process()


async def test_an_end_wakes_exit_waiters_only() -> None:
    entry = a_container(status=Status.EXITED, exit_code=3, error="why")
    exited, removed = a_future(), a_future()
    entry.exit_waiters.append(exited)
    entry.removal_waiters.append(removed)
    entry.tell_exit()
    assert await exited == ExitStatus(exit_code=3, error="why")
    assert not removed.done()


async def test_a_removal_wakes_everybody() -> None:
    entry = a_container(status=Status.EXITED, exit_code=3)
    exited, removed, cancelled = a_future(), a_future(), a_future()
    cancelled.cancel()
    entry.exit_waiters.append(exited)
    entry.removal_waiters += [cancelled, removed]
    entry.tell_removal()
    assert (await exited).exit_code == (await removed).exit_code == 3
    entry.tell_removal()


async def test_refused_attachers_learn_why() -> None:
    entry = a_container()
    future: asyncio.Future[Listener] = asyncio.get_running_loop().create_future()
    entry.attachers.append(future)
    entry.refuse_attachers(Conflict("no"))
    with pytest.raises(Conflict):
        await future
    assert entry.attachers == []


async def test_who_waits_no_longer_is_forgotten() -> None:
    entry = a_container(status=Status.RUNNING)
    stays, leaves = entry.exit_future("next-exit"), entry.exit_future("")
    leaves.cancel()
    await asyncio.sleep(0)
    assert entry.exit_waiters == [stays]
    entry.tell_exit()
    await asyncio.sleep(0)
    assert (stays.result().exit_code, entry.exit_waiters) == (0, [])
