"""Service: keeps a container's log within its bounds, by size, number of files and age.

conmon begins a new file when it is asked to (`Conmon.reopen_log`), and of its own accord every
`last_resort_bytes`, for the time that no engine lives. It opens ctr.log.tmp, new or not, and
renames that to ctr.log, so that the file before loses this name. To lose no line every file has a
second name, its number, and the next one is there and numbered before conmon needs it, whoever asks
for it and when. What conmon makes while none waits is numbered at the next look.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from pogu.runtime.logfile import LogFile, generations, inode_of, next_path, numbered, renaming

__all__ = ["LogBounds", "expire_log", "last_resort_bytes", "prepare_log", "rotate_log"]

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


def prepare_log(log_path: Path) -> None:
    """Before conmon starts: number the file that it will write, and have the next one wait."""
    with renaming:
        os.close(os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        _number(log_path)
        _have_one_wait(log_path)


def rotate_log(log_path: Path, bounds: LogBounds) -> int | None:
    """Remove files above the bound; return the inode of the one that conmon must end, if any.

    The log is full, or old: whoever calls this then asks for a new file, once for each inode.
    """
    with renaming:
        status = _stat(log_path)
        if status is None:
            return None
        _number(log_path)
        for file in generations(log_path)[: -max(1, bounds.max_files)]:
            _remove(log_path, file)
        _have_one_wait(log_path)
        full = status.st_size > bounds.max_bytes or _is_old(log_path, bounds)
        return status.st_ino if full else None


def _number(log_path: Path) -> None:
    """Give the file being written its number, below that of one that waits already."""
    files = numbered(log_path)
    if inode_of(log_path) in {file.inode for file in files}:
        return
    number = files[-1].number + 1 if files else 1
    if files and files[-1].inode == inode_of(next_path(log_path)):
        number = files[-1].number
        files[-1].path.rename(_numbered(log_path, number + 1))
    os.link(log_path, _numbered(log_path, number))


def _have_one_wait(log_path: Path) -> None:
    """Nothing is taken away from conmon: it would end itself if it could not rename its file."""
    if inode_of(next_path(log_path)):
        return
    current, number = inode_of(log_path), 0
    for file in numbered(log_path):
        if number:
            file.path.unlink()  # of an engine that was killed before it could wait
        elif file.inode == current:
            number = file.number
    if not number:
        return  # conmon has just begun it
    path = _numbered(log_path, number + 1)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        os.link(path, next_path(log_path))
    except FileExistsError:
        path.unlink()


def _remove(log_path: Path, file: LogFile) -> None:
    """Take away every name it has."""
    for path in [*(each.path for each in numbered(log_path)), log_path]:
        if inode_of(path) == file.inode:
            path.unlink()


def expire_log(log_path: Path, bounds: LogBounds, *, written: bool) -> None:
    """Remove files whose last line is too old, but for the one that is `written`. Idempotent."""
    if not bounds.max_age_s:
        return
    oldest_s = time.time() - bounds.max_age_s
    with renaming:
        current = inode_of(log_path)
        for file in generations(log_path):
            status = _stat(file.path)
            if status is None or status.st_mtime >= oldest_s:
                continue
            if not (written and file.inode == current):
                _remove(log_path, file)


def _is_old(log_path: Path, bounds: LogBounds) -> bool:
    """True when its first line has passed the age: then it goes with its last."""
    if not bounds.max_age_s:
        return False
    with log_path.open("rb") as file:
        second = file.read(19)
    limit = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - bounds.max_age_s))
    return len(second) == 19 and second < limit.encode()


def _numbered(log_path: Path, number: int) -> Path:
    return log_path.with_name(f"{log_path.name}.{number}")


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
