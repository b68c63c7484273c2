"""The processes of this host by their command lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["command_lines"]


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """Yield pid and words of each process that has any; the last word is empty, as in /proc."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue  # it has ended
        if line:
            yield int(path.parent.name), line.decode(errors="replace").split("\0")
