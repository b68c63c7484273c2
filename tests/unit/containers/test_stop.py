"""Stop and kill of containers that are plain children here."""

from __future__ import annotations

import asyncio

import pytest
from tests.builders import a_config, a_container, a_host_config
from tests.fakes.host import (
    FakeHost,
    an_exit_waiter,
    soon,
    until,
)

from pogu.containers.model import Status
from pogu.errors import Conflict, InvalidParameter, NotModified, SystemFailure


async def test_a_stop_asks_politely(host: FakeHost) -> None:
    entry = host.add(a_container())
    await host.lifecycle.start(entry)
    await host.stopper.stop(entry, timeout_s=None, signal_name=None)
    assert (entry.state.exit_code, entry.state.status) == (143, Status.EXITED)
    assert host.happened() == ["start", "kill", "die", "stop"]


async def test_a_stop_kills_after_its_timeout(host: FakeHost) -> None:
    entry = host.add(a_container())
    host.ignores_term = True
    await host.lifecycle.start(entry)
    await host.stopper.stop(entry, timeout_s=0, signal_name=None)
    assert entry.state.exit_code == 137


async def test_the_timeout_of_the_container_holds_where_none_is_given(host: FakeHost) -> None:
    entry = host.add(a_container(config=a_config(stop_timeout=0)))
    host.ignores_term = True
    await host.lifecycle.start(entry)
    await asyncio.wait_for(host.stopper.stop(entry, timeout_s=None, signal_name=None), 5)
    assert entry.state.exit_code == 137


async def test_a_stop_without_a_timeout_waits_for_ever(host: FakeHost) -> None:
    entry = host.add(a_container())
    host.ignores_term = True
    await host.lifecycle.start(entry)
    stopping = asyncio.create_task(host.stopper.stop(entry, timeout_s=-1, signal_name=None))
    await until(lambda: "kill" in host.happened())
    assert not stopping.done()
    entry.send_signal(9)
    await asyncio.wait_for(stopping, 5)


@pytest.mark.parametrize(
    ("configured", "given", "code"), [("", "INT", 130), ("USR1", None, 138), ("USR1", "9", 137)]
)
async def test_the_stop_signal_can_be_chosen(
    host: FakeHost, configured: str, given: str | None, code: int
) -> None:
    entry = host.add(a_container(config=a_config(stop_signal=configured)))
    await host.lifecycle.start(entry)
    await host.stopper.stop(entry, timeout_s=None, signal_name=given)
    assert entry.state.exit_code == code


async def test_an_unknown_signal_leaves_the_container_alone(host: FakeHost) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    await host.lifecycle.start(entry)
    with pytest.raises(InvalidParameter):
        await host.stopper.stop(entry, timeout_s=None, signal_name="NOPE")
    with pytest.raises(InvalidParameter):
        await host.stopper.kill(entry, "NOPE")
    assert entry.active
    assert not entry.state.stopped_by_user


async def test_what_does_not_run_is_not_stopped_nor_killed(host: FakeHost) -> None:
    entry = host.add(a_container())
    with pytest.raises(NotModified):
        await host.stopper.stop(entry, timeout_s=None, signal_name=None)
    with pytest.raises(Conflict, match="is not running"):
        await host.stopper.kill(entry, "KILL")


async def test_a_stopped_container_is_not_restarted(host: FakeHost) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    await host.lifecycle.start(entry)
    await host.stopper.stop(entry, timeout_s=None, signal_name=None)
    assert (entry.state.status, host.launches) == (Status.EXITED, 1)


async def test_a_stop_calls_off_a_restart_that_waits(host: FakeHost) -> None:
    entry = host.add(a_container(status=Status.EXITED, host=a_host_config(restart="always")))
    async with entry.lock:
        host.lifecycle.restart_later(entry, 0)
    waiter = an_exit_waiter(entry)
    await host.stopper.stop(entry, timeout_s=None, signal_name=None)
    await soon(waiter)
    assert (entry.state.status, entry.state.stopped_by_user) == (Status.EXITED, True)
    await asyncio.sleep(0)
    assert host.launches == 0


async def test_a_stop_during_a_restart_stops_what_was_restarted(host: FakeHost) -> None:
    entry = host.add(a_container(status=Status.EXITED, host=a_host_config(restart="always")))
    host.launcher.may_launch.clear()
    host.lifecycle.restart_later(entry, 0)
    await until(lambda: host.launches)
    stopping = asyncio.create_task(host.stopper.stop(entry, timeout_s=None, signal_name=None))
    await asyncio.sleep(0)
    host.launcher.may_launch.set()
    await asyncio.wait_for(stopping, 5)
    assert (entry.state.status, entry.state.stopped_by_user) == (Status.EXITED, True)
    assert host.children == {}


async def test_kill_ends_the_container_and_its_restarts(host: FakeHost) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    await host.lifecycle.start(entry)
    await host.stopper.kill(entry, "KILL")
    assert (entry.state.status, entry.state.exit_code) == (Status.EXITED, 137)
    assert host.launches == 1


async def test_another_signal_only_arrives(host: FakeHost) -> None:
    entry = host.add(a_container())
    host.ignores_term = True
    await host.lifecycle.start(entry)
    await host.stopper.kill(entry, "SIGTERM")
    assert entry.active
    assert host.past()[-1].attributes["signal"] == "15"


async def test_a_process_that_cannot_die_is_told(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pogu.containers.stop._KILL_S", 0)
    entry = host.add(a_container())
    await host.lifecycle.start(entry)
    with pytest.raises(SystemFailure, match="did not receive an exit event"):
        await host.stopper.kill_whole(entry)


@pytest.mark.parametrize(("sent", "restarts"), [("INT", False), ("TERM", False), ("HUP", True)])
async def test_only_a_signal_that_asks_for_the_end_is_a_stop(
    host: FakeHost, sent: str, restarts: bool
) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    await host.lifecycle.start(entry)
    await host.stopper.kill(entry, sent)
    await until(lambda: "die" in host.happened() and not entry.lock.locked())
    assert entry.state.stopped_by_user is not restarts
    assert (entry.state.restart_count == 1) is restarts


async def test_a_kill_calls_off_a_restart_that_waits(host: FakeHost) -> None:
    entry = host.add(a_container(status=Status.EXITED, host=a_host_config(restart="always")))
    host.lifecycle.restart_later(entry, 0)
    await host.stopper.kill(entry, "KILL")
    assert (entry.state.status, entry.state.stopped_by_user) == (Status.EXITED, True)
    assert (entry.restarter, host.launches) == (None, 0)
