"""Start, the end, restart, stop and removal of containers that are plain children here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import pytest
from tests.builders import a_config, a_container, a_host_config
from tests.fakes.host import SLEEP, FakeHost, sh, until

from pogu.containers.entry import Entry, ExitStatus
from pogu.containers.model import ContainerState, MountPoint, Status, parse_time_ns
from pogu.errors import Conflict, EngineError, InvalidParameter, NotModified, SystemFailure
from pogu.runtime.broadcast import Listener
from pogu.runtime.failure import runtime_failure


async def soon(awaitable: Awaitable[ExitStatus]) -> ExitStatus:
    return await asyncio.wait_for(awaitable, 5)


def an_exit_waiter(entry: Entry) -> asyncio.Future[ExitStatus]:
    entry.exit_waiters.append(asyncio.get_running_loop().create_future())
    return entry.exit_waiters[-1]


def a_removal_waiter(entry: Entry) -> asyncio.Future[ExitStatus]:
    entry.removal_waiters.append(asyncio.get_running_loop().create_future())
    return entry.removal_waiters[-1]


def an_attacher(entry: Entry) -> asyncio.Future[Listener]:
    future: asyncio.Future[Listener] = asyncio.get_running_loop().create_future()
    entry.attachers.append(future)
    return future


# ---- start -----------------------------------------------------------------------------------


async def test_a_started_container_runs_and_is_on_record(host: FakeHost) -> None:
    entry = host.add(a_container(exit_code=9, error="old", stopped_by_user=True))
    await host.lifecycle.start(entry)
    assert (entry.state.status, entry.state.pid) == (Status.RUNNING, host.children[entry.id])
    assert (entry.state.exit_code, entry.state.error) == (0, "")
    assert not entry.state.stopped_by_user
    assert parse_time_ns(entry.state.started_at) == host.now_ns
    assert [state for _, _, state in host.rows.load()] == [entry.state]
    assert host.happened() == ["start"]


async def test_a_running_container_is_not_started_again(host: FakeHost) -> None:
    entry = host.add(a_container())
    await host.lifecycle.start(entry)
    with pytest.raises(NotModified):
        await host.lifecycle.start(entry)
    assert host.launches == 1


@pytest.mark.parametrize("status", [Status.REMOVING, Status.DEAD])
async def test_what_is_being_removed_is_not_started(host: FakeHost, status: Status) -> None:
    with pytest.raises(Conflict, match="marked for removal"):
        await host.lifecycle.start(host.add(a_container(status=status)))


async def test_an_attacher_is_connected_before_the_process_starts(host: FakeHost) -> None:
    entry = host.add(a_container())
    attached = an_attacher(entry)
    host.runtime.start_error = SystemFailure("not yet")
    with pytest.raises(SystemFailure):
        await host.lifecycle.start(entry)
    await (await attached).aclose()


# ---- a start that fails ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("executable file `x` not found in $PATH: No such file or directory", 127),
        ('exec: "/x": stat /x: no such file or directory', 127),
        ("open executable: Permission denied", 126),
        ('exec: "/etc": is a directory', 126),
        ("mount `/a` to `/b`: Not a directory", 126),
        ("exec container process `/x`: Exec format error", 126),
        ("anything else", 128),
    ],
)
async def test_a_failed_start_leaves_dockers_exit_code(
    host: FakeHost, said: str, code: int
) -> None:
    entry = host.add(a_container())
    error = runtime_failure("crun", said)
    host.next = [error]
    with pytest.raises(EngineError):
        await host.lifecycle.start(entry)
    assert (entry.state.exit_code, entry.state.error) == (code, error.message)
    assert not entry.active
    assert host.happened() == []


async def test_a_start_that_fails_after_the_launch_releases_everything(host: FakeHost) -> None:
    entry = host.add(a_container())
    host.runtime.start_error = runtime_failure("runc", 'exec: "x": permission denied')
    with pytest.raises(EngineError):
        await host.lifecycle.start(entry)
    assert (entry.state.status, entry.state.pid) == (Status.EXITED, 0)
    assert entry.state.exit_code == 126
    assert entry.ended.is_set()
    assert host.released == [entry.id]
    assert host.children == {}


async def test_a_failed_start_tells_those_who_wait_and_attach(host: FakeHost) -> None:
    entry = host.add(a_container())
    waiter, attacher = an_exit_waiter(entry), an_attacher(entry)
    host.next = [SystemFailure("no such luck")]
    with pytest.raises(SystemFailure):
        await host.lifecycle.start(entry)
    assert await soon(waiter) == ExitStatus(exit_code=128, error="no such luck")
    with pytest.raises(SystemFailure, match="no such luck"):
        await attacher


async def test_a_container_can_be_started_after_a_failure(host: FakeHost) -> None:
    entry = host.add(a_container())
    host.next = [SystemFailure("no"), SLEEP]
    with pytest.raises(SystemFailure):
        await host.lifecycle.start(entry)
    await host.lifecycle.start(entry)
    assert (entry.state.exit_code, entry.state.error) == (0, "")


async def test_rm_holds_for_a_start_that_failed(host: FakeHost) -> None:
    entry = host.add(a_container(host=a_host_config(auto_remove=True)))
    removal = a_removal_waiter(entry)
    host.next = [SystemFailure("no")]
    with pytest.raises(SystemFailure):
        await host.lifecycle.start(entry)
    assert (await soon(removal)).exit_code == 128
    assert host.forgotten == [entry.id]
    assert list(host.rows.load()) == []
    assert not host.launcher.directory(entry.id).exists()


async def test_an_unexpected_failure_does_not_leave_attachers_waiting(host: FakeHost) -> None:
    entry = host.add(a_container())
    attacher = an_attacher(entry)
    host.next = [OSError("disk full")]
    with pytest.raises(OSError, match="disk full"):
        await host.lifecycle.start(entry)
    with pytest.raises(SystemFailure, match="was not started"):
        await attacher


# ---- the end ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)])
async def test_the_end_is_recorded_with_its_code(host: FakeHost, script: str, code: int) -> None:
    entry = host.add(a_container())
    waiter = an_exit_waiter(entry)
    host.next = [sh(script)]
    await host.lifecycle.start(entry)
    assert await soon(waiter) == ExitStatus(exit_code=code)
    assert (entry.state.status, entry.state.pid) == (Status.EXITED, 0)
    assert parse_time_ns(entry.state.finished_at) == host.now_ns
    assert entry.ended.is_set()
    assert host.released == [entry.id]
    assert host.past()[-1].attributes["exitCode"] == str(code)


async def test_an_event_names_the_container_its_image_and_labels(host: FakeHost) -> None:
    entry = host.add(a_container(config=a_config(labels={"a": "b"})))
    await host.lifecycle.start(entry)
    assert host.past()[-1].attributes == {"a": "b", "image": "web", "name": "web"}


async def test_a_monitor_that_dies_ends_its_container(host: FakeHost) -> None:
    entry = host.add(a_container())
    waiter = an_exit_waiter(entry)
    host.next, host.conmon.dies_silently = [sh("exit 0")], True
    await host.lifecycle.start(entry)
    assert await soon(waiter) == ExitStatus(
        exit_code=137, error="the container's monitor (conmon) died"
    )


async def test_being_out_of_memory_is_recorded(host: FakeHost) -> None:
    entry = host.add(a_container())
    waiter = an_exit_waiter(entry)
    oom = host.paths.run_containers / entry.id / "oom"
    oom.parent.mkdir()
    oom.touch()
    host.next = [sh("kill -9 $$")]
    await host.lifecycle.start(entry)
    await soon(waiter)
    assert entry.state.oom_killed
    assert host.happened() == ["start", "oom", "die"]


async def test_rm_removes_after_the_end(host: FakeHost) -> None:
    entry = host.add(a_container(host=a_host_config(auto_remove=True)))
    waiter, removal = an_exit_waiter(entry), a_removal_waiter(entry)
    host.next = [sh("exit 4")]
    await host.lifecycle.start(entry)
    assert (await soon(waiter)).exit_code == 4
    assert (await soon(removal)).exit_code == 4
    assert host.happened() == ["start", "die", "destroy"]
    assert list(host.rows.load()) == []


async def test_a_release_that_fails_still_tells_those_who_wait(host: FakeHost) -> None:
    entry = host.add(a_container())
    waiter = an_exit_waiter(entry)
    host.next, host.release_error = [sh("exit 5")], SystemFailure("device or resource busy")
    await host.lifecycle.start(entry)
    assert (await soon(waiter)).exit_code == 5
    assert entry.ended.is_set()
    host.release_error = None


# ---- restart policy --------------------------------------------------------------------------


async def test_the_pause_before_a_restart_doubles(host: FakeHost) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    host.next = [sh("exit 1")] * 5
    await host.lifecycle.start(entry)
    await until(lambda: host.launches == 6 and entry.active)
    assert host.lifecycle.pauses == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert entry.state.restart_count == 5


async def test_the_pause_has_an_upper_bound(host: FakeHost) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    host.next = [sh("exit 1")] * 12
    await host.lifecycle.start(entry)
    await until(lambda: host.launches == 13 and entry.active)
    assert host.lifecycle.pauses[-3:] == [51.2, 60.0, 60.0]


async def test_a_run_of_ten_seconds_makes_the_pause_short_again(host: FakeHost) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    host.next = [sh("exit 1"), sh("exit 1"), SLEEP]
    await host.lifecycle.start(entry)
    await until(lambda: host.launches == 3 and entry.active)
    host.now_ns += 10 * 10**9
    entry.send_signal(9)
    await until(lambda: host.launches == 4 and entry.active)
    assert host.lifecycle.pauses == [0.1, 0.2, 0.1]


@pytest.mark.parametrize(
    ("policy", "code", "restarts"),
    [
        ("no", 1, False),
        ("", 1, False),
        ("on-failure", 0, False),
        ("on-failure", 1, True),
        ("always", 0, True),
        ("unless-stopped", 0, True),
    ],
)
def test_the_policy_decides_about_a_restart(
    host: FakeHost, policy: str, code: int, restarts: bool
) -> None:
    entry = a_container(host=a_host_config(restart=policy), exit_code=code)
    assert host.lifecycle.should_restart(entry) is restarts
    stopped = a_container(host=a_host_config(restart=policy), exit_code=code, stopped_by_user=True)
    assert not host.lifecycle.should_restart(stopped)


async def test_restarts_after_failures_are_counted_out(host: FakeHost) -> None:
    entry = host.add(a_container(host=a_host_config(restart="on-failure", retries=2)))
    host.next = [sh("exit 7")] * 3
    await host.lifecycle.start(entry)
    await until(lambda: host.launches == 3 and entry.state.status is Status.EXITED)
    assert (entry.state.restart_count, entry.state.exit_code) == (2, 7)


async def test_a_start_by_the_user_counts_restarts_anew(host: FakeHost) -> None:
    policy = a_host_config(restart="on-failure", retries=1)
    entry = host.add(a_container(host=policy, status=Status.EXITED, restart_count=1))
    host.next = [sh("exit 7")]
    await host.lifecycle.start(entry)
    await until(lambda: host.launches == 2 and entry.active)
    assert (entry.state.restart_count, host.lifecycle.pauses) == (1, [0.1])


@pytest.mark.parametrize("error", [SystemFailure("no"), OSError("disk full")])
async def test_a_restart_that_fails_is_tried_again(host: FakeHost, error: Exception) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    host.next = [sh("exit 1"), error, SLEEP]
    await host.lifecycle.start(entry)
    await until(lambda: host.launches == 3 and entry.active)
    assert (entry.state.restart_count, entry.state.error) == (2, "")


async def test_a_restart_that_fails_for_the_last_time_leaves_an_exited_container(
    host: FakeHost,
) -> None:
    entry = host.add(a_container(host=a_host_config(restart="on-failure", retries=1)))
    host.next = [sh("exit 1"), SystemFailure("no")]
    await host.lifecycle.start(entry)
    await until(lambda: host.launches == 2 and entry.state.error == "no")
    assert (entry.state.status, entry.state.exit_code) == (Status.EXITED, 128)


# ---- stop and kill ---------------------------------------------------------------------------


async def test_a_stop_asks_politely(host: FakeHost) -> None:
    entry = host.add(a_container())
    await host.lifecycle.start(entry)
    await host.lifecycle.stop(entry, timeout_s=None, signal_name=None)
    assert (entry.state.exit_code, entry.state.status) == (143, Status.EXITED)
    assert host.happened() == ["start", "kill", "die", "stop"]


async def test_a_stop_kills_after_its_timeout(host: FakeHost) -> None:
    entry = host.add(a_container())
    host.ignores_term = True
    await host.lifecycle.start(entry)
    await host.lifecycle.stop(entry, timeout_s=0, signal_name=None)
    assert entry.state.exit_code == 137


async def test_the_timeout_of_the_container_holds_where_none_is_given(host: FakeHost) -> None:
    entry = host.add(a_container(config=a_config(stop_timeout=0)))
    host.ignores_term = True
    await host.lifecycle.start(entry)
    await asyncio.wait_for(host.lifecycle.stop(entry, timeout_s=None, signal_name=None), 5)
    assert entry.state.exit_code == 137


async def test_a_stop_without_a_timeout_waits_for_ever(host: FakeHost) -> None:
    entry = host.add(a_container())
    host.ignores_term = True
    await host.lifecycle.start(entry)
    stopping = asyncio.create_task(host.lifecycle.stop(entry, timeout_s=-1, signal_name=None))
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
    await host.lifecycle.stop(entry, timeout_s=None, signal_name=given)
    assert entry.state.exit_code == code


async def test_an_unknown_signal_leaves_the_container_alone(host: FakeHost) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    await host.lifecycle.start(entry)
    with pytest.raises(InvalidParameter):
        await host.lifecycle.stop(entry, timeout_s=None, signal_name="NOPE")
    with pytest.raises(InvalidParameter):
        await host.lifecycle.kill(entry, "NOPE")
    assert entry.active
    assert not entry.state.stopped_by_user


async def test_what_does_not_run_is_not_stopped_nor_killed(host: FakeHost) -> None:
    entry = host.add(a_container())
    with pytest.raises(NotModified):
        await host.lifecycle.stop(entry, timeout_s=None, signal_name=None)
    with pytest.raises(Conflict, match="is not running"):
        await host.lifecycle.kill(entry, "KILL")


async def test_a_stopped_container_is_not_restarted(host: FakeHost) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    await host.lifecycle.start(entry)
    await host.lifecycle.stop(entry, timeout_s=None, signal_name=None)
    assert (entry.state.status, host.launches) == (Status.EXITED, 1)


async def test_a_stop_calls_off_a_restart_that_waits(host: FakeHost) -> None:
    entry = host.add(a_container(status=Status.EXITED, host=a_host_config(restart="always")))
    async with entry.lock:
        host.lifecycle.restart_later(entry, 0)
    waiter = an_exit_waiter(entry)
    await host.lifecycle.stop(entry, timeout_s=None, signal_name=None)
    await soon(waiter)
    assert (entry.state.status, entry.state.stopped_by_user) == (Status.EXITED, True)
    await asyncio.sleep(0)
    assert host.launches == 0


async def test_a_stop_during_a_restart_stops_what_was_restarted(host: FakeHost) -> None:
    entry = host.add(a_container(status=Status.EXITED, host=a_host_config(restart="always")))
    host.launcher.may_launch.clear()
    host.lifecycle.restart_later(entry, 0)
    await until(lambda: host.launches)
    stopping = asyncio.create_task(host.lifecycle.stop(entry, timeout_s=None, signal_name=None))
    await asyncio.sleep(0)
    host.launcher.may_launch.set()
    await asyncio.wait_for(stopping, 5)
    assert (entry.state.status, entry.state.stopped_by_user) == (Status.EXITED, True)
    assert host.children == {}


async def test_kill_ends_the_container_and_its_restarts(host: FakeHost) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    await host.lifecycle.start(entry)
    await host.lifecycle.kill(entry, "KILL")
    assert (entry.state.status, entry.state.exit_code) == (Status.EXITED, 137)
    assert host.launches == 1


async def test_another_signal_only_arrives(host: FakeHost) -> None:
    entry = host.add(a_container())
    host.ignores_term = True
    await host.lifecycle.start(entry)
    await host.lifecycle.kill(entry, "SIGTERM")
    assert entry.active
    assert host.past()[-1].attributes["signal"] == "15"


async def test_a_process_that_cannot_die_is_told(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pogu.containers.lifecycle._KILL_S", 0)
    entry = host.add(a_container())
    await host.lifecycle.start(entry)
    with pytest.raises(SystemFailure, match="did not receive an exit event"):
        await host.lifecycle.kill_whole(entry)


@pytest.mark.parametrize(("sent", "restarts"), [("INT", False), ("TERM", False), ("HUP", True)])
async def test_only_a_signal_that_asks_for_the_end_is_a_stop(
    host: FakeHost, sent: str, restarts: bool
) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    await host.lifecycle.start(entry)
    await host.lifecycle.kill(entry, sent)
    await until(lambda: "die" in host.happened() and not entry.lock.locked())
    assert entry.state.stopped_by_user is not restarts
    assert (entry.state.restart_count == 1) is restarts


async def test_a_kill_calls_off_a_restart_that_waits(host: FakeHost) -> None:
    entry = host.add(a_container(status=Status.EXITED, host=a_host_config(restart="always")))
    host.lifecycle.restart_later(entry, 0)
    await host.lifecycle.kill(entry, "KILL")
    assert (entry.state.status, entry.state.stopped_by_user) == (Status.EXITED, True)
    assert (entry.restarter, host.launches) == (None, 0)


async def test_a_restart_by_the_user_is_no_end_to_rm_nor_to_the_policy(host: FakeHost) -> None:
    once = host.add(a_container(host=a_host_config(auto_remove=True)))
    await host.lifecycle.start(once)
    await host.lifecycle.restart(once, timeout_s=5, signal_name=None)
    assert (once.active, once.removed, once.state.restart_count) == (True, False, 0)
    assert host.happened() == ["start", "kill", "die", "stop", "start", "restart"]
    await host.lifecycle.stop(once, timeout_s=5, signal_name=None)
    await until(lambda: once.removed)


async def test_while_a_restart_is_under_way_the_record_says_that_it_must_run(
    host: FakeHost,
) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    await host.lifecycle.start(entry)
    host.launcher.may_launch.clear()
    restarting = asyncio.create_task(host.lifecycle.restart(entry, timeout_s=5, signal_name=None))
    await until(lambda: host.launches == 2)
    assert (entry.state.status, entry.state.stopped_by_user) == (Status.RESTARTING, False)
    host.launcher.may_launch.set()
    await restarting
    assert entry.active


async def test_the_end_and_what_follows_are_one_commit(host: FakeHost) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    host.next = [sh("exit 1")]
    committed: list[Status] = []
    save = host.rows.save_state

    def note(container_id: str, state: ContainerState) -> None:
        committed.append(state.status)
        save(container_id, state)

    host.rows.save_state = note  # type: ignore[method-assign]
    await host.lifecycle.start(entry)
    await until(lambda: host.launches == 2 and entry.active)
    assert Status.EXITED not in committed


async def test_the_policy_holds_where_something_could_not_be_released(host: FakeHost) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    host.next, host.release_error = [sh("exit 1"), SLEEP], OSError("busy")
    await host.lifecycle.start(entry)
    await until(lambda: host.launches == 2 and entry.active)


# ---- pause -----------------------------------------------------------------------------------


def is_stopped(host: FakeHost, entry: Entry) -> bool:
    """What the fake runtime does to a frozen child."""
    stat = Path(f"/proc/{host.children[entry.id]}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


async def test_a_paused_container_stands_still_until_it_is_unpaused(host: FakeHost) -> None:
    entry = host.add(a_container())
    await host.lifecycle.start(entry)
    await host.lifecycle.pause(entry)
    assert entry.state.status is Status.PAUSED
    await until(lambda: is_stopped(host, entry))
    with pytest.raises(Conflict, match="is already paused"):
        await host.lifecycle.pause(entry)
    await host.lifecycle.unpause(entry)
    await until(lambda: not is_stopped(host, entry))
    assert (entry.state.status, host.happened()) == (Status.RUNNING, ["start", "pause", "unpause"])
    with pytest.raises(Conflict, match="is not paused"):
        await host.lifecycle.unpause(entry)


@pytest.mark.parametrize("status", [Status.CREATED, Status.EXITED])
async def test_only_what_runs_can_be_paused(host: FakeHost, status: Status) -> None:
    with pytest.raises(Conflict, match="is not running"):
        await host.lifecycle.pause(host.add(a_container(status=status)))


async def test_a_paused_container_is_not_started(host: FakeHost) -> None:
    entry = host.add(a_container())
    await host.lifecycle.start(entry)
    await host.lifecycle.pause(entry)
    with pytest.raises(Conflict, match="try unpause instead"):
        await host.lifecycle.start(entry)


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_paused_container_can_be_ended(host: FakeHost, end: str) -> None:
    entry = host.add(a_container())
    await host.lifecycle.start(entry)
    await host.lifecycle.pause(entry)
    if end == "stop":
        await host.lifecycle.stop(entry, timeout_s=20, signal_name=None)
    else:
        await host.lifecycle.kill(entry, "KILL")
    await until(entry.ended.is_set)
    assert entry.state.exit_code == (143 if end == "stop" else 137)


async def test_a_container_held_still_shows_nothing_of_it(host: FakeHost) -> None:
    entry = host.add(a_container())
    await host.lifecycle.start(entry)
    async with host.lifecycle.frozen(entry):
        await until(lambda: is_stopped(host, entry))
        assert entry.state.status is Status.RUNNING
    await until(lambda: not is_stopped(host, entry))
    assert host.happened() == ["start"]


# ---- removal ---------------------------------------------------------------------------------


def a_volume(name: str) -> MountPoint:
    return MountPoint(type="volume", source="/v", destination="/d", name=name)


async def test_a_removed_container_leaves_nothing(host: FakeHost) -> None:
    entry = host.add(a_container())
    (host.launcher.directory(entry.id) / "upper/file").write_text("x")
    waiter, removal, attacher = an_exit_waiter(entry), a_removal_waiter(entry), an_attacher(entry)
    await host.lifecycle.remove(entry, volumes=False)
    assert await soon(waiter) == await soon(removal) == ExitStatus(exit_code=0)
    with pytest.raises(Conflict, match="was removed"):
        await attacher
    await host.lifecycle.finish_background()
    assert list(host.rows.load()) == []
    assert list(host.paths.containers.iterdir()) == list(host.paths.tmp.iterdir()) == []


@pytest.mark.parametrize(("volumes", "removed"), [(True, ["a" * 64]), (False, [])])
async def test_only_anonymous_volumes_go_along(
    host: FakeHost, volumes: bool, removed: list[str]
) -> None:
    entry = host.add(a_container(mounts=(a_volume("a" * 64), a_volume("named"))))
    await host.lifecycle.remove(entry, volumes=volumes)
    assert host.removed_volumes == removed


async def test_a_removal_is_done_once(host: FakeHost) -> None:
    entry = host.add(a_container())
    for _ in range(2):
        await host.lifecycle.remove(entry, volumes=False)
    assert host.happened() == ["destroy"]


async def test_a_removal_that_was_cut_short_can_be_finished(host: FakeHost) -> None:
    entry = host.add(a_container(status=Status.REMOVING))
    host.launcher.directory(entry.id).rename(host.paths.tmp / "removed-before-the-row")
    await host.lifecycle.remove(entry, volumes=False)
    assert list(host.rows.load()) == []


async def test_a_waiting_restart_is_removed_with_its_container(host: FakeHost) -> None:
    entry = host.add(a_container(status=Status.EXITED, host=a_host_config(restart="always")))
    async with entry.lock:
        host.lifecycle.restart_later(entry, 0)
        await host.lifecycle.remove(entry, volumes=False)
    await asyncio.sleep(0)
    assert (host.launches, host.forgotten) == (0, [entry.id])


# ---- state -----------------------------------------------------------------------------------


def test_an_illegal_change_is_refused_and_not_recorded(host: FakeHost) -> None:
    entry = host.add(a_container())
    with pytest.raises(SystemFailure, match="created cannot be paused"):
        host.lifecycle.change(entry, status=Status.PAUSED)
    assert entry.state.status is Status.CREATED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0001-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.000000002Z", 1_000_000_002),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T00:00:01Z", 1_000_000_000),
    ],
)
def test_times_are_read_back(text: str, expected: int) -> None:
    assert parse_time_ns(text) == expected


async def test_running_out_of_memory_is_said_once_while_it_runs(host: FakeHost) -> None:
    entry = host.add(a_container())
    waiter = an_exit_waiter(entry)
    host.next = [sh("read line; exit 0")]
    oom = host.paths.run_containers / entry.id / "oom"
    oom.parent.mkdir()
    await host.lifecycle.start(entry)
    host.lifecycle.note_oom(entry)
    oom.touch()
    host.lifecycle.note_oom(entry)
    host.lifecycle.note_oom(entry)
    assert entry.state.oom_killed
    await host.lifecycle.kill(entry, "KILL")
    await soon(waiter)
    assert [action for action in host.happened() if action == "oom"] == ["oom"]
