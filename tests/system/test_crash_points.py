"""The engine is killed at many moments of its work; the next command finds a true state.

Afterwards nothing is orphaned: no mount, no namespace file, no monitor, no runtime state.
"""

from __future__ import annotations

import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
from tests.command_lines import command_lines
from tests.engine_process import EngineProcess, eventually

pytestmark = pytest.mark.root

POINTS_MS = (0, 3, 8, 15, 22, 30, 40, 55, 75, 110)


def kill_after(engine: EngineProcess, delay_ms: int, *words: str) -> subprocess.Popen[bytes]:
    """Start a command and kill the engine so much later; return the ended command."""
    pid_before = engine.pid
    assert pid_before
    command = engine.popen(*words)
    time.sleep(delay_ms / 1000)  # the point in time is what is tested
    engine.kill()
    command.communicate(timeout=60)
    return command


def monitors(engine: EngineProcess) -> list[str]:
    """Processes of conmon or the runtime that work for this engine."""
    lines = (" ".join(words) for _, words in command_lines())
    return [
        line[:120] for line in lines if str(engine.run_root) in line and "pogu.daemon" not in line
    ]


def is_empty(directory: Path) -> bool:
    return not any(directory.iterdir())


def assert_nothing_is_orphaned(engine: EngineProcess) -> None:
    assert engine.ok("ps", "-aq") == ""
    for directory in (
        engine.run_root / "netns",
        engine.run_root / "runtime",
        engine.run_root / "containers",
        engine.run_root / "exits",
        engine.root / "containers",
    ):
        eventually(partial(is_empty, directory), what=f"{directory} is empty")
    eventually(lambda: not monitors(engine), what="no monitor is left")
    assert f"{engine.root}/" not in Path("/proc/self/mountinfo").read_text()


def test_a_run_is_there_or_not_but_never_half(engine: EngineProcess) -> None:
    for number, delay_ms in enumerate(POINTS_MS):
        name = f"crash-{number}"
        engine.ok("ps", "-q")
        words = ("run", "-d", "--name", name, "busybox", "sleep", "99")
        command = kill_after(engine, delay_ms, *words)
        known = engine.ok("ps", "-a", "--format", "{{.Names}}").split()
        if command.returncode == 0:
            assert engine.status(name) == "running"
        if name in known:
            if engine.status(name) != "running":
                engine.ok("start", name)
            assert engine.status(name) == "running"
            engine.ok("rm", "-f", name)
    assert_nothing_is_orphaned(engine)


def test_an_acknowledged_removal_stays_and_an_interrupted_one_is_finished(
    engine: EngineProcess,
) -> None:
    for number, delay_ms in enumerate(POINTS_MS):
        name = f"gone-{number}"
        engine.ok("run", "-d", "--name", name, "busybox", "sleep", "99")
        command = kill_after(engine, delay_ms, "rm", "-f", name)
        known = engine.ok("ps", "-a", "--format", "{{.Names}}").split()
        if command.returncode == 0:
            assert name not in known
        elif name in known:
            engine.ok("rm", "-f", name)
    assert_nothing_is_orphaned(engine)


def test_a_stop_is_recorded_whenever_the_engine_dies(engine: EngineProcess) -> None:
    trap = "trap 'exit 9' TERM; while true; do sleep 0.01; done"
    for number, delay_ms in enumerate(POINTS_MS[::2]):
        name = f"stop-{number}"
        engine.ok("run", "-d", "--name", name, "busybox", "sh", "-c", trap)
        kill_after(engine, delay_ms, "stop", name)
        if engine.status(name) == "running":
            engine.ok("stop", name)
        assert engine.ok("inspect", "-f", "{{.State.ExitCode}}", name) == "9"
        engine.ok("rm", name)
    assert_nothing_is_orphaned(engine)


def test_a_build_is_whole_or_not_there(engine: EngineProcess, tmp_path: Path) -> None:
    for number, delay_ms in enumerate(POINTS_MS):
        (tmp_path / "file").write_text(f"{number}\n")
        (tmp_path / "Dockerfile").write_text(
            f"FROM busybox\nCOPY file /file\nRUN echo {number} >> /file\n"
        )
        engine.ok("ps", "-q")
        tag = f"crash:{number}"
        command = kill_after(engine, delay_ms, "build", "-q", "-t", tag, str(tmp_path))
        tags = engine.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        if command.returncode == 0:
            assert tag in tags
        if tag not in tags:
            engine.ok("build", "-q", "-t", tag, str(tmp_path))
        assert engine.ok("run", "--rm", tag, "cat", "/file") == f"{number}\n{number}"
    left = [path.name for path in (engine.root / "tmp").iterdir()]
    assert [name for name in left if not name.startswith("removed-")] == []
    assert_nothing_is_orphaned(engine)
