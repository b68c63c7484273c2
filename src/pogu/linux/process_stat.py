"""Edge: what the kernel says of one process in /proc/<pid>/stat (proc(5))."""

from __future__ import annotations

from pathlib import Path

__all__ = ["stat_fields"]


def stat_fields(pid: int) -> list[str]:
    """Return the fields behind the program's name: 0 its state, 1 the parent, 19 the start in
    clock ticks since boot. Raises: OSError when there is no such process.
    """
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
