"""Control groups by systemd, where it is the first process and owns the whole tree."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, an_engine, eventually

from pogu.linux.cgroup import detect

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        not detect().is_systemds,
        reason="systemd is not the first process of a host with cgroup v2 alone",
    ),
]

TREE = Path("/sys/fs/cgroup")
SOURCE = str(Path(__file__).resolve().parents[2] / "src")
EAT = "x=a; while :; do x=$x$x; done"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    before = set(scopes())  # another engine may run on this host
    with an_engine(tmp_path_factory.mktemp("pogu")) as running:
        yield running
    eventually(lambda: set(scopes()) <= before, what="no scope is left")


def systemctl(*words: str) -> str:
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def scopes() -> list[str]:
    listed = systemctl("list-units", "--all", "--plain", "--no-legend", "pogu-*.scope")
    return [line.split()[0] for line in listed.splitlines()]


def scope_of(engine: EngineProcess, name: str) -> str:
    return f"pogu-{engine.ok('inspect', '-f', '{{.Id}}', name)}.scope"


def shown(engine: EngineProcess, name: str, which: str) -> str:
    return systemctl("show", "--value", "-p", which, scope_of(engine, name))


def group_of(engine: EngineProcess, name: str) -> str:
    pid = engine.ok("inspect", "-f", "{{.State.Pid}}", name)
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line[3:] for line in lines if line.startswith("0::"))


def sleeping(engine: EngineProcess, name: str, *options: str) -> None:
    engine.ok("run", "-d", "--name", name, *options, "busybox", "sleep", "1000")


# ---- the scope -------------------------------------------------------------------------------


def test_a_container_is_a_scope_as_long_as_it_runs(engine: EngineProcess) -> None:
    assert engine.ok("info", "--format", "{{.CgroupDriver}} {{.CgroupVersion}}") == "systemd 2"
    sleeping(engine, "scoped")
    scope = scope_of(engine, "scoped")
    assert f"/system.slice/{scope}" in group_of(engine, "scoped")
    assert shown(engine, "scoped", "ActiveState") == "active"
    assert shown(engine, "scoped", "TasksMax") == "infinity"
    engine.ok("stop", "-t", "0", "scoped")
    eventually(lambda: scope not in scopes())
    assert not list((TREE / "system.slice").glob(f"{scope}*"))
    engine.ok("rm", "scoped")


def test_it_starts_again_and_again_under_its_name(engine: EngineProcess) -> None:
    sleeping(engine, "again")
    for _ in range(5):
        engine.ok("restart", "-t", "0", "again")
    pid = engine.ok("inspect", "-f", "{{.State.Pid}}", "again")
    subprocess.run(["kill", "-9", pid], check=True)
    eventually(lambda: engine.status("again") == "exited")
    engine.ok("start", "again")
    assert engine.status("again") == "running"
    engine.ok("rm", "-f", "again")


def test_a_policy_starts_it_again_after_a_kill(engine: EngineProcess) -> None:
    sleeping(engine, "tough", "--restart", "always")
    for round_ in range(3):
        subprocess.run(["kill", "-9", engine.ok("inspect", "-f", "{{.State.Pid}}", "tough")])
        asked = ("inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "tough")
        eventually(lambda: engine.ok(*asked) == f"{round_ + 1} running", within_s=90)  # noqa: B023
    engine.ok("rm", "-f", "tough")


def test_who_stops_the_scope_ends_the_container(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "stopped", "--init", "busybox", "sleep", "1000")
    systemctl("stop", scope_of(engine, "stopped"))
    eventually(lambda: engine.status("stopped") == "exited")
    assert engine.ok("inspect", "-f", "{{.State.ExitCode}}", "stopped") == "143"
    engine.ok("rm", "stopped")


def test_twenty_at_once_have_twenty_scopes(engine: EngineProcess) -> None:
    names = [f"many{number}" for number in range(20)]
    words = ("run", "-d", "busybox", "sleep", "1000")
    begun = [engine.popen(*words[:2], "--name", name, *words[2:]) for name in names]
    assert [one.wait(600) for one in begun] == [0] * 20
    for one in begun:
        one.communicate()
    own = {scope_of(engine, name) for name in names}
    assert own <= set(scopes())
    engine.ok("rm", "-f", *names)
    eventually(lambda: not own & set(scopes()))


def test_a_build_step_runs_in_a_scope(engine: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN sleep 1000\n")
    build = engine.popen("build", str(tmp_path))

    def steps() -> list[str]:
        return [scope for scope in scopes() if scope.startswith("pogu-build-")]

    eventually(lambda: len(steps()) == 1)
    build.terminate()
    build.communicate()
    eventually(lambda: not steps())


# ---- its place -------------------------------------------------------------------------------


def test_the_parent_is_a_slice(engine: EngineProcess) -> None:
    sleeping(engine, "child", "--cgroup-parent", "pogutest-night.slice")
    place = f"/pogutest.slice/pogutest-night.slice/{scope_of(engine, 'child')}"
    assert group_of(engine, "child").startswith(place)
    engine.ok("rm", "-f", "child")
    systemctl("stop", "pogutest.slice")


@pytest.mark.parametrize("parent", ["/batch", "batch", "a/b.slice"])
def test_a_parent_that_is_no_slice_is_refused_in_dockers_words(
    engine: EngineProcess, parent: str
) -> None:
    said = engine.refused("run", "--cgroup-parent", parent, "busybox", "true", code=125)
    assert 'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"' in said


def test_what_runs_stays_where_it_is_when_the_driver_changes(
    engine: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeping(engine, "stays", "--cgroup-parent", "pogutest.slice")
    before = group_of(engine, "stays")
    engine.kill()
    monkeypatch.setenv("POGU_CGROUP_DRIVER", "cgroupfs")
    assert engine.ok("info", "--format", "{{.CgroupDriver}}") == "cgroupfs"
    assert (engine.status("stays"), group_of(engine, "stays")) == ("running", before)
    assert engine.ok("stats", "--no-stream", "--format", "{{.PIDs}}", "stays") == "1"
    engine.ok("pause", "stays")
    engine.ok("unpause", "stays")
    engine.ok("restart", "-t", "0", "stays")
    assert group_of(engine, "stays").startswith("/pogutest.slice/")
    assert scope_of(engine, "stays") not in scopes()
    engine.ok("engine", "stop")
    monkeypatch.delenv("POGU_CGROUP_DRIVER")
    engine.ok("restart", "-t", "0", "stays")
    assert group_of(engine, "stays") == before
    engine.ok("rm", "-f", "stays")
    systemctl("stop", "pogutest.slice")


# ---- limits ----------------------------------------------------------------------------------


def test_limits_hold_after_systemd_has_read_its_units_anew(engine: EngineProcess) -> None:
    sleeping(engine, "bounded", "-m", "64m", "--pids-limit", "50", "--cpus", "0.5")
    place = TREE / group_of(engine, "bounded").lstrip("/")

    def limits() -> list[str]:
        return [
            (place / name).read_text().strip() for name in ("memory.max", "pids.max", "cpu.max")
        ]

    assert limits() == [str(64 << 20), "50", "50000 100000"]
    systemctl("daemon-reload")
    assert limits() == [str(64 << 20), "50", "50000 100000"]
    engine.ok("update", "-m", "96m", "--memory-swap", "192m", "--pids-limit", "80", "bounded")
    systemctl("daemon-reload")
    assert limits() == [str(96 << 20), "80", "50000 100000"]
    used = engine.ok("stats", "--no-stream", "--format", "{{.MemUsage}}", "bounded")
    assert used.endswith("/ 96MiB")
    assert not used.startswith("0B")
    engine.ok("rm", "-f", "bounded")


def test_devices_stay_reachable_after_systemd_has_read_its_units_anew(
    engine: EngineProcess,
) -> None:
    sleeping(engine, "devices", "--device", "/dev/kmsg")
    read = ("exec", "devices", "sh", "-c", "head -c 1 /dev/kmsg; : > /dev/null && echo written")
    before = engine.ok(*read)
    systemctl("daemon-reload")
    assert engine.ok(*read)[-7:] == before[-7:] == "written"
    engine.ok("rm", "-f", "devices")


def test_an_oom_kill_is_known_when_the_scope_is_gone(engine: EngineProcess) -> None:
    for number in range(5):
        limits = ("-m", "16m", "--memory-swap", "16m")
        name = f"hungry{number}"
        engine.refused("run", "--name", name, *limits, "busybox", "sh", "-c", EAT, code=137)
        assert engine.ok("inspect", "-f", "{{.State.OOMKilled}}", name) == "true"
        assert "memory" in engine.ok("why", name)
        engine.ok("rm", name)


def test_an_oom_kill_is_known_after_the_engine_was_killed(engine: EngineProcess) -> None:
    limits = ("-m", "16m", "--memory-swap", "16m")
    engine.ok("run", "-d", "--name", "alone", *limits, "busybox", "sh", "-c", f"sleep 1; {EAT}")
    engine.kill()
    eventually(lambda: engine.status("alone") == "exited")
    assert engine.ok("inspect", "-f", "{{.State.OOMKilled}}", "alone") == "true"
    engine.ok("rm", "alone")


# ---- who started the engine ------------------------------------------------------------------


def in_a_service(*argv: str, name: str = "", **properties: str) -> str:
    """Run a command in a transient service; return the service's name."""
    unit = name or f"pogutest-{secrets.token_hex(4)}.service"
    options = [f"--property={key}={value}" for key, value in properties.items()]
    environment = f"--setenv=PYTHONPATH={SOURCE}"
    words = ["systemd-run", "--quiet", "--collect", f"--unit={unit}", environment, *options]
    subprocess.run([*words, "--", *argv], check=True)
    return unit


