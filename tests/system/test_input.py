"""`run -i` without a terminal: the input is the client's, and outlives the engine."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, eventually

pytestmark = pytest.mark.root

STEPS = 5
"""More than the end of the input takes; the end of the container follows."""


@pytest.fixture(scope="module")
def engine_environment(crash_file: Path) -> dict[str, str]:
    return {"POGU_CRASH_FILE": str(crash_file)}


@pytest.fixture(autouse=True)
def _clean(engine: EngineProcess) -> Iterator[None]:
    yield
    engine.clean()


@contextmanager
def copying(engine: EngineProcess, name: str = "copy") -> Iterator[subprocess.Popen[bytes]]:
    """`run -i cat`, which has written a line already."""
    with engine.popen("run", "-i", "--name", name, "busybox", "cat") as client:
        say(client, "first")
        assert heard(client) == "first"
        yield client


def say(client: subprocess.Popen[bytes], line: str) -> None:
    assert client.stdin is not None
    client.stdin.write(line.encode() + b"\n")
    client.stdin.flush()


def heard(client: subprocess.Popen[bytes]) -> str:
    assert client.stdout is not None
    return client.stdout.readline().decode().rstrip("\n")


def stop(engine: EngineProcess) -> None:
    engine.ok("engine", "stop")
    eventually(lambda: engine.pid == 0)


@pytest.mark.parametrize("ending", [EngineProcess.kill, stop])
def test_the_input_outlives_engines_until_a_client_ends_it(
    engine: EngineProcess, ending: object
) -> None:
    assert callable(ending)
    with copying(engine):
        for line in ("second", "third"):
            ending(engine)
            with engine.popen("attach", "copy") as client:
                say(client, line)
                assert heard(client) == line
                client.kill()
            assert engine.status("copy") == "running"
    assert engine.ok("attach", "copy", stdin=b"last\n") == "last"  # to the end of its input
    assert engine.ok("wait", "copy") == "0"
    assert engine.ok("logs", "copy").splitlines() == ["first", "second", "third", "last"]


def test_nobody_needs_to_attach_to_it(engine: EngineProcess) -> None:
    with copying(engine):
        for _ in range(2):
            engine.kill()
            assert engine.status("copy") == "running"
    engine.ok("stop", "-t", "0", "copy")
    assert engine.ok("start", "-ai", "copy", stdin=b"again\n") == "again"


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_wherever_the_engine_dies_the_input_is_open_or_ended_by_the_client(
    engine: EngineProcess, crash_file: Path, step: int
) -> None:
    with copying(engine) as client:
        crash_file.write_text(str(step))
        assert client.stdin is not None
        client.stdin.close()
        client.wait(20)
        crash_file.unlink(missing_ok=True)
        if engine.status("copy") == "running":
            engine.ok("attach", "copy")
        assert engine.ok("wait", "copy") == "0"
    assert engine.ok("logs", "copy") == "first"


@pytest.mark.parametrize("step", [2, 10, 40])
def test_an_engine_that_dies_while_it_starts_one_leaves_it_whole(
    engine: EngineProcess, crash_file: Path, step: int
) -> None:
    engine.ok("create", "-i", "--name", "copy", "busybox", "cat")
    crash_file.write_text(str(step))
    engine.call("start", "-ai", "copy", stdin=b"first\n")
    crash_file.unlink(missing_ok=True)
    words = ("attach",) if engine.status("copy") == "running" else ("start", "-ai")
    assert engine.ok(*words, "copy", stdin=b"second\n").splitlines()[-1] == "second"
    assert engine.ok("wait", "copy") == "0"


def test_much_input_arrives_whole_at_a_slow_reader(engine: EngineProcess) -> None:
    data = os.urandom(20 << 20)
    words = ("sh", "-c", "sleep 0.5; sha256sum")
    said = engine.ok("run", "--rm", "-i", "busybox", *words, stdin=data)
    assert said.split()[0] == hashlib.sha256(data).hexdigest()


def test_input_that_nobody_reads_keeps_nothing_from_ending(engine: EngineProcess) -> None:
    words = ("run", "--rm", "-i", "busybox", "sh", "-c", "exec 0<&-; sleep 0.3; echo over")
    assert engine.ok(*words, stdin=bytes(10 << 20)) == "over"
    assert engine.ok("run", "--rm", "-i", "busybox", "true", stdin=bytes(10 << 20)) == ""


def test_the_process_has_its_three_streams_and_nothing_else(engine: EngineProcess) -> None:
    script = "exec 3</dev/null; ls -l /proc/1/fd; cat /dev/stdin"
    said = engine.ok("run", "--rm", "-i", "busybox", "sh", "-c", script, stdin=b"typed")
    numbers = [line.split()[-3] for line in said.splitlines() if " -> " in line]
    assert numbers == ["0", "1", "2", "3"]
    assert said.endswith("typed")


def test_an_engine_keeps_nothing_of_inputs_that_ended(engine: EngineProcess) -> None:
    engine.ok("run", "--rm", "-i", "busybox", "cat", stdin=b"x")
    before = sorted(os.listdir(f"/proc/{engine.pid}/fd"))
    for _ in range(3):
        engine.ok("run", "--rm", "-i", "busybox", "cat", stdin=b"x")
    eventually(lambda: len(os.listdir(f"/proc/{engine.pid}/fd")) <= len(before))
