"""The engine under a service manager: an inherited socket, readiness, and what outlives it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.engine_process import PATIENCE, EngineProcess, an_engine, eventually

pytestmark = pytest.mark.root

SOURCE = str(Path(__file__).resolve().parents[2] / "src")


class Manager:
    """Does what systemd does: holds the socket, starts the engine with it, hears `READY=1`."""

    def __init__(self, engine: EngineProcess, directory: Path) -> None:
        self._engine = engine
        self.listener = socket.socket(socket.AF_UNIX)
        engine.socket.unlink(missing_ok=True)
        self.listener.bind(str(engine.socket))
        self.listener.listen()
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(directory / "notify"))
        self._notices.settimeout(20 * PATIENCE)
        self._notify_path = str(directory / "notify")

    def start(self) -> subprocess.Popen[bytes]:
        places = ["--root", str(self._engine.root), "--run-root", str(self._engine.run_root)]
        argv = [sys.executable, "-m", "pogu.daemon", "--foreground", *places]
        script = f'exec 3<&{self.listener.fileno()}; export LISTEN_PID=$$; exec "$@"'
        environment = {"LISTEN_FDS": "1", "NOTIFY_SOCKET": self._notify_path, "PYTHONPATH": SOURCE}
        return subprocess.Popen(
            ["bash", "-c", script, "manager", *argv],
            env=os.environ | environment,
            pass_fds=[self.listener.fileno()],
            stderr=subprocess.DEVNULL,
        )

    def heard(self) -> str:
        return self._notices.recv(4096).decode()

    def close(self) -> None:
        self.listener.close()
        self._notices.close()


@contextmanager
def a_manager(engine: EngineProcess, directory: Path) -> Iterator[Manager]:
    manager = Manager(engine, directory)
    try:
        yield manager
    finally:
        manager.close()


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with an_engine(tmp_path_factory.mktemp("pogu")) as running:
        yield running


def test_a_manager_hands_over_its_socket_hears_readiness_and_keeps_the_socket(
    engine: EngineProcess, tmp_path: Path
) -> None:
    engine.ok("run", "-d", "--name", "outlives", "busybox", "sleep", "1000")
    engine.ok("engine", "stop")
    with a_manager(engine, tmp_path) as manager:
        first = manager.start()
        assert manager.heard() == "READY=1"
        assert engine.status("outlives") == "running"
        engine.ok("engine", "stop")
        assert (manager.heard(), first.wait(20)) == ("STOPPING=1", 0)
        assert engine.socket.exists()
        second = manager.start()
        assert engine.status("outlives") == "running"
        engine.ok("engine", "stop")
        assert second.wait(20) == 0
    engine.socket.unlink()


def test_after_a_boot_the_engine_starts_what_always_runs(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "always", "--restart", "always", "busybox", "sleep", "1000")
    engine.ok("run", "-d", "--name", "once", "busybox", "sleep", "1000")
    policy = ("--restart", "unless-stopped")
    engine.ok("run", "-d", "--name", "stopped", *policy, "busybox", "sleep", "1000")
    engine.ok("stop", "-t", "0", "always", "stopped")
    engine.ok("kill", "once")
    engine.ok("engine", "stop")
    (engine.run_root / "booted").unlink()  # a run root does not outlive a boot
    eventually(lambda: engine.status("always") == "running", what="it runs again")
    assert (engine.status("stopped"), engine.status("once")) == ("exited", "exited")


def test_without_systemd_the_command_says_what_to_do(engine: EngineProcess) -> None:
    if Path("/run/systemd/system").exists():
        pytest.skip("systemd runs here")
    said = engine.refused("system", "install-service")
    assert "systemd does not run on this host" in said
    shown = engine.ok("system", "install-service", "--print")
    assert f"ListenStream={engine.socket}" in shown
    assert f"--run-root {engine.run_root}" in shown


def test_the_engine_does_not_stay_where_it_was_called(engine: EngineProcess) -> None:
    engine.ok("ps")
    assert os.readlink(f"/proc/{engine.pid}/cwd") == str(engine.run_root)
    hungry = "x=y; while :; do x=$x$x; done"
    done = engine.call("run", "--name", "eats", "-m", "8m", "busybox", "sh", "-c", hungry)
    assert done.returncode == 137
    assert engine.ok("inspect", "-f", "{{.State.OOMKilled}}", "eats") == "true"
