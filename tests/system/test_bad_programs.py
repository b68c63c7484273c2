"""The runtime is gone, broken or another one, descriptors run out: what runs stays ours."""

from __future__ import annotations

import os
import resource
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.census import census, difference
from tests.engine_process import EngineProcess, an_engine, eventually

pytestmark = pytest.mark.root


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory at the head of PATH with a runtime of ours: a script that calls the host's."""
    name = os.environ.get("POGU_RUNTIME", "runc")
    real = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if real is None:
        pytest.skip(f"no {name} here")
    directory = tmp_path / "bin"
    directory.mkdir()
    program = directory / name
    program.write_text(f'#!/bin/sh\nexec {real} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    monkeypatch.setenv("POGU_RUNTIME", name)
    return program


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    with an_engine(tmp_path) as running:
        yield running


def pid_of(engine: EngineProcess, name: str) -> str:
    return engine.ok("inspect", "-f", "{{.State.Pid}}", name)


def test_what_runs_can_be_stopped_and_removed_without_its_runtime(
    programs: Path, tmp_path: Path
) -> None:
    with an_engine(tmp_path) as engine:
        rest = census(engine)
        engine.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")
        away = programs.rename(programs.with_name("away"))
        assert "program not found" in engine.refused("pause", "web")
        assert engine.status("web") == "running"
        assert "program not found" in engine.call("exec", "web", "true").stdout
        assert engine.refused("run", "--rm", "busybox", "true")
        engine.ok("stop", "-t", "0", "web")
        assert engine.refused("start", "web")
        engine.ok("rm", "web")
        eventually(lambda: not difference(rest, census(engine)), say=lambda: str(census(engine)))
        away.rename(programs)
        assert engine.ok("run", "--rm", "busybox", "echo", "works") == "works"


@pytest.mark.parametrize("text", ["garbage", "#!/bin/sh\nexit 1\n"])
def test_a_runtime_that_is_broken_is_named_and_ends_nothing(
    programs: Path, tmp_path: Path, text: str
) -> None:
    with an_engine(tmp_path) as engine:
        engine.ok("run", "-d", "--name", "web", "--restart", "always", "busybox", "sleep", "1000")
        pid, whole = pid_of(engine, "web"), programs.read_text()
        engine.kill()
        programs.write_text(text)
        assert f"no OCI runtime works on this host: {programs.name}" in engine.refused("ps")
        eventually(lambda: engine.pid == 0)
        programs.write_text(whole)
        assert pid_of(engine, "web") == pid
        assert engine.ok("exec", "web", "echo", "lives") == "lives"


def test_what_another_runtime_made_is_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never started a second time beside the first."""
    before, after = "crun", "runc"
    for name in (before, after):
        if shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
            pytest.skip(f"no {name} here")
    if os.environ.get("POGU_RUNTIME") == "crun":
        before, after = after, before
    monkeypatch.setenv("POGU_RUNTIME", after)
    with an_engine(tmp_path) as engine:
        rest = census(engine)
        engine.ok("run", "-d", "--name", "db", "--restart", "always", "busybox", "sleep", "1000")
        pid = pid_of(engine, "db")
        engine.ok("engine", "stop")
        monkeypatch.setenv("POGU_RUNTIME", before)
        if "cannot start" in engine.call("ps").stderr or engine.call("ps").returncode:
            monkeypatch.setenv("POGU_RUNTIME", after)
            pytest.skip(f"{before} runs nothing on this host")
        assert pid_of(engine, "db") == pid
        assert engine.ok("exec", "db", "echo", "lives") == "lives"
        engine.ok("pause", "db")
        engine.ok("unpause", "db")
        engine.ok("restart", "-t", "0", "db")
        assert pid_of(engine, "db") != pid
        engine.ok("rm", "-f", "db")
        eventually(lambda: not difference(rest, census(engine)), say=lambda: str(census(engine)))


def test_a_start_that_would_take_the_last_descriptors_is_refused_and_the_rest_works(
    engine: EngineProcess,
) -> None:
    first = engine.ok("run", "-d", "busybox", "sleep", "1000")
    hard = resource.prlimit(engine.pid, resource.RLIMIT_NOFILE)[1]
    used = len(os.listdir(f"/proc/{engine.pid}/fd"))
    resource.prlimit(engine.pid, resource.RLIMIT_NOFILE, (used + 110, hard))
    ran = 0
    while not (refused := engine.call("run", "-d", "busybox", "sleep", "1000")).returncode:
        ran += 1
        assert ran < 60
    assert "too many open files" in refused.stderr
    assert "LimitNOFILE" in refused.stderr
    assert engine.ok("exec", first, "echo", "lives") == "lives"
    engine.ok("stop", "-t", "0", first)
    for name in engine.ok("ps", "-aq").split():
        engine.ok("rm", "-f", name)
    assert engine.ok("run", "--rm", "busybox", "echo", "works") == "works"


def test_clients_that_take_every_descriptor_cost_no_time_and_are_let_in_later(
    engine: EngineProcess,
) -> None:
    hard = resource.prlimit(engine.pid, resource.RLIMIT_NOFILE)[1]
    used = len(os.listdir(f"/proc/{engine.pid}/fd"))
    resource.prlimit(engine.pid, resource.RLIMIT_NOFILE, (used + 8, hard))
    clients = []
    for _ in range(40):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(engine.socket))
        clients.append(client)
    eventually(lambda: "clients wait" in (engine.root / "engine.log").read_text())
    before = cpu_ticks(engine.pid)
    waiting = engine.popen("ps", "-q")
    eventually(lambda: len(os.listdir(f"/proc/{engine.pid}/fd")) >= used + 7)
    for client in clients:
        client.close()
    assert waiting.communicate(timeout=20)[1] == b""
    assert cpu_ticks(engine.pid) - before < 100
    assert (engine.root / "engine.log").read_text().count("clients wait") == 1
    resource.prlimit(engine.pid, resource.RLIMIT_NOFILE, (hard, hard))


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