def test_an_engine_that_a_service_needed_outlives_the_service(engine: EngineProcess) -> None:
    engine.ok("engine", "stop")
    eventually(lambda: engine.pid == 0)
    run = ("run", "-d", "--name", "job", "busybox", "sleep", "1000")
    unit = in_a_service(*engine.argv, *run)
    eventually(lambda: engine.pid and "job" in engine.ok("ps", "--format", "{{.Names}}"))
    eventually(lambda: systemctl("is-active", unit) != "active")
    own = Path(f"/proc/{engine.pid}/cgroup").read_text()
    assert "/system.slice/pogu-engine-" in own
    engine.ok("kill", "-s", "KILL", "job")
    eventually(lambda: engine.ok("inspect", "-f", "{{.State.ExitCode}}", "job") == "137")
    engine.ok("rm", "job")


def test_containers_outlive_the_service_that_the_engine_is(engine: EngineProcess) -> None:
    engine.ok("engine", "stop")
    eventually(lambda: engine.pid == 0)
    places = ("--root", str(engine.root), "--run-root", str(engine.run_root))
    argv = (sys.executable, "-m", "pogu.daemon", "--foreground", *places)
    unit = in_a_service(*argv, Type="notify", KillMode="process", Delegate="yes")
    assert engine.ok("info", "--format", "{{.CgroupDriver}}") == "systemd"
    assert f"/{unit}" in Path(f"/proc/{engine.pid}/cgroup").read_text()
    sleeping(engine, "survives")
    systemctl("stop", unit)
    eventually(lambda: engine.pid == 0)
    assert engine.status("survives") == "running"
    assert engine.ok("exec", "survives", "echo", "here") == "here"
    engine.ok("stop", "-t", "0", "survives")
    assert engine.ok("inspect", "-f", "{{.State.ExitCode}}", "survives") == "137"
    engine.ok("rm", "survives")
