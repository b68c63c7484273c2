"""Logs of real containers: bounded, whole, followed over rotation, read by several clients."""

from __future__ import annotations

import contextlib
import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, eventually

pytestmark = pytest.mark.root


@pytest.fixture
def name(engine: EngineProcess) -> Iterator[str]:
    yield "web"
    engine.ok("rm", "-f", "-v", "web")


def run(engine: EngineProcess, script: str, *options: str) -> None:
    """Run a script to its end as `web`."""
    engine.ok("run", "-d", "--name", "web", *options, "busybox", "sh", "-c", script)
    engine.ok("wait", "web")


def output(engine: EngineProcess, *words: str) -> bytes:
    return subprocess.run([*engine.argv, *words], capture_output=True, check=True).stdout


def log_bytes(engine: EngineProcess) -> int:
    log = Path(engine.ok("inspect", "-f", "{{.LogPath}}", "web"))
    sizes = {}
    for path in log.parent.glob("ctr.log*"):
        with contextlib.suppress(FileNotFoundError):  # being rotated
            sizes[path.stat().st_ino] = path.stat().st_size
    return sum(sizes.values())


def test_a_follower_sees_every_line_of_a_log_that_is_rotated_many_times(
    engine: EngineProcess, name: str
) -> None:
    count = 1_000_000
    line = "x" * 90
    loop = f'for (i = 1; i <= {count}; i++) printf "%08d {line}\\n", i'
    script = f"read go; awk 'BEGIN {{ {loop} }}'"
    bounds = ["--log-opt", "max-size=4m", "--log-opt", "max-file=30"]
    engine.ok("run", "-di", "--name", name, *bounds, "busybox", "sh", "-c", script)
    follower = engine.popen("logs", "-f", name)
    starter = engine.popen("attach", name)
    starter.communicate(b"go\n", timeout=120)
    assert follower.stdout is not None
    for number, text in enumerate(follower.stdout, 1):
        assert text[:9] == b"%08d " % number
    follower.communicate(timeout=10)
    assert follower.returncode == 0
    assert number == count
    kept = output(engine, "logs", name)
    assert kept.count(b"\n") >= 600_000
    numbers = [int(text[:8]) for text in kept.splitlines()]
    assert numbers == list(range(numbers[0], count + 1))
    assert log_bytes(engine) < 30 * (4 << 20) * 1.5


def test_a_log_stays_within_its_bounds_while_it_is_written(
    engine: EngineProcess, name: str
) -> None:
    bounds = ["--log-opt", "max-size=1m", "--log-opt", "max-file=3"]
    noise = "yes 0123456789012345678901234567890123456789 | head -c 100000"
    script = f"while :; do {noise}; usleep 20000; done"
    engine.ok("run", "-d", "--name", name, *bounds, "busybox", "sh", "-c", script)
    eventually(lambda: log_bytes(engine) > 3 << 20, what="it is full")
    peak = max(log_bytes(engine) for _ in range(60))
    assert peak < 12 << 20


def test_long_lines_and_any_byte_come_back_as_they_were_written(
    engine: EngineProcess, name: str
) -> None:
    run(engine, "head -c 3000000 /bin/busybox /bin/busybox; head -c 40000000 /dev/zero; echo end")
    data = Path("/bin/busybox").read_bytes()[:3_000_000]
    found = output(engine, "logs", name)
    assert found.endswith(bytes(40_000_000) + b"end\n")
    assert found.count(data) == 2


def test_a_log_is_bounded_in_time_and_tail_and_shows_both_streams(
    engine: EngineProcess, name: str
) -> None:
    run(engine, "echo one; echo err >&2; sleep 0.3; echo two; printf last")
    assert engine.ok("logs", name) == "one\ntwo\nlast"
    assert output(engine, "logs", "-n", "2", name) == b"two\nlast"
    stamped = engine.ok("logs", "-t", name).splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z "
    assert [re.sub(f"^{stamp}", "", line) for line in stamped] == ["one", "two", "last"]
    second = stamped[1].split()[0]
    assert engine.ok("logs", "--since", second, name) == "two\nlast"
    assert engine.ok("logs", "--until", second, name).splitlines()[:2] == ["one", "two"]
    assert engine.ok("logs", "--since", "1h", name) == engine.ok("logs", name)
    assert engine.ok("logs", "--until", "1h", name) == ""


