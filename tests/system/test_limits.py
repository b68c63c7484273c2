"""Limits and devices reach the kernel, and what it cannot set is a warning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, eventually

pytestmark = pytest.mark.root

V1 = Path("/sys/fs/cgroup/blkio")


def state(engine: EngineProcess, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(engine.ok("inspect", "-f", "{{json .State}}", name))
    return found


def test_a_container_that_outlives_an_oom_kill_shows_it_at_once(engine: EngineProcess) -> None:
    eat = "(x=a; while :; do x=$x$x; done); sleep 1000"
    limits = ("--memory", "16m", "--memory-swap", "16m")
    engine.ok("run", "-d", "--name", "survivor", *limits, "busybox", "sh", "-c", eat)
    eventually(lambda: state(engine, "survivor")["OOMKilled"])
    assert state(engine, "survivor")["Running"] is True
    engine.ok("rm", "-f", "survivor")


def test_an_oom_kill_is_known_after_the_engine_was_killed(engine: EngineProcess) -> None:
    eat = "sleep 1; x=a; while :; do x=$x$x; done"
    limits = ("--memory", "16m", "--memory-swap", "16m")
    engine.ok("run", "-d", "--name", "eats", *limits, "busybox", "sh", "-c", eat)
    engine.kill()
    eventually(lambda: state(engine, "eats")["Status"] == "exited")
    assert (state(engine, "eats")["OOMKilled"], state(engine, "eats")["ExitCode"]) == (True, 137)
    engine.ok("rm", "eats")


def test_no_monitor_leaves_its_file_anywhere_else(engine: EngineProcess) -> None:
    eat = "x=a; while :; do x=$x$x; done"
    limits = ("--memory", "16m", "--memory-swap", "16m")
    engine.refused("run", "--rm", *limits, "busybox", "sh", "-c", eat, code=137)
    assert not (engine.run_root / "oom").exists()


@pytest.mark.skipif(not V1.is_dir(), reason="reads the files of v1")
def test_rates_of_a_device_are_set(engine: EngineProcess) -> None:
    options = ("--device-read-bps", "/dev/loop0:1mb", "--device-write-iops", "/dev/loop0:100")
    files = ("read_bps_device", "write_iops_device")
    paths = [f"/sys/fs/cgroup/blkio/blkio.throttle.{name}" for name in files]
    said = engine.ok("run", "--rm", *options, "busybox", "cat", *paths)
    assert said.split("\n") == ["7:0 1048576", "7:0 100"]


def test_a_limit_above_what_the_host_allows_is_lowered_with_a_warning(
    engine: EngineProcess,
) -> None:
    status = Path("/proc/self/status").read_text()
    bounding = int(status.split("CapBnd:")[1].split()[0], 16)
    if bounding >> 24 & 1:
        pytest.skip("this host may raise limits")
    wanted = ("--ulimit", "nofile=1073741816:1073741816")
    done = engine.call("run", "--rm", *wanted, "busybox", "sh", "-c", "ulimit -n")
    assert done.returncode == 0
    assert "WARNING: ulimit nofile: the host allows no more than" in done.stderr


def test_a_directory_stands_for_the_devices_below_it(engine: EngineProcess, tmp_path: Path) -> None:
    given = ("--device", "/dev/pts:/dev/given")
    refused = engine.refused("run", "--rm", "--device", str(tmp_path), "busybox", "true", code=125)
    assert "no such device nodes" in refused
    assert "ptmx" in engine.ok("run", "--rm", *given, "busybox", "ls", "/dev/given")


def test_a_device_has_the_permissions_that_were_given(engine: EngineProcess) -> None:
    script = "head -c1 /dev/x >/dev/null && echo reads; (: >/dev/x) 2>/dev/null || echo no more"
    given = ("--device", "/dev/kmsg:/dev/x:r")
    assert engine.ok("run", "--rm", *given, "busybox", "sh", "-c", script).endswith("no more")


def test_a_rule_opens_devices_that_are_made_inside(engine: EngineProcess) -> None:
    script = "mknod /null c 1 11 && (: >/null) 2>/dev/null && echo open; true"
    rule = ("--device-cgroup-rule", "c 1:11 rwm")
    assert engine.ok("run", "--rm", "busybox", "sh", "-c", script) == ""
    assert engine.ok("run", "--rm", *rule, "busybox", "sh", "-c", script) == "open"


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--device=/dev/nope", 'adding custom device "/dev/nope": no such file or directory'),
        ("--device-read-bps=/dev/nope:1", "stat /dev/nope: no such file or directory"),
        ("--device-read-bps=vda:1", "bad format: vda:1"),
        ("--device-read-iops=/dev/loop0:x", "invalid rate for device: /dev/loop0:x"),
        ("--device-cgroup-rule=nope", "invalid device cgroup rule format: 'nope'"),
        ("--sysctl=kernel.core_pattern=x", "sysctl 'kernel.core_pattern' is not allowed"),
        ("--ulimit=nope=1", "invalid ulimit type: nope"),
    ],
)
def test_what_is_no_limit_is_refused_in_dockers_words(
    engine: EngineProcess, option: str, words: str
) -> None:
    assert words in engine.refused("run", "--rm", option, "busybox", "true")


def test_a_cgroup_parent_is_where_the_container_lies(engine: EngineProcess) -> None:
    by_systemd = engine.ok("info", "-f", "{{.CgroupDriver}}") == "systemd"
    parent = "pogutest-parent.slice" if by_systemd else "/pogutest-parent"
    options = ("--cgroup-parent", parent, "--cgroupns", "host")
    said = engine.ok("run", "--rm", *options, "busybox", "cat", "/proc/self/cgroup")
    assert ("/pogutest.slice/pogutest-parent.slice/pogu-" if by_systemd else f":{parent}/") in said
    for group in Path("/sys/fs/cgroup").glob("**/pogutest-parent"):
        group.rmdir()
