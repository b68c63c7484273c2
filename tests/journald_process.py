"""A real systemd-journald in a mount namespace of its own, and an engine in it. For system tests.

What it is sent stays in memory there and is gone with it; the host's journal, if there is one, gets
nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.engine_process import EngineProcess, an_engine_at, eventually

__all__ = ["JournaldProcess", "a_journald", "an_engine_with_journald", "why_no_journald"]

_PROGRAM = Path("/lib/systemd/systemd-journald")
_CONFIG = "[Journal]\nStorage=volatile\nAudit=no\nReadKMsg=no\nForwardToWall=no\nRateLimitBurst=0\n"
_SCRIPT = """
set -e
if [ -d /run/systemd/journal ]; then mount -t tmpfs tmpfs /run/systemd/journal
else mount -t tmpfs tmpfs /run/systemd; mkdir /run/systemd/journal; fi
mount -t tmpfs tmpfs /run/log
mkdir /run/log/journal
mount --bind "$1" /etc/systemd/journald.conf
exec "$2"
"""


def why_no_journald() -> str:
    """Empty when one can be run here."""
    needed = (_PROGRAM, Path("/etc/systemd/journald.conf"), Path("/run/log"))
    missing = [str(path) for path in needed if not path.exists()]
    if missing:
        return f"missing: {', '.join(missing)}"
    identity = Path("/etc/machine-id")
    return "" if identity.exists() and identity.stat().st_size else "no /etc/machine-id"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournaldProcess:
    """Where it runs."""

    pid: int

    @property
    def inside(self) -> list[str]:
        """The words before a command that is to find it."""
        return ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt"]

    def entries(self, *words: str) -> list[str]:
        """What `journalctl -o cat` prints of the entries that match, synchronised."""
        subprocess.run([*self.inside, "journalctl", "--sync"], check=True)
        command = [*self.inside, "journalctl", "--quiet", "-o", "cat", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split(
            "\n"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _EngineInside(EngineProcess):
    journald: JournaldProcess

    @property
    def argv(self) -> list[str]:
        return [*self.journald.inside, *EngineProcess.argv.fget(self)]  # type: ignore[attr-defined]


@contextmanager
def a_journald(directory: Path) -> Iterator[JournaldProcess]:
    """Run one until the end of the context."""
    config = directory / "journald.conf"
    config.write_text(_CONFIG)
    script = ["sh", "-c", _SCRIPT, "sh", str(config), str(_PROGRAM)]
    process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", *script])
    try:
        journal = Path(f"/proc/{process.pid}/root/run/systemd/journal/io.systemd.journal")
        running = Path(f"/proc/{process.pid}/comm")
        eventually(lambda: running.read_text() == "systemd-journal\n" and journal.exists())
        yield JournaldProcess(pid=process.pid)
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(30)


@contextmanager
def an_engine_with_journald(directory: Path) -> Iterator[tuple[EngineProcess, JournaldProcess]]:
    """Give an engine that finds the journal, with a busybox image."""
    with a_journald(directory) as journald:
        places = {"root": directory / "root", "run_root": directory / "run"}
        with an_engine_at(_EngineInside(journald=journald, **places)) as engine:
            yield engine, journald
