"""The engine dies at every step of its work on a container while 20 others run.

Afterwards these run as before: same processes, logs without a gap, ports that answer, restarts
made up for; the one that was worked on is in a state that was acknowledged or can be repeated;
and the host has nothing that no container has (`tests/census.py`).
"""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.census import Census, census, difference
from tests.engine_process import EngineProcess, an_engine, eventually, is_alive

pytestmark = pytest.mark.root

MOST = int(os.environ.get("POGU_CRASH_POINTS", "3"))
"""Points of one command, spread over its steps; 9999 takes every one."""
ENDLESS = 1 << 30

COUNT = "i=0; while true; do echo line $i; i=$((i+1)); sleep 0.2; done"
WEB = "mkdir -p /www && echo hello > /www/index.html && exec httpd -f -p 80 -h /www"
TRAP = "trap 'exit 9' TERM; while true; do sleep 0.02; done"


def points(count: int) -> list[int]:
    """Some of 1 to `count`, the first and the last among them."""
    if count <= MOST:
        return list(range(1, count + 1))
    return sorted({1 + number * (count - 1) // (MOST - 1) for number in range(MOST)})


def state(engine: EngineProcess, name: str) -> dict[str, object]:
    """`.State` of inspect, with the restarts counted in."""
    record = json.loads(engine.ok("inspect", "--type", "container", name))[0]
    return {**record["State"], "RestartCount": record["RestartCount"]}


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/", timeout=2) as reply:
            return bool(reply.read() == b"hello\n")
    except OSError:
        return False


@dataclass(slots=True, kw_only=True)
class Fleet:
    """Twenty containers that must not notice anything."""

    engine: EngineProcess
    crash_file: Path
    pids: dict[str, int] = field(default_factory=dict)
    ports: list[str] = field(default_factory=list)
    rest: Census = field(default_factory=dict)

    def launch(self) -> None:
        run = ("run", "-d", "--name")
        for number in range(13):
            self.engine.ok(*run, f"count-{number}", "busybox", "sh", "-c", COUNT)
        for number in range(2):
            options = ("--restart", "unless-stopped", "-p", "127.0.0.1:0:80")
            self.engine.ok(*run, f"web-{number}", *options, "busybox", "sh", "-c", WEB)
        self.engine.ok(*run, "paused", "busybox", "sh", "-c", COUNT)
        self.engine.ok("pause", "paused")
        self.engine.ok(*run, "lo", "--network", "none", "busybox", "sleep", "9999")
        self.engine.ok(*run, "host", "--network", "host", "busybox", "sleep", "9999")
        self.engine.ok(*run, "tty", "-t", "-v", "/data", "busybox", "sleep", "9999")
        self.engine.ok(*run, "again", "--restart", "always", "busybox", "sleep", "9999")
        names = self.engine.ok("ps", "--format", "{{.Names}}").split()
        self.pids = {name: self.pid_of(name) for name in names if name != "again"}
        self.ports = [self.engine.ok("port", f"web-{n}", "80").split()[0] for n in range(2)]
        for address in self.ports:
            eventually(lambda address=address: answers(address))  # type: ignore[misc]
        self.rest = self.settled()

    def pid_of(self, name: str) -> int:
        return int(str(state(self.engine, name)["Pid"]))

    def settled(self) -> Census:
        """Count when nothing is under way any more."""
        eventually(lambda: not census(self.engine)["unfinished"], what="tmp/ is empty")
        return census(self.engine)

    def end_again(self) -> None:
        """One of them ends by itself just before the engine dies."""
        os.kill(self.pid_of("again"), signal.SIGKILL)

    def is_whole(self) -> None:
        """Everything as it was before, and the restart that was due was made."""
        eventually(lambda: state(self.engine, "again")["Running"], what="it was restarted")
        format_ = "{{.Name}} {{.State.Pid}} {{.State.Status}}"
        said = self.engine.ok("inspect", "--type", "container", "-f", format_, *self.pids)
        assert said.splitlines() == [
            f"/{name} {pid} {'paused' if name == 'paused' else 'running'}"
            for name, pid in self.pids.items()
        ]
        for name, pid in self.pids.items():
            assert is_alive(pid), name
        for address in self.ports:
            eventually(lambda address=address: answers(address), within_s=5)  # type: ignore[misc]
        eventually(
            lambda: not difference(self.rest, census(self.engine)),
            what="the host has what the containers have",
            say=lambda: difference(self.rest, census(self.engine)),
        )

    def logs_have_no_gap(self) -> None:
        for number in range(13):
            lines = self.engine.ok("logs", f"count-{number}").splitlines()
            assert lines == [f"line {n}" for n in range(len(lines))], f"count-{number}"
            assert lines

    def steps(self, words: tuple[str, ...]) -> int:
        """Run a command to its end and count its steps."""
        self.engine.ok("ps", "-q")
        self.crash_file.write_text(str(ENDLESS))
        self.engine.call(*words)
        left = int(self.crash_file.read_text())
        self.crash_file.unlink()
        return ENDLESS - left

    def dies_at(self, step: int, words: tuple[str, ...]) -> bool:
        """Run a command whose engine dies at that step; True when it was acknowledged.

        The background's steps count too: where the command has fewer, it dies right after; where
        one of them comes before the command does, that finds another engine.
        """
        self.engine.ok("ps", "-q")
        dies = self.engine.pid
        self.crash_file.write_text(str(step))
        done = self.engine.call(*words)
        if self.crash_file.exists():
            self.crash_file.unlink()
            self.engine.kill()
        eventually(lambda: self.engine.pid != dies, what="the engine is dead")
        return done.returncode == 0

    def at_many_steps(
        self,
        *words: str,
        before: Callable[[], object] = lambda: None,
        after: Callable[[bool], object],
    ) -> None:
        """`before`, the command killed at a step, `after` (told whether it was acknowledged);
        `after` leaves nothing of it."""
        before()
        count = self.steps(words)
        after(True)
        for step in points(count):
            print(f"step {step} of {count}: {' '.join(words)}")
            before()
            acknowledged = self.dies_at(step, words)
            after(acknowledged)
            self.is_whole()

    def gone(self, name: str = "victim") -> None:
        self.engine.call("rm", "-f", "-v", name)
        assert name not in self.engine.ok("ps", "-a", "--format", "{{.Names}}").split()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("pogu")
    crash_file = directory / "crash"
    patch = pytest.MonkeyPatch()
    patch.setenv("POGU_CRASH_FILE", str(crash_file))
    try:
        with an_engine(directory) as engine:
            made = Fleet(engine=engine, crash_file=crash_file)
            made.launch()
            yield made
            made.logs_have_no_gap()
    finally:
        patch.undo()


def victim(fleet: Fleet, *words: str, options: tuple[str, ...] = ()) -> None:
    fleet.engine.ok("run", "-d", "--name", "victim", *options, "busybox", *words)


def names(fleet: Fleet) -> list[str]:
    return fleet.engine.ok("ps", "-a", "--format", "{{.Names}}").split()


def test_create(fleet: Fleet) -> None:
    def after(acknowledged: bool) -> None:
        assert not acknowledged or "victim" in names(fleet)
        if "victim" in names(fleet):
            assert fleet.engine.ok("start", "-a", "victim") == "hi"
        fleet.gone()

    words = ("create", "--name", "victim", "-v", "/data", "-p", "80", "busybox", "echo", "hi")
    fleet.at_many_steps(*words, after=after)


def test_run(fleet: Fleet) -> None:
    def after(acknowledged: bool) -> None:
        assert not acknowledged or "victim" in names(fleet)
        if "victim" in names(fleet):
            if state(fleet.engine, "victim")["Status"] != "running":
                assert not acknowledged
                fleet.engine.ok("start", "victim")
            address = fleet.engine.ok("port", "victim", "80").split()[0]
            eventually(lambda: answers(address), what="the new port answers")
        fleet.gone()

    words = ("run", "-d", "--name", "victim", "-p", "127.0.0.1:0:80", "busybox", "sh", "-c", WEB)
    fleet.at_many_steps(*words, after=after)


def test_run_of_one_that_ends_and_is_removed(fleet: Fleet) -> None:
    def after(_: bool) -> None:
        if "victim" in names(fleet) and state(fleet.engine, "victim")["Status"] == "created":
            fleet.gone()
        eventually(lambda: "victim" not in names(fleet), what="--rm happens")

    fleet.at_many_steps("run", "--rm", "--name", "victim", "busybox", "true", after=after)


def test_stop_while_another_is_restarted(fleet: Fleet) -> None:
    def before() -> None:
        victim(fleet, "sh", "-c", TRAP, options=("--restart", "unless-stopped"))
        fleet.end_again()

    def after(acknowledged: bool) -> None:
        now = state(fleet.engine, "victim")
        if acknowledged:
            assert (now["Status"], now["ExitCode"]) == ("exited", 9)
        fleet.engine.ok("stop", "-t", "5", "victim")
        now = state(fleet.engine, "victim")
        assert (now["Status"], now["ExitCode"]) == ("exited", 9)
        fleet.gone()

    fleet.at_many_steps("stop", "victim", before=before, after=after)


def test_start(fleet: Fleet) -> None:
    def before() -> None:
        fleet.engine.ok("create", "--name", "victim", "busybox", "sh", "-c", COUNT)

    def after(acknowledged: bool) -> None:
        assert not acknowledged or state(fleet.engine, "victim")["Running"]
        fleet.engine.ok("start", "victim")
        eventually(lambda: fleet.engine.ok("logs", "victim"), what="it writes")
        fleet.gone()

    fleet.at_many_steps("start", "victim", before=before, after=after)


def test_restart(fleet: Fleet) -> None:
    def after(acknowledged: bool) -> None:
        now = state(fleet.engine, "victim")
        assert not acknowledged or now["Running"]
        fleet.engine.ok("restart", "-t", "0", "victim")
        assert state(fleet.engine, "victim")["Running"]
        fleet.gone()

    fleet.at_many_steps(
        "restart", "-t", "0", "victim", before=lambda: victim(fleet, "sleep", "99"), after=after
    )


def test_kill_records_the_signal(fleet: Fleet) -> None:
    def after(acknowledged: bool) -> None:
        if not acknowledged and state(fleet.engine, "victim")["Running"]:
            fleet.engine.ok("kill", "victim")
        assert fleet.engine.ok("wait", "victim") == "137"
        fleet.gone()

    fleet.at_many_steps("kill", "victim", before=lambda: victim(fleet, "sleep", "99"), after=after)


def test_remove(fleet: Fleet) -> None:
    def after(acknowledged: bool) -> None:
        assert not acknowledged or "victim" not in names(fleet)
        fleet.gone()

    fleet.at_many_steps(
        *("rm", "-f", "-v", "victim"),
        before=lambda: victim(fleet, "sleep", "99", options=("-v", "/data", "-p", "80")),
        after=after,
    )


def test_exec(fleet: Fleet) -> None:
    def after(acknowledged: bool) -> None:
        assert state(fleet.engine, "victim")["Running"]
        if acknowledged:
            assert fleet.engine.ok("exec", "victim", "cat", "/file") == "hi"
        assert fleet.engine.ok("exec", "victim", "echo", "again") == "again"
        fleet.gone()

    fleet.at_many_steps(
        *("exec", "victim", "sh", "-c", "echo hi > /file"),
        before=lambda: victim(fleet, "sleep", "99"),
        after=after,
    )


def test_commit(fleet: Fleet) -> None:
    def before() -> None:
        victim(fleet, "sleep", "99")
        fleet.engine.ok("exec", "victim", "sh", "-c", "echo hi > /file")

    def after(acknowledged: bool) -> None:
        assert state(fleet.engine, "victim")["Status"] == "running"
        assert fleet.engine.ok("exec", "victim", "cat", "/file") == "hi"
        tags = fleet.engine.ok("images", "--format", "{{.Repository}}").split()
        assert not acknowledged or "made" in tags
        fleet.engine.ok("commit", "victim", "made")
        assert fleet.engine.ok("run", "--rm", "made", "cat", "/file") == "hi"
        fleet.engine.ok("rmi", "made")
        fleet.engine.ok("image", "prune", "-f")
        fleet.gone()

    fleet.at_many_steps("commit", "victim", "made", before=before, after=after)


def test_pause_and_unpause(fleet: Fleet) -> None:
    def after_pause(acknowledged: bool) -> None:
        status = state(fleet.engine, "victim")["Status"]
        assert status == "paused" if acknowledged else status in ("paused", "running")
        fleet.gone()

    def after_unpause(acknowledged: bool) -> None:
        status = state(fleet.engine, "victim")["Status"]
        assert status == "running" if acknowledged else status in ("paused", "running")
        if status == "running":
            assert fleet.engine.ok("exec", "victim", "echo", "goes on") == "goes on"
        fleet.gone()

    def paused() -> None:
        victim(fleet, "sleep", "99")
        fleet.engine.ok("pause", "victim")

    fleet.at_many_steps(
        "pause", "victim", before=lambda: victim(fleet, "sleep", "99"), after=after_pause
    )
    fleet.at_many_steps("unpause", "victim", before=paused, after=after_unpause)


def test_update(fleet: Fleet) -> None:
    def after(acknowledged: bool) -> None:
        memory = "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}"
        kept = fleet.engine.ok("inspect", "-f", memory, "victim")
        assert kept == "67108864 always" if acknowledged else kept in ("67108864 always", "0 no")
        assert state(fleet.engine, "victim")["Running"]
        fleet.gone()

    words = ("update", "-m", "64m", "--memory-swap", "-1", "--restart", "always", "victim")
    fleet.at_many_steps(*words, before=lambda: victim(fleet, "sleep", "99"), after=after)


def test_rename(fleet: Fleet) -> None:
    def after(acknowledged: bool) -> None:
        known = names(fleet)
        assert "renamed" in known if acknowledged else {"renamed", "victim"} & set(known)
        fleet.gone("renamed" if "renamed" in known else "victim")

    fleet.at_many_steps(
        "rename", "victim", "renamed", before=lambda: victim(fleet, "sleep", "99"), after=after
    )


def test_ends_that_the_engine_missed(fleet: Fleet) -> None:
    """Some ended while it was dead: the code is kept, --rm and the restart policy hold."""
    engine = fleet.engine
    end = "trap 'exit {}' USR1; while true; do sleep 0.02; done"
    for code in (0, 7):
        engine.ok("run", "-d", "--name", f"end-{code}", "busybox", "sh", "-c", end.format(code))
    retry = ("--restart", "on-failure:3")
    engine.ok("run", "-d", "--name", "retry", *retry, "busybox", "sh", "-c", end.format(3))
    engine.ok("run", "-d", "--name", "once", "--rm", "busybox", "sh", "-c", end.format(5))
    pids = {name: fleet.pid_of(name) for name in ("end-0", "end-7", "retry", "once")}
    engine.kill()
    for pid in pids.values():
        os.kill(pid, signal.SIGUSR1)
        eventually(lambda pid=pid: not is_alive(pid))  # type: ignore[misc]
    for code in (0, 7):
        now = state(engine, f"end-{code}")
        assert (now["Status"], now["ExitCode"]) == ("exited", code)
    eventually(lambda: "once" not in names(fleet), what="--rm happens")
    eventually(lambda: state(engine, "retry")["Running"], what="it is started again")
    assert state(engine, "retry")["RestartCount"] == 1
    for name in ("end-0", "end-7", "retry"):
        fleet.gone(name)
    fleet.is_whole()
