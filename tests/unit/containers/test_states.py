"""What is on record of a container, and what is told of it."""

from __future__ import annotations

import pytest
from tests.builders import a_container
from tests.fakes.host import (
    FakeHost,
    an_exit_waiter,
    sh,
    soon,
)

from pogu.containers.model import Status
from pogu.errors import SystemFailure


def test_an_illegal_change_is_refused_and_not_recorded(host: FakeHost) -> None:
    entry = host.add(a_container())
    with pytest.raises(SystemFailure, match="created cannot be paused"):
        host.states.change(entry, status=Status.PAUSED)
    assert entry.state.status is Status.CREATED


async def test_running_out_of_memory_is_said_once_while_it_runs(host: FakeHost) -> None:
    entry = host.add(a_container())
    waiter = an_exit_waiter(entry)
    host.next = [sh("read line; exit 0")]
    oom = host.paths.run_containers / entry.id / "oom"
    oom.parent.mkdir()
    await host.lifecycle.start(entry)
    host.states.note_oom(entry, look=True)
    oom.touch()
    host.states.note_oom(entry, look=True)
    host.states.note_oom(entry, look=True)
    assert entry.state.oom_killed
    await host.stopper.kill(entry, "KILL")
    await soon(waiter)
    assert [action for action in host.happened() if action == "oom"] == ["oom"]
