"""Service: keeps a container's log within its bounds, by size, number of files and age.

conmon begins a new ctr.log when it is asked to (`Conmon.reopen_log`), and of its own accord every
`last_resort_bytes`, for the time that no engine lives. It always replaces the name, so ctr.log.0,
another name of the same file, keeps what was written: rotation only renames that.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from pogu.runtime.logfile import renaming

__all__ = ["LogBounds", "expire_log", "hold_newest", "last_resort_bytes", "rotate_log"]

_LAST_RESORT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LogBounds:
    """Bytes of one file, number of files, and age of a line in seconds (0 = any)."""

    max_bytes: int
    max_files: int
    max_age_s: int = 0


def last_resort_bytes(bounds: LogBounds) -> int:
    """conmon counts what it wrote in all, whatever was renamed meanwhile: it must stay well behind
    the engine, which looks a few times a second.
    """
    return max(bounds.max_bytes * bounds.max_files, _LAST_RESORT_BYTES)


def rotate_log(log_path: Path, bounds: LogBounds) -> int | None:
    """Give the log a new number when it is full, or old.

    Returns the inode of a file that conmon must end: whoever calls this now and then asks once for
    each, because a second new file would replace the first; then `hold_newest`.
    """
    with renaming:
        status = _stat(log_path)
        if status is None:
            return None
        full = status.st_size > bounds.max_bytes or _is_old(log_path, bounds)
        if bounds.max_files <= 1:
            return status.st_ino if full else None
        kept = _stat(_numbered(log_path, 0))
        if kept is not None and kept.st_ino != status.st_ino:
            _shift(log_path, bounds.max_files)  # conmon began a new one by itself
        if not _hold(log_path):
            return status.st_ino
        if not full:
            return None
        _shift(log_path, bounds.max_files)
        return status.st_ino


def hold_newest(log_path: Path) -> bool:
    """Give the file that conmon began its second name; False when conmon has not begun it yet."""
    with renaming, contextlib.suppress(FileNotFoundError):
        return _hold(log_path)
    return False


def _hold(log_path: Path) -> bool:
    """ctr.log.0 is ctr.log, unless ctr.log.1 is: then it is being ended."""
    before, current = _stat(_numbered(log_path, 1)), _stat(log_path)
    if before is not None and current is not None and before.st_ino == current.st_ino:
        return False
    with contextlib.suppress(FileExistsError):
        os.link(log_path, _numbered(log_path, 0))
    return True


def expire_log(log_path: Path, bounds: LogBounds, *, written: bool) -> None:
    """Remove files whose last line is too old, but for the one that is `written`. Idempotent."""
    if not bounds.max_age_s:
        return
    with renaming:
        current = _stat(log_path)
        oldest_s = time.time() - bounds.max_age_s
        for path in (*log_path.parent.glob(log_path.name + ".[0-9]*"), log_path):
            status = _stat(path)
            if status is None or status.st_mtime >= oldest_s:
                continue
            if written and current is not None and status.st_ino == current.st_ino:
                continue
            path.unlink(missing_ok=True)


def _is_old(log_path: Path, bounds: LogBounds) -> bool:
    """True when its first line has passed the age: then it goes with its last."""
    if not bounds.max_age_s:
        return False
    with log_path.open("rb") as file:
        second = file.read(19)
    limit = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - bounds.max_age_s))
    return len(second) == 19 and second < limit.encode()


def _shift(log_path: Path, max_files: int) -> None:
    """ctr.log.0 → .1 → … → gone."""
    for number in range(max_files - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            _numbered(log_path, number - 1).rename(_numbered(log_path, number))


def _numbered(log_path: Path, number: int) -> Path:
    return log_path.with_name(f"{log_path.name}.{number}")


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