def test_details_show_the_labels_that_were_asked_for(engine: EngineProcess, name: str) -> None:
    options = ["--label", "tier=front", "--log-opt", "labels=tier", "--log-opt", "tag={{.Name}}"]
    run(engine, "echo hello", *options)
    assert output(engine, "logs", "--details", name) == b"tag=web,tier=front hello\n"
    assert output(engine, "logs", name) == b"hello\n"


def test_a_log_goes_on_without_a_gap_when_the_engine_is_killed(
    engine: EngineProcess, name: str
) -> None:
    script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; usleep 500; done"
    bounds = ["--log-opt", "max-size=64k", "--log-opt", "max-file=20"]
    engine.ok("run", "-d", "--name", name, *bounds, "busybox", "sh", "-c", script)
    for _ in range(3):
        engine.kill()
        engine.ok("ps")
    engine.ok("wait", name)
    assert engine.ok("logs", name).split() == [str(number) for number in range(1, 3001)]


def test_what_never_ran_has_an_empty_log_and_what_is_not_there_none(
    engine: EngineProcess, name: str
) -> None:
    engine.ok("create", "--name", name, "busybox", "echo", "x")
    assert engine.ok("logs", "-f", name) == ""
    said = engine.refused("logs", "nobody", code=1)
    assert "No such container: nobody" in said


def test_a_driver_without_a_log_says_so(engine: EngineProcess, name: str) -> None:
    run(engine, "echo x", "--log-driver", "none")
    assert "configured logging driver does not support reading" in engine.refused("logs", name)
    assert engine.ok("inspect", "-f", "{{.LogPath}}", name) == ""


def test_a_terminal_shows_its_output_as_it_is(engine: EngineProcess, name: str) -> None:
    run(engine, "echo one; echo two >&2", "-t")
    assert output(engine, "logs", name) == b"one\r\ntwo\r\n"


def test_the_docker_command_reads_the_same(engine: EngineProcess, name: str) -> None:
    run(engine, "seq 200000; seq 3 >&2; head -c 1000000 /bin/busybox")
    docker = ["docker", "-H", f"unix://{engine.socket}", "logs", name]
    found = subprocess.run(docker, capture_output=True, check=True)
    ours = subprocess.run([*engine.argv, "logs", name], capture_output=True, check=True)
    assert found.stderr == ours.stderr == b"1\n2\n3\n"
    digest = hashlib.sha256(ours.stdout).digest()
    assert hashlib.sha256(found.stdout).digest() == digest
    assert ours.stdout.startswith(b"1\n2\n")


def test_the_logs_of_several_containers_are_merged_by_time(
    engine: EngineProcess, name: str
) -> None:
    script = "for i in 1 2 3; do echo $0 $i; sleep 0.2; done"
    for one, pause in ((name, "0"), ("database", "0.1")):
        whole = f"sleep {pause}; {script}"
        engine.ok("run", "-d", "--name", one, "busybox", "sh", "-c", whole, one)
    expected = [f"{one:<8} | {one} {number}" for number in (1, 2, 3) for one in (name, "database")]
    try:
        assert sorted(engine.ok("logs", "-f", name, "database").splitlines()) == sorted(expected)
        assert sorted(expected) == sorted(engine.ok("logs", name, "database").splitlines())
        stamps = engine.ok("logs", "-t", "database", name).splitlines()
        times = [line.split()[2] for line in stamps]
        assert times == sorted(times)
        assert "No such container: nobody" in engine.refused("logs", name, "nobody")
    finally:
        engine.ok("rm", "-f", "database")
