"""A real engine on a storage root of its own, driven by the real CLI. For system tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.command_lines import command_lines

__all__ = [
    "PATIENCE",
    "EngineProcess",
    "an_engine",
    "an_engine_at",
    "eventually",
    "runtime_refusal",
]

PATIENCE = float(os.environ.get("POGU_TEST_PATIENCE", "1"))
"""How many times longer than elsewhere a test waits: for machines that are that much slower."""


def eventually(
    condition: Callable[[], object],
    *,
    within_s: float = 20.0,
    what: str = "",
    say: Callable[[], str] = str,
) -> None:
    """Poll until `condition` holds; in the end fail the test with what `say` says."""
    deadline = time.monotonic() + within_s * PATIENCE
    while not condition():
        late = time.monotonic() >= deadline
        assert not late, f"not within {within_s} s: {what or condition}\n{say()}"
        time.sleep(0.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineProcess:
    """Paths of one engine; the CLI starts it by itself at the first command."""

    root: Path
    run_root: Path

    @property
    def argv(self) -> list[str]:
        places = ["--root", str(self.root), "--run-root", str(self.run_root)]
        return [sys.executable, "-m", "pogu.cli.main", *places]

    @property
    def socket(self) -> Path:
        return self.run_root / "pogu.sock"

    def popen(self, *words: str) -> subprocess.Popen[bytes]:
        """Start one CLI command with pipes."""
        pipe = subprocess.PIPE
        return subprocess.Popen([*self.argv, *words], stdin=pipe, stdout=pipe, stderr=pipe)

    def call(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        """Run one CLI command to its end, whatever its exit code."""
        done = subprocess.run(
            [*self.argv, *words], input=stdin, capture_output=True, check=False, timeout=120
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        assert "Traceback" not in out + err, err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def ok(self, *words: str, stdin: bytes = b"") -> str:
        """Run one CLI command that must succeed; return its output without the last newline."""
        done = self.call(*words, stdin=stdin)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout.rstrip("\n")

    def refused(self, *words: str, code: int | None = None, stdin: bytes = b"") -> str:
        """Run one CLI command that must fail; return its standard error."""
        done = self.call(*words, stdin=stdin)
        assert done.returncode != 0, f"{words} succeeded: {done.stdout}"
        assert code is None or done.returncode == code, f"{done.returncode}: {done.stderr}"
        return done.stderr

    @property
    def pid(self) -> int:
        """The engine's process ID; 0 when none runs."""
        return next(iter(self.pids()), 0)

    def pids(self) -> list[int]:
        """Every engine process of these roots; there is to be one at most."""
        return [
            pid
            for pid, words in command_lines()
            if "pogu.daemon" in words and str(self.run_root) in words
        ]

    def kill(self) -> None:
        """SIGKILL the engine, as the kernel's OOM killer would."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not is_alive(pid))

    def status(self, name: str) -> str:
        return self.ok("inspect", "--type", "container", "-f", "{{.State.Status}}", name)

    def clean(self) -> None:
        """Remove every container and stop the engine."""
        containers = self.ok("ps", "-aq").split()
        if containers:
            self.ok("rm", "-f", "-v", *containers)
        self.ok("engine", "stop")
        eventually(lambda: self.pid == 0, what="the engine ends")


def is_alive(pid: int) -> bool:
    """False for a process that has ended with all its threads, reaped or not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return False
    return threads > 1 or stat.rpartition(")")[2].split()[0] not in "ZX"


def runtime_refusal(directory: Path) -> str:
    """Why POGU_RUNTIME's runtime runs no container on this host; empty when it does."""
    engine = EngineProcess(root=directory / "root", run_root=directory / "run")
    started = engine.call("ps", "-q")
    if started.returncode != 0:
        return started.stderr
    engine.clean()
    return ""


@contextmanager
def an_engine(directory: Path) -> Iterator[EngineProcess]:
    """Give an engine with a busybox image; afterwards nothing of it is left."""
    engine = EngineProcess(root=directory / "root", run_root=directory / "run")
    with an_engine_at(engine):
        yield engine
    mounts = Path("/proc/self/mountinfo").read_text()
    assert f"{directory}/" not in mounts, "mounts were left"


@contextmanager
def an_engine_at(engine: EngineProcess) -> Iterator[EngineProcess]:
    """As `an_engine`, of one that is described already."""
    try:
        engine.ok("image", "bootstrap", "busybox")
        yield engine
    finally:
        engine.clean()
