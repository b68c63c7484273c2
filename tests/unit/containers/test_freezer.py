"""Containers that stand still."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders import a_container
from tests.fakes.host import (
    FakeHost,
    until,
)

from pogu.containers.entry import Entry
from pogu.containers.model import Status
from pogu.errors import Conflict


def is_stopped(host: FakeHost, entry: Entry) -> bool:
    """What the fake runtime does to a frozen child."""
    stat = Path(f"/proc/{host.children[entry.id]}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


async def test_a_paused_container_stands_still_until_it_is_unpaused(host: FakeHost) -> None:
    entry = host.add(a_container())
    await host.lifecycle.start(entry)
    await host.freezer.pause(entry)
    assert entry.state.status is Status.PAUSED
    await until(lambda: is_stopped(host, entry))
    with pytest.raises(Conflict, match="is already paused"):
        await host.freezer.pause(entry)
    await host.freezer.unpause(entry)
    await until(lambda: not is_stopped(host, entry))
    assert (entry.state.status, host.happened()) == (Status.RUNNING, ["start", "pause", "unpause"])
    with pytest.raises(Conflict, match="is not paused"):
        await host.freezer.unpause(entry)


@pytest.mark.parametrize("status", [Status.CREATED, Status.EXITED])
async def test_only_what_runs_can_be_paused(host: FakeHost, status: Status) -> None:
    with pytest.raises(Conflict, match="is not running"):
        await host.freezer.pause(host.add(a_container(status=status)))


async def test_a_paused_container_is_not_started(host: FakeHost) -> None:
    entry = host.add(a_container())
    await host.lifecycle.start(entry)
    await host.freezer.pause(entry)
    with pytest.raises(Conflict, match="try unpause instead"):
        await host.lifecycle.start(entry)


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_paused_container_can_be_ended(host: FakeHost, end: str) -> None:
    entry = host.add(a_container())
    await host.lifecycle.start(entry)
    await host.freezer.pause(entry)
    if end == "stop":
        await host.stopper.stop(entry, timeout_s=20, signal_name=None)
    else:
        await host.stopper.kill(entry, "KILL")
    await until(entry.ended.is_set)
    assert entry.state.exit_code == (143 if end == "stop" else 137)


async def test_a_container_held_still_shows_nothing_of_it(host: FakeHost) -> None:
    entry = host.add(a_container())
    await host.lifecycle.start(entry)
    async with host.freezer.frozen(entry):
        await until(lambda: is_stopped(host, entry))
        assert entry.state.status is Status.RUNNING
    await until(lambda: not is_stopped(host, entry))
    assert host.happened() == ["start"]
