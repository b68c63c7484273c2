"""Service: reads container logs in conmon's k8s-file format: whole, from a tail, followed.

    ctr.log                         being written by conmon
    ctr.log.0                       the same file: keeps it when conmon begins a new one
    ctr.log.1 … ctr.log.<n-1>       earlier ones, newest first

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
from pathlib import Path

from pogu.linux.blocking import in_thread
from pogu.runtime.logformat import LogView, Rendering, ends_line, is_line

__all__ = ["LogChain", "generations", "read_log", "remove_log", "renaming"]

_BLOCK = 1 << 20
_POLL_S = 0.05

renaming = threading.Lock()
"""Held while numbers change, so that a reader never sees half a rotation."""


def generations(log_path: Path) -> list[tuple[int, Path]]:
    """(inode, path) of each file of the log, oldest first, each once."""
    numbered = []
    for path in log_path.parent.glob(log_path.name + ".*"):
        with contextlib.suppress(ValueError):
            numbered.append((int(path.suffix[1:]), path))
    found: dict[int, Path] = {}
    for path in [path for _, path in sorted(numbered, reverse=True)] + [log_path]:
        with contextlib.suppress(FileNotFoundError):
            inode = path.stat().st_ino
            found.pop(inode, None)
            found[inode] = path
    return list(found.items())


class LogChain:
    """The log as one byte stream over its files; goes on where rotation has moved a file."""

    def __init__(self, log_path: Path) -> None:
        self._log_path = log_path
        self._fd = -1
        self._inode = 0

    def start_at_tail(self, lines: int) -> int:
        """Begin near the end; return how many lines are to be skipped from there. Slow."""
        path, offset, skip = _start_of_tail(self._log_path, lines)
        self._open(path, offset)
        return skip

    def _open(self, path: Path, offset: int = 0) -> bool:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        self.close()
        self._fd = fd
        self._inode = os.fstat(fd).st_ino
        if offset:
            os.lseek(fd, offset, os.SEEK_SET)
        return True

    def read(self) -> bytes:
        """The next bytes; empty when there are none at present."""
        if self._fd < 0:
            with renaming:
                files = generations(self._log_path)
                if not files or not self._open(files[0][1]):
                    return b""
        while True:
            with renaming:
                following = self._following()
            data = os.read(self._fd, _BLOCK)
            if data:
                return data
            # Looked for the next file *before* the read: nothing more can come into this one.
            if following is None:
                return b""
            self._go_on(following)

    def _go_on(self, inode: int) -> None:
        """Open the next file, whatever its name is by now."""
        with renaming:
            files = dict(generations(self._log_path))
            path = files.get(inode) or next(iter(files.values()), None)
            if path is not None:
                self._open(path)

    def _following(self) -> int | None:
        """The inode of the file after ours, None when ours is the one being written."""
        files = generations(self._log_path)
        inodes = [inode for inode, _ in files]
        if self._inode in inodes:
            return next(iter(inodes[inodes.index(self._inode) + 1 :]), None)
        # Ours is gone: the oldest one that was written to after it, else the newest.
        ours = os.fstat(self._fd).st_mtime_ns
        later = [inode for inode, path in files if path.stat().st_mtime_ns >= ours]
        return next(iter(later or inodes[-1:]), None)

    def close(self) -> None:
        """Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _start_of_tail(log_path: Path, lines: int) -> tuple[Path, int, int]:
    """Find where the last `lines` lines begin: (file, offset, lines to skip from there)."""
    with renaming:
        files = [path for _, path in generations(log_path)]
        # One more: a partial may stand before the first.
        wanted = max(0, lines - _unfinished(files)) + 1
        for path in reversed(files):
            offset, found = _back_to(path, wanted)
            if found >= wanted:
                return path, offset, found - wanted + 1
            wanted -= found
        return (files[0] if files else log_path), 0, 0


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


def remove_log(log_path: Path) -> None:
    """Remove every file of the log. Idempotent."""
    with renaming:
        for _, path in generations(log_path):
            path.unlink(missing_ok=True)
        log_path.with_name(log_path.name + ".0").unlink(missing_ok=True)
