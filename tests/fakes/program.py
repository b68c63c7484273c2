"""Programs as small scripts: each call is recorded, the answer is fixed."""

from __future__ import annotations

import shlex
from pathlib import Path

__all__ = ["a_program", "calls_of"]


def a_program(
    path: Path, *, stdout: str = "", stderr: str = "", exit_code: int = 0, body: str = ""
) -> Path:
    """Write an executable that records its words, runs `body`, prints and ends."""
    lines = [
        "#!/bin/sh",
        f'for word in "$@"; do printf \'%s\\036\' "$word"; done >> {path}.calls',
        f"echo >> {path}.calls",
        body,
        f"printf %s {shlex.quote(stdout)}",
        f"printf %s {shlex.quote(stderr)} >&2",
        f"exit {exit_code}",
    ]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)
    return path


def calls_of(program: Path) -> list[list[str]]:
    """The words of every call so far."""
    record = Path(f"{program}.calls")
    if not record.exists():
        return []
    return [line.split("\036")[:-1] for line in record.read_text().split("\n")[:-1]]
