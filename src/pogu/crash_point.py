"""Edge: dies where a test wants it: at the n-th of the steps that make something that lasts.

`POGU_CRASH_FILE` names a file; while it holds a number n, the n-th `crash_point` from then on
removes it and kills the process as `kill -9` does. Without the variable a point costs nothing.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

__all__ = ["crash_point"]

_FILE = os.environ.get("POGU_CRASH_FILE", "")
_LOCK = threading.Lock()
_DIGITS = 20


def crash_point() -> None:
    """Called before and after each step after which the disk, the database or the host differs."""
    if _FILE:
        with _LOCK:
            _count_down(Path(_FILE))


def _count_down(file: Path) -> None:
    try:
        left = int(file.read_text()) - 1
    except (FileNotFoundError, ValueError):
        return
    if left > 0:
        with file.open("r+") as counted:  # whoever reads it meanwhile never finds it empty
            counted.write(f"{left:<{_DIGITS}}")
        return
    file.unlink()
    os.kill(os.getpid(), signal.SIGKILL)
