"""Start, the end and restart of containers that are plain children here."""

from __future__ import annotations

import asyncio

import pytest
from tests.builders import a_config, a_container, a_host_config
from tests.fakes.host import (
    SLEEP,
    FakeHost,
    a_removal_waiter,
    an_attacher,
    an_exit_waiter,
    sh,
    soon,
    until,
)

from pogu.containers.entry import ExitStatus
from pogu.containers.model import ContainerState, Status, parse_time_ns
from pogu.errors import Conflict, EngineError, NotModified, SystemFailure
from pogu.runtime.failure import runtime_failure

# ---- start ---------------------------------------------------------------------------------


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


# ---- a start that fails --------------------------------------------------------------------


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
    assert entry not in host.registry
    assert list(host.rows.load()) == []
    assert not host.bundles.directory(entry.id).exists()


async def test_an_unexpected_failure_does_not_leave_attachers_waiting(host: FakeHost) -> None:
    entry = host.add(a_container())
    attacher = an_attacher(entry)
    host.next = [OSError("disk full")]
    with pytest.raises(OSError, match="disk full"):
        await host.lifecycle.start(entry)
    with pytest.raises(SystemFailure, match="was not started"):
        await attacher


# ---- the end -------------------------------------------------------------------------------


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
    assert await soon(waiter) == ExitStatus(exit_code=137)
    assert entry.state.error == "the container's monitor (conmon) died"


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


# ---- restart policy ------------------------------------------------------------------------


async def test_the_pause_before_a_restart_doubles(host: FakeHost) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    host.next = [sh("exit 1")] * 5
    await host.lifecycle.start(entry)
    await until(lambda: host.launches == 6 and entry.active)
    assert host.pauses == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert entry.state.restart_count == 5


async def test_the_pause_has_an_upper_bound(host: FakeHost) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    host.next = [sh("exit 1")] * 12
    await host.lifecycle.start(entry)
    await until(lambda: host.launches == 13 and entry.active)
    assert host.pauses[-3:] == [51.2, 60.0, 60.0]


async def test_a_run_of_ten_seconds_makes_the_pause_short_again(host: FakeHost) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    host.next = [sh("exit 1"), sh("exit 1"), SLEEP]
    await host.lifecycle.start(entry)
    await until(lambda: host.launches == 3 and entry.active)
    host.steady_s += 10
    entry.send_signal(9)
    await until(lambda: host.launches == 4 and entry.active)
    assert host.pauses == [0.1, 0.2, 0.1]


@pytest.mark.parametrize("jump_s", [-3600, 3600])
async def test_a_clock_that_is_set_neither_shortens_nor_lengthens_the_pause(
    host: FakeHost, jump_s: int
) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    host.next = [sh("exit 1"), SLEEP]
    await host.lifecycle.start(entry)
    await until(lambda: host.launches == 2 and entry.active)
    host.now_ns += jump_s * 10**9
    host.steady_s += 2
    entry.send_signal(9)
    await until(lambda: host.launches == 3 and entry.active)
    assert host.pauses == [0.1, 0.2]
    assert entry.state.ends[-1].ran_s == 2


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
    assert host.states.should_restart(entry) is restarts
    stopped = a_container(host=a_host_config(restart=policy), exit_code=code, stopped_by_user=True)
    assert not host.states.should_restart(stopped)


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
    assert (entry.state.restart_count, host.pauses) == (1, [0.1])


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


async def test_a_restart_by_the_user_is_no_end_to_rm_nor_to_the_policy(host: FakeHost) -> None:
    once = host.add(a_container(host=a_host_config(auto_remove=True)))
    await host.lifecycle.start(once)
    await host.lifecycle.restart(once, timeout_s=5, signal_name=None)
    assert (once.active, once.removed, once.state.restart_count) == (True, False, 0)
    assert host.happened() == ["start", "kill", "die", "stop", "start", "restart"]
    await host.stopper.stop(once, timeout_s=5, signal_name=None)
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


# ---- a disk that takes nothing -------------------------------------------------------------


def refuse_to_save(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_container_id: str, _state: ContainerState) -> None:
        raise SystemFailure("write state.db: no space left on device")

    monkeypatch.setattr("pogu.containers.lifecycle._SAVE_AGAIN_S", 0.01)
    monkeypatch.setattr(host.rows, "save_state", refuse)


async def test_an_end_that_cannot_be_written_is_told_and_written_later(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    host.next = [sh("read line; exit 7"), SLEEP]
    await host.lifecycle.start(entry)
    refuse_to_save(host, monkeypatch)
    await host.stopper.kill(entry, "TERM")
    await until(lambda: entry.ended.is_set())
    assert entry.state.status is Status.EXITED
    assert entry.unsaved
    assert [state.status for _, _, state in host.rows.load()] == [Status.RUNNING]
    monkeypatch.undo()
    await until(lambda: not entry.unsaved)
    assert [state.status for _, _, state in host.rows.load()] == [Status.EXITED]


async def test_a_restart_waits_until_its_end_is_written(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = host.add(a_container(host=a_host_config(restart="always")))
    host.next = [sh("sleep 0.05; exit 1"), SLEEP]
    await host.lifecycle.start(entry)
    refuse_to_save(host, monkeypatch)
    await until(lambda: entry.ended.is_set())
    assert host.launches == 1
    monkeypatch.undo()
    await until(lambda: host.launches == 2 and entry.active)


async def test_a_state_that_cannot_be_written_is_not_taken_on(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = host.add(a_container())
    refuse_to_save(host, monkeypatch)
    with pytest.raises(SystemFailure, match="no space left"):
        await host.removal.remove(entry, force=False, volumes=False)
    assert entry.state.status is Status.CREATED
