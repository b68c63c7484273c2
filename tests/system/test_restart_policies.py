"""Restart policies when the engine is killed and when the host comes up again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from tests.engine_process import EngineProcess, an_engine, eventually

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with an_engine(tmp_path_factory.mktemp("pogu")) as running:
        yield running


@pytest.fixture
def engine(shared: EngineProcess) -> Iterator[EngineProcess]:
    yield shared
    containers = shared.ok("ps", "-aq").split()
    if containers:
        shared.ok("rm", "-f", "-v", *containers)


def run(engine: EngineProcess, name: str, policy: str, script: str) -> None:
    words = ("run", "-d", "--name", name, "--restart", policy, "busybox", "sh", "-c", script)
    engine.ok(*words)


def count(engine: EngineProcess, name: str) -> int:
    return int(engine.ok("inspect", "-f", "{{.RestartCount}}", name))


def boot(engine: EngineProcess) -> None:
    """Let the next engine believe that the host has come up since."""
    engine.kill()
    (engine.run_root / "booted").write_text("an earlier boot\n")


IDLE = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


def test_a_container_that_keeps_ending_goes_on_so_after_the_engine_was_killed(
    engine: EngineProcess,
) -> None:
    run(engine, "loop", "always", "exit 3")
    eventually(lambda: count(engine, "loop") >= 2, what="it is restarted")
    assert "Restarting (3)" in engine.ok("ps", "--filter", "status=restarting")
    before = count(engine, "loop")
    engine.kill()
    eventually(lambda: count(engine, "loop") > before, what="it is restarted again")


def test_an_end_while_the_engine_is_away_is_followed_by_a_restart(engine: EngineProcess) -> None:
    run(engine, "ends", "always", f"test -e /seen && {{ {IDLE}; }}; touch /seen; sleep 0.7; exit 4")
    engine.kill()
    eventually(lambda: list((engine.run_root / "exits").iterdir()), what="it ended")
    eventually(lambda: engine.status("ends") == "running", what="it runs again")
    assert count(engine, "ends") == 1


def test_a_restart_that_waits_can_be_stopped_killed_and_removed_by_force(
    engine: EngineProcess,
) -> None:
    for end in (("stop", "loop"), ("kill", "loop")):
        run(engine, "loop", "unless-stopped", "exit 3")
        eventually(lambda: count(engine, "loop") >= 3, what="the pauses are long")
        engine.ok(*end)
        assert engine.status("loop") == "exited"
        engine.ok("rm", "loop")
    run(engine, "loop", "always", "exit 3")
    eventually(lambda: count(engine, "loop") >= 3, what="the pauses are long")
    assert "container is restarting: stop the container" in engine.refused("rm", "loop")
    assert "restarting container, wait until" in engine.refused("attach", "loop")
    engine.ok("rm", "-f", "loop")


def test_on_failure_counts_out_across_a_kill_of_the_engine(engine: EngineProcess) -> None:
    run(engine, "fails", "on-failure:4", "exit 7")
    eventually(lambda: count(engine, "fails") >= 2, what="it is restarted")
    engine.kill()
    eventually(lambda: engine.status("fails") == "exited", what="it is given up")
    assert count(engine, "fails") == 4


def test_after_a_boot_runs_what_must(engine: EngineProcess) -> None:
    for name, policy in (("one", "always"), ("two", "unless-stopped"), ("three", "no")):
        run(engine, name, policy, IDLE)
    run(engine, "four", "unless-stopped", IDLE)
    engine.ok("stop", "one", "four")
    pids = [int(engine.ok("inspect", "-f", "{{.State.Pid}}", name)) for name in ("two", "three")]
    boot(engine)
    for pid in pids:  # as the end of the host: nobody asked for it
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: engine.status("one") == "running", what="always means at boot too")
    eventually(lambda: engine.status("two") == "running", what="it was not stopped")
    eventually(lambda: engine.status("three") == "exited", what="it has no policy")
    assert engine.status("four") == "exited"
    engine.ok("stop", "one")
    engine.kill()
    assert engine.status("one") == "exited"  # a new engine alone is no boot


def test_a_user_restart_that_the_engine_does_not_survive_leaves_it_to_the_policy(
    engine: EngineProcess,
) -> None:
    run(engine, "web", "always", "sleep 1000")  # the first process ignores SIGTERM
    asked = engine.popen("restart", "-t", "1", "web")
    eventually(
        lambda: (
            "kill"
            in engine.ok("events", "--since", "9s", "--until", "0s", "--format", "{{.Action}}")
        ),
        what="the restart has begun",
    )
    engine.kill()
    asked.communicate(timeout=60)
    eventually(lambda: engine.status("web") == "running", what="it runs")


def test_a_restart_keeps_a_container_that_removes_itself(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--rm", "--name", "once", "busybox", "sh", "-c", IDLE)
    before = engine.ok("inspect", "-f", "{{.Id}}", "once")
    engine.ok("restart", "once")
    assert engine.ok("inspect", "-f", "{{.Id}} {{.State.Status}}", "once") == f"{before} running"
    engine.ok("stop", "once")
    eventually(lambda: engine.ok("ps", "-aq") == "", what="it is removed")
