"""What the engine keeps is removed, damaged or raced for: one engine, nothing is doubled."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, an_engine, eventually

pytestmark = pytest.mark.root


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    with an_engine(tmp_path) as running:
        yield running


def pid_of(engine: EngineProcess, name: str) -> int:
    return int(engine.ok("inspect", "-f", "{{.State.Pid}}", name))


def test_many_clients_while_one_engine_ends_or_dies_find_one_engine(engine: EngineProcess) -> None:
    engine.ok("create", "--name", "one", "busybox", "true")
    for end in ("nobody", "stop", "kill"):
        if end == "nobody":
            engine.ok("engine", "stop")
            eventually(lambda: engine.pid == 0)
        elif end == "stop":
            os.kill(engine.pid, signal.SIGTERM)
        else:
            os.kill(engine.pid, signal.SIGKILL)
        clients = [engine.popen("ps", "-aq") for _ in range(8)]
        for client in clients:
            out, err = client.communicate(timeout=60)
            assert (client.returncode, len(out.split())) == (0, 1), (end, err)
        eventually(lambda: len(engine.pids()) == 1)


@pytest.mark.parametrize("text", ["garbage", ""])
def test_files_of_an_engine_that_died_are_in_nobodys_way(engine: EngineProcess, text: str) -> None:
    engine.kill()
    for name in ("pogu.sock", "engine.lock"):
        (engine.run_root / name).unlink(missing_ok=True)
        (engine.run_root / name).write_text(text)
    assert engine.ok("ps", "-aq") == ""


def test_a_socket_that_somebody_removed_comes_back(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    pid, process = engine.pid, pid_of(engine, "web")
    for name in ("pogu.sock", "engine.lock"):
        (engine.run_root / name).unlink()
    assert pid_of(engine, "web") == process
    assert engine.pid == pid
    engine.ok("engine", "stop")
    eventually(lambda: engine.pid == 0)
    assert pid_of(engine, "web") == process


@pytest.mark.parametrize("dies", [False, True])
def test_a_run_root_that_is_wiped_doubles_and_ends_nothing(
    engine: EngineProcess, dies: bool
) -> None:
    engine.ok("run", "-d", "--name", "db", "--restart", "always", "busybox", "sleep", "1000")
    process = pid_of(engine, "db")
    if dies:
        engine.kill()
    subprocess.run(["rm", "-rf", str(engine.run_root)], check=False, capture_output=True)
    assert pid_of(engine, "db") == process
    assert engine.status("db") == "running"
    assert engine.ok("run", "--rm", "busybox", "echo", "works") == "works"
    engine.ok("restart", "-t", "0", "db")
    eventually(lambda: not Path(f"/proc/{process}").exists())
    assert engine.ok("exec", "db", "echo", "lives") == "lives"
    assert pid_of(engine, "db") != process


def test_a_container_without_its_directory_keeps_no_engine_from_starting(
    engine: EngineProcess,
) -> None:
    """As where an old copy of the database was put back: its row says that it runs."""
    engine.ok("run", "-d", "--name", "lost", "busybox", "sleep", "1000")
    engine.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    pid, process = pid_of(engine, "lost"), pid_of(engine, "web")
    directory = engine.root / "containers" / engine.ok("inspect", "-f", "{{.Id}}", "lost")
    engine.kill()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}/fd/0").exists())
    subprocess.run(["umount", "-l", str(directory / "rootfs")], check=True)
    shutil.rmtree(directory)
    assert engine.ok("ps", "-a", "--format", "{{.Names}}") == "web"
    assert pid_of(engine, "web") == process


def test_a_layer_that_is_gone_is_said_with_who_finds_it(engine: EngineProcess) -> None:
    layer = next((engine.root / "layers").iterdir())
    layer.rename(engine.root / "away")
    assert "pogu system check" in engine.refused("run", "--rm", "busybox", "true")
    (engine.root / "away").rename(layer)
    assert engine.ok("run", "--rm", "busybox", "echo", "works") == "works"


def test_a_config_that_is_gone_is_said_by_exec_and_comes_back_with_a_restart(
    engine: EngineProcess,
) -> None:
    engine.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    directory = engine.root / "containers" / engine.ok("inspect", "-f", "{{.Id}}", "web")
    (directory / "config.json").unlink()
    assert "pogu restart web" in engine.call("exec", "web", "true").stdout
    engine.kill()
    assert engine.status("web") == "running"
    engine.ok("restart", "-t", "0", "web")
    assert engine.ok("exec", "web", "echo", "lives") == "lives"
