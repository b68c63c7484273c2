"""Service: container logs in conmon's k8s-file format: read, tail, follow, rotate.

    ctr.log, ctr.log.1 … ctr.log.<n-1>    newest first; together bounded

No line is lost at rotation while it is followed; partial lines are joined; bytes are kept as they
were written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LogRecord", "read_log", "rotate_if_larger"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """One line with its line end as written; the last one may lack it. 1 stdout, 2 stderr."""

    stream: int
    time_ns: int
    data: bytes


def read_log(
    log_path: Path,
    *,
    since_ns: int = 0,
    until_ns: int = 0,
    tail: int | None = None,
    follow: bool = False,
    ended: asyncio.Event | None = None,
) -> AsyncIterator[LogRecord]:
    """Yield records oldest first; with `follow` go on until `ended` is set and all is read."""
    raise NotImplementedError


def rotate_if_larger(log_path: Path, *, max_bytes: int, max_files: int) -> bool:
    """Shift ctr.log to ctr.log.1 … when it is larger; True when the caller must reopen it."""
    raise NotImplementedError
