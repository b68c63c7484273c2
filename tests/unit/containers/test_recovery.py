"""After the engine was away: what it finds, and what it makes of it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import msgspec
import pytest
from tests.builders import a_container, a_host_config
from tests.fakes.host import FakeHost, until

from pogu.containers.entry import Entry
from pogu.containers.model import MountPoint, Status, parse_time_ns
from pogu.errors import SystemFailure
from pogu.model.container import HostConfig
from pogu.runtime.oci_runtime import RuntimeState
from pogu.storage.tree import remove_tree

STARTED = "2026-01-01T00:00:00.000000000Z"


def a_running_row(*, host: HostConfig | None = None, **state: object) -> Entry:
    """A container that ran when the engine went away."""
    values = {"pid": 2**22 + 1, "conmon_pid": 2**22 + 2, **state}
    return a_container(status=Status.RUNNING, started_at=STARTED, host=host, **values)  # type: ignore[arg-type]


def still_runs(host: FakeHost, entry: Entry, status: str = "running") -> int:
    """Give the container a living process and monitor."""
    pid = host.start_next(entry.id)
    directory = host.paths.run_containers / entry.id
    directory.mkdir()
    (directory / "conmon.pid").write_text(str(pid))
    host.runtime.states.append(RuntimeState(id=entry.id, status=status, pid=pid))
    return pid


def has_exited(host: FakeHost, entry: Entry, code: int, *, at_s: int = 1_790_000_000) -> None:
    """Leave what a monitor leaves whose container ended."""
    path = host.paths.exits / entry.id
    path.write_text(str(code))
    os.utime(path, (at_s, at_s))


async def test_what_runs_is_adopted(host: FakeHost) -> None:
    entry = host.add(a_running_row())
    pid = still_runs(host, entry)
    await host.recovery.recover([entry])
    assert (entry.state.status, entry.state.pid, entry.state.conmon_pid) == (
        Status.RUNNING,
        pid,
        pid,
    )
    assert entry.state.started_at == STARTED
    assert not entry.ended.is_set()
    assert entry.send_signal(9)
    await until(entry.ended.is_set)
    assert entry.state.exit_code == 137


@pytest.mark.parametrize(
    ("row", "frozen", "after"),
    [
        (Status.PAUSED, "paused", Status.PAUSED),
        (Status.PAUSED, "running", Status.RUNNING),
        (Status.RUNNING, "paused", Status.RUNNING),
    ],
)
async def test_what_is_paused_stays_so_only_where_somebody_was_told(
    host: FakeHost, row: Status, frozen: str, after: Status
) -> None:
    entry = host.add(a_container(status=row, pid=2, conmon_pid=3, started_at=STARTED))
    pid = still_runs(host, entry, frozen)

    def stands_still() -> bool:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    if frozen == "paused":
        os.kill(pid, signal.SIGSTOP)
        await until(stands_still)
    await host.recovery.recover([entry])
    assert (entry.state.status, entry.state.started_at) == (after, STARTED)
    await until(lambda: stands_still() is (after is Status.PAUSED))


async def test_a_process_older_than_its_row_is_adopted(host: FakeHost) -> None:
    entry = host.add(a_container(status=Status.CREATED))
    still_runs(host, entry)
    await host.recovery.recover([entry])
    assert entry.state.status is Status.RUNNING
    assert parse_time_ns(entry.state.started_at) > 0


async def test_an_end_that_nobody_saw_is_recorded(host: FakeHost) -> None:
    entry = host.add(a_running_row())
    has_exited(host, entry, 7, at_s=1_790_000_000)
    await host.recovery.recover([entry])
    assert (entry.state.status, entry.state.exit_code, entry.state.pid) == (Status.EXITED, 7, 0)
    assert parse_time_ns(entry.state.finished_at) == 1_790_000_000 * 10**9
    assert entry.ended.is_set()
    assert host.happened() == ["die"]
    assert not (host.paths.exits / entry.id).exists()


async def test_an_end_with_the_host_has_dockers_code(host: FakeHost) -> None:
    entry = host.add(a_running_row())
    await host.recovery.recover([entry])
    assert (entry.state.status, entry.state.exit_code) == (Status.EXITED, 255)


async def test_an_end_never_lies_before_the_start(host: FakeHost) -> None:
    entry = host.add(a_running_row())
    has_exited(host, entry, 0, at_s=1)
    await host.recovery.recover([entry])
    assert entry.state.finished_at == STARTED


async def test_running_out_of_memory_meanwhile_is_recorded(host: FakeHost) -> None:
    entry = host.add(a_running_row())
    has_exited(host, entry, 137)
    directory = host.paths.run_containers / entry.id
    directory.mkdir()
    (directory / "oom").touch()
    await host.recovery.recover([entry])
    assert entry.state.oom_killed


async def test_a_created_process_that_was_never_started_is_taken_away(host: FakeHost) -> None:
    entry = host.add(a_container())
    pid = still_runs(host, entry, status="created")
    await host.recovery.recover([entry])
    assert entry.state.status is Status.CREATED
    assert entry.id in host.released
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_rm_holds_for_an_end_that_nobody_saw(host: FakeHost) -> None:
    entry = host.add(a_running_row(host=a_host_config(auto_remove=True)))
    has_exited(host, entry, 0)
    await host.recovery.recover([entry])
    assert entry not in host.registry
    assert list(host.rows.load()) == []


@pytest.mark.parametrize("status", [Status.REMOVING, Status.DEAD])
@pytest.mark.parametrize("directory_is_gone", [True, False])
async def test_a_removal_that_was_begun_is_finished(
    host: FakeHost, status: Status, directory_is_gone: bool
) -> None:
    entry = host.add(a_container(status=status))
    if directory_is_gone:
        host.bundles.directory(entry.id).rename(host.paths.tmp / "trash")
    await host.recovery.recover([entry])
    assert list(host.rows.load()) == []
    assert not host.bundles.directory(entry.id).exists()


@pytest.mark.parametrize(
    ("policy", "code", "restarts"),
    [
        ("always", 0, True),
        ("unless-stopped", 0, True),
        ("on-failure", 1, True),
        ("on-failure", 0, False),
        ("no", 1, False),
    ],
)
async def test_the_restart_policy_holds_for_an_end_that_nobody_saw(
    host: FakeHost, policy: str, code: int, restarts: bool
) -> None:
    entry = host.add(a_running_row(host=a_host_config(restart=policy)))
    has_exited(host, entry, code)
    await host.recovery.recover([entry])
    if restarts:
        await until(lambda: entry.active)
    assert host.launches == restarts


async def test_a_restart_that_waited_goes_on(host: FakeHost) -> None:
    entry = a_container(status=Status.RESTARTING, host=a_host_config(restart="always"))
    host.add(entry)
    await host.recovery.recover([entry])
    await until(lambda: entry.active)


async def test_what_the_user_stopped_unless_always_stays_stopped(host: FakeHost) -> None:
    policy = a_host_config(restart="unless-stopped")
    entry = host.add(a_container(status=Status.EXITED, host=policy, stopped_by_user=True))
    await host.recovery.recover([entry])
    assert (entry.state.status, entry.restarter) == (Status.EXITED, None)


@pytest.mark.parametrize(
    ("policy", "code", "stopped", "starts"),
    [
        ("always", 0, True, True),
        ("unless-stopped", 0, False, True),
        ("unless-stopped", 0, True, False),
        ("on-failure", 1, False, True),
        ("on-failure", 1, True, False),
        ("no", 1, False, False),
    ],
)
async def test_a_boot_starts_what_its_policy_wants_up_and_only_a_boot(
    host: FakeHost, policy: str, code: int, stopped: bool, starts: bool
) -> None:
    await host.recovery.recover([])  # the first engine since the boot
    entry = a_container(
        status=Status.EXITED,
        host=a_host_config(restart=policy),
        exit_code=code,
        stopped_by_user=stopped,
    )
    host.add(entry)
    await host.recovery.recover([entry])
    assert entry.restarter is None
    (host.paths.run_root / "booted").write_text("an earlier boot")
    await host.recovery.recover([entry])
    assert (entry.restarter is not None) is starts
    if starts:
        await until(lambda: entry.active)
        assert entry.state.restart_count == 0


async def test_rm_holds_where_the_engine_was_killed_between_the_end_and_the_removal(
    host: FakeHost,
) -> None:
    policy = a_host_config(auto_remove=True)
    entry = host.add(a_container(status=Status.EXITED, host=policy))
    await host.recovery.recover([entry])
    assert list(host.rows.load()) == []


async def test_nothing_starts_before_the_networks_of_what_does_not_run_are_gone(
    host: FakeHost,
) -> None:
    entry = a_running_row(host=a_host_config(restart="always"))
    host.add(entry)
    launched: list[int] = []

    async def retain() -> None:
        await asyncio.sleep(0.01)  # long enough for a start that does not wait
        launched.append(host.launches)

    await host.recovery.recover([entry], before_starts=retain)
    await until(lambda: entry.active)
    assert (launched, host.launches) == ([0], 1)


async def test_a_start_at_boot_that_fails_is_tried_again(host: FakeHost) -> None:
    policy = a_host_config(restart="always")
    entry = host.add(a_container(status=Status.EXITED, host=policy, stopped_by_user=True))
    host.next = [SystemFailure("the disk is not there yet")]
    await host.recovery.recover([entry])
    await until(lambda: host.launches == 2 and entry.active)


async def test_a_stop_that_the_engine_did_not_live_to_see_is_a_stop(host: FakeHost) -> None:
    (host.paths.run_root / "booted").touch()
    await host.recovery.recover([])
    entry = host.add(a_running_row(host=a_host_config(restart="always"), stopped_by_user=True))
    has_exited(host, entry, 0)
    await host.recovery.recover([entry])
    assert (entry.state.status, entry.restarter) == (Status.EXITED, None)


async def test_what_no_row_names_is_swept(host: FakeHost) -> None:
    stray = a_container(id="b" * 64)
    host.bundles.make(stray.id)
    has_exited(host, stray, 0)
    (host.paths.run_containers / "c").mkdir()
    host.runtime.states = [RuntimeState(id="d" * 64, status="stopped", pid=0)]
    await host.recovery.recover([])
    assert list(host.paths.containers.iterdir()) == []
    assert list(host.paths.exits.iterdir()) == []
    assert list(host.paths.run_containers.iterdir()) == []
    assert host.released == ["d" * 64]


async def test_builds_and_probes_are_left_alone(host: FakeHost) -> None:
    ids = ["build-1", "pogu-probe-2"]
    host.runtime.states = [RuntimeState(id=one, status="running", pid=1) for one in ids]
    await host.recovery.recover([])
    assert host.released == []


async def test_recovering_twice_changes_nothing(host: FakeHost) -> None:
    running, ended = a_running_row(), a_container(id="e" * 64, name="db", status=Status.EXITED)
    host.add(running)
    host.add(ended)
    still_runs(host, running)
    await host.recovery.recover([running, ended])
    first = running.state, ended.state
    watcher = running.watcher
    await host.recovery.recover([running, ended])
    assert (running.state, ended.state) == first
    if watcher is not None:
        watcher.cancel()


async def test_a_row_whose_directory_is_gone_was_being_removed(host: FakeHost) -> None:
    entry = host.add(a_container(status=Status.EXITED))
    remove_tree(host.bundles.directory(entry.id))
    await host.recovery.recover([entry])
    assert list(host.rows.load()) == []
    assert entry not in host.registry


async def test_a_removal_that_was_begun_takes_its_volumes_along(host: FakeHost) -> None:
    volume = MountPoint(type="volume", name="a" * 64, source="/x", destination="/data")
    entry = a_container(status=Status.REMOVING, removes_volumes=True)
    entry.record = msgspec.structs.replace(entry.record, mounts=(volume,))
    host.add(entry)
    await host.recovery.recover([entry])
    assert host.removed_volumes == ["a" * 64]
    assert list(host.rows.load()) == []
