"""Containers that are taken away."""

from __future__ import annotations

import asyncio

import pytest
from tests.builders import a_container, a_host_config
from tests.fakes.host import (
    FakeHost,
    a_removal_waiter,
    an_attacher,
    an_exit_waiter,
    soon,
)

from pogu.containers.entry import ExitStatus
from pogu.containers.model import MountPoint, Status
from pogu.errors import Conflict


def a_volume(name: str) -> MountPoint:
    return MountPoint(type="volume", source="/v", destination="/d", name=name)


async def test_a_removed_container_leaves_nothing(host: FakeHost) -> None:
    entry = host.add(a_container())
    (host.bundles.directory(entry.id) / "upper/file").write_text("x")
    waiter, removal, attacher = an_exit_waiter(entry), a_removal_waiter(entry), an_attacher(entry)
    await host.removal.take_away(entry, volumes=False)
    assert await soon(waiter) == await soon(removal) == ExitStatus(exit_code=0)
    with pytest.raises(Conflict, match="was removed"):
        await attacher
    await host.background.finish()
    assert list(host.rows.load()) == []
    assert list(host.paths.containers.iterdir()) == list(host.paths.tmp.iterdir()) == []


@pytest.mark.parametrize(("volumes", "removed"), [(True, ["a" * 64]), (False, [])])
async def test_only_anonymous_volumes_go_along(
    host: FakeHost, volumes: bool, removed: list[str]
) -> None:
    entry = host.add(a_container(mounts=(a_volume("a" * 64), a_volume("named"))))
    await host.removal.take_away(entry, volumes=volumes)
    assert host.removed_volumes == removed


async def test_a_removal_is_done_once(host: FakeHost) -> None:
    entry = host.add(a_container())
    for _ in range(2):
        await host.removal.take_away(entry, volumes=False)
    assert host.happened() == ["destroy"]


async def test_a_removal_that_was_cut_short_can_be_finished(host: FakeHost) -> None:
    entry = host.add(a_container(status=Status.REMOVING))
    host.bundles.directory(entry.id).rename(host.paths.tmp / "removed-before-the-row")
    await host.removal.take_away(entry, volumes=False)
    assert list(host.rows.load()) == []


async def test_a_waiting_restart_is_removed_with_its_container(host: FakeHost) -> None:
    entry = host.add(a_container(status=Status.EXITED, host=a_host_config(restart="always")))
    async with entry.lock:
        host.lifecycle.restart_later(entry, 0)
        await host.removal.take_away(entry, volumes=False)
    await asyncio.sleep(0)
    assert host.launches == 0
    assert entry not in host.registry
