"""Service: reads container logs in conmon's k8s-file format: whole, from a tail, followed.

    ctr.log         being written by conmon
    ctr.log.<n>     a second name of each file; n rises in the order in which they were begun
    ctr.log.tmp     the file that conmon takes next; it has its number already

No line is lost at rotation (`logrotation.py`) while it is followed; bytes are kept as they were
written.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from pogu.linux.blocking import in_thread
from pogu.runtime.logformat import LogView, Rendering, ends_line, is_line

__all__ = ["LogChain", "LogFile", "generations", "inode_of", "next_path", "numbered", "read_log"]
__all__ += ["renaming"]

_BLOCK = 1 << 20
_POLL_S = 0.05

renaming = threading.Lock()
"""Held while the engine numbers files, so that a reader never sees half of that."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file of a log; `number` 0 = it has none yet."""

    number: int
    inode: int
    path: Path


def next_path(log_path: Path) -> Path:
    """Where conmon makes a new file, and takes one that is there, before it renames that."""
    return log_path.with_name(log_path.name + ".tmp")


def inode_of(path: Path) -> int:
    """0 when there is no such file."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def numbered(log_path: Path) -> list[LogFile]:
    """All that have a number, lowest first: those that were written and one that waits."""
    found = []
    for path in log_path.parent.glob(log_path.name + ".*"):
        with contextlib.suppress(ValueError):
            found.append(LogFile(int(path.suffix[1:]), inode_of(path), path))
    return sorted((file for file in found if file.inode), key=lambda file: file.number)


def generations(log_path: Path) -> list[LogFile]:
    """The files that were written to, oldest first, each once; the last is being written."""
    waiting = -1
    while waiting != (waiting := inode_of(next_path(log_path))):
        files = {file.inode: file for file in numbered(log_path)}
        current = inode_of(log_path)  # in between conmon may have taken what waited
    files.pop(waiting, None)
    if not current:
        return list(files.values())
    last = files.pop(current, LogFile(0, current, log_path))
    return [file for file in files.values() if not 0 < last.number < file.number] + [last]


class LogChain:
    """The log as one byte stream over its files; goes on where rotation has begun a new one."""

    def __init__(self, log_path: Path) -> None:
        self._log_path = log_path
        self._fd = -1
        self._file = LogFile(0, 0, log_path)

    def start_at_tail(self, lines: int) -> int:
        """Begin near the end; return how many lines are to be skipped from there. Slow."""
        with renaming:
            files = generations(self._log_path)
            start = _start_of_tail([file.path for file in files], lines)
            if start is None:
                return 0
            index, offset, skip = start
            self._open(files[index], offset)
            return skip

    def _open(self, file: LogFile, offset: int = 0) -> None:
        """Stay where we are when it is gone, or no longer that file."""
        with contextlib.suppress(FileNotFoundError):
            fd = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
            if os.fstat(fd).st_ino != file.inode:
                os.close(fd)
                return
            os.lseek(fd, offset, os.SEEK_SET)
            self.close()
            self._fd, self._file = fd, file

    def read(self) -> bytes:
        """The next bytes; empty when there are none at present."""
        while True:
            following = self._following()
            data = os.read(self._fd, _BLOCK) if self._fd >= 0 else b""
            # Looked for the next file *before* the read: nothing more can come into this one.
            if data or following is None:
                return data
            self._open(following)

    def _following(self) -> LogFile | None:
        """The file after ours, None when ours is the one being written."""
        with renaming:
            files = generations(self._log_path)
        inodes = [file.inode for file in files]
        if self._file.inode in inodes:
            at = inodes.index(self._file.inode)
            self._file = files[at]  # it may have a number by now
            return next(iter(files[at + 1 :]), None)
        # Ours is gone, with those before it.
        later = [file for file in files if not 0 < file.number <= self._file.number]
        return next(iter(later), None)

    def close(self) -> None:
        """Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _start_of_tail(files: list[Path], lines: int) -> tuple[int, int, int] | None:
    """Where the last `lines` lines begin: (index of the file, offset, lines to skip from there).

    None = there are no more: from the beginning.
    """
    # One more: a partial may stand before the first.
    wanted = max(0, lines - _unfinished(files)) + 1
    for index in range(len(files) - 1, -1, -1):
        offset, found = _back_to(files[index], wanted)
        if found >= wanted:
            return index, offset, found - wanted + 1
        wanted -= found
    return None


def _back_to(path: Path, wanted: int) -> tuple[int, int]:
    """Go back until so many lines have ended: (offset, how many there are from there)."""
    found, rest = 0, b""
    with path.open("rb") as file:
        at = file.seek(0, os.SEEK_END)
        while at > 0 and found < wanted:
            span = min(at, _BLOCK)
            at -= span
            file.seek(at)
            first, *lines = (file.read(span) + rest).split(b"\n")
            rest = first + b"\n" if lines else first
            found += sum(map(ends_line, lines))
        if at == 0:
            return 0, found + ends_line(rest)
        return at + len(rest), found


def _unfinished(files: list[Path]) -> int:
    """How many streams end without a line end: each counts as a line."""
    for path in reversed(files):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - (1 << 16)))
            lines = [line for line in file.read().split(b"\n") if is_line(line)]
        last = {b" stdout " in line[:50]: line for line in lines}
        if last:
            return sum(not ends_line(line) for line in last.values())
    return 0


async def read_log(
    log_path: Path,
    view: LogView,
    *,
    follow: bool = False,
    ended: asyncio.Event | None = None,
) -> AsyncGenerator[bytes]:
    """Yield what `view` shows, oldest first; with `follow` go on until `ended` is set and all is
    read, or the time of the view is over.
    """
    chain, skip = LogChain(log_path), 0
    try:
        if view.tail is not None:
            skip = await in_thread(chain.start_at_tail, view.tail)
        rendering = Rendering(view, skip=skip)

        def step() -> tuple[bool, bytes]:
            block = chain.read()
            return bool(block), rendering.feed(block) if block else b""

        while not rendering.over:
            over = not follow or (ended is not None and ended.is_set()) or _is_past(view)
            more, text = await in_thread(step)
            if text:
                yield text
            elif over and not more:
                break
            elif not more:
                await asyncio.sleep(_POLL_S)
        if last := rendering.finish():
            yield last
    finally:
        chain.close()


def _is_past(view: LogView) -> bool:
    return 0 < view.until_ns < time.time_ns()
