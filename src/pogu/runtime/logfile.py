"""Service: container logs in conmon's k8s-file format: read, tail, follow, rotate.

    ctr.log, ctr.log.1 … ctr.log.<n-1>    newest first; together bounded

No line is lost at rotation while it is followed; partial lines are joined; bytes are kept as they
were written.
"""

from __future__ import annotations

import asyncio
import calendar
import contextlib
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LogRecord", "read_log", "remove_log", "rotate_if_larger"]

_BLOCK = 1 << 20
_POLL_S = 0.05
_LONGEST_LINE = 1 << 20
"""What is longer comes in pieces: a program may never end its line, memory does."""
_FULL_LINE = re.compile(rb"^\S+ std(?:out|err) F ", re.MULTILINE)
_TAG = re.compile(rb"^\S+ (std(?:out|err)) ([PF]) ", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """One line with its line end as written; the last one may lack it. 1 stdout, 2 stderr.

    A line above `_LONGEST_LINE` comes as several records, of which only the last has a line end.
    """

    stream: int
    time_ns: int
    data: bytes


class _Parser:
    """Lines of the file → records; keeps what is not complete yet."""

    def __init__(self) -> None:
        self._rest = b""
        self._partial: dict[int, list[bytes]] = {1: [], 2: []}
        self._partial_bytes = {1: 0, 2: 0}
        self._times: dict[int, int] = {1: 0, 2: 0}
        self._second_text = b""
        self._second_ns = 0

    def feed(self, block: bytes) -> Iterator[LogRecord]:
        """Yield what has become complete."""
        lines = (self._rest + block).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            stamp, _, after = line.partition(b" ")
            if after[:3] != b"std" or after[6:7] != b" ":
                continue  # torn by a power cut
            stream = 1 if after[3:6] == b"out" else 2
            data = after[9:]
            partial = self._partial[stream]
            if not partial:
                self._times[stream] = self._time_ns(stamp)
            if after[7:8] == b"P":
                partial.append(data)
                self._partial_bytes[stream] += len(data)
                if self._partial_bytes[stream] >= _LONGEST_LINE:
                    yield self._taken(stream)
                continue
            if partial:
                data = self._taken(stream).data + data
            yield LogRecord(stream=stream, time_ns=self._times[stream], data=data + b"\n")

    def finish(self) -> Iterator[LogRecord]:
        """Yield what ended without a line end."""
        for stream, partial in self._partial.items():
            if partial:
                yield self._taken(stream)

    def _taken(self, stream: int) -> LogRecord:
        """What there is of a line that has not ended."""
        data = b"".join(self._partial[stream])
        self._partial[stream].clear()
        self._partial_bytes[stream] = 0
        return LogRecord(stream=stream, time_ns=self._times[stream], data=data)

    def _time_ns(self, stamp: bytes) -> int:
        """Parse `2026-01-02T03:04:05.123456789+00:00`; the second is remembered."""
        second, fraction, zone = stamp[:19], stamp[20:29], stamp[29:]
        key = second + zone
        if key != self._second_text:
            try:
                parsed = time.strptime(second.decode(), "%Y-%m-%dT%H:%M:%S")
                offset = _offset_s(zone.decode())
            except ValueError:
                return 0
            self._second_text = key
            self._second_ns = (calendar.timegm(parsed) - offset) * 1_000_000_000
        return self._second_ns + (int(fraction) if fraction.isdigit() else 0)


def _offset_s(zone: str) -> int:
    if zone in ("", "Z"):
        return 0
    hours, _, minutes = zone[1:].partition(":")
    seconds = int(hours) * 3600 + int(minutes or 0) * 60
    return -seconds if zone[0] == "-" else seconds


def _files(log_path: Path) -> list[Path]:
    """Oldest first; the last is the one being written."""
    numbered = []
    for path in log_path.parent.glob(log_path.name + ".*"):
        with contextlib.suppress(ValueError):
            numbered.append((int(path.suffix[1:]), path))
    return [path for _, path in sorted(numbered, reverse=True)] + [log_path]


class _Chain:
    """The log as one byte stream over its files; goes on where rotation has moved a file."""

    def __init__(self, log_path: Path) -> None:
        self._log_path = log_path
        self._fd = -1
        self._inode = 0

    def open(self, path: Path, offset: int = 0) -> bool:
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
        if self._fd < 0 and not self.open(_files(self._log_path)[0]):
            return b""
        while True:
            following = self._following()
            data = os.read(self._fd, _BLOCK)
            if data:
                return data
            # Looked for the next file *before* the read: nothing more can come into this one.
            if following is None or not self.open(following):
                return b""

    def _following(self) -> Path | None:
        """The file after ours, None when ours is the one being written."""
        files = _files(self._log_path)
        inodes = []
        for path in files:
            try:
                inodes.append(os.stat(path).st_ino)
            except FileNotFoundError:
                inodes.append(0)
        if self._inode not in inodes:
            return self._newer(files)
        at = inodes.index(self._inode) + 1
        return files[at] if at < len(files) and inodes[at] else None

    def _newer(self, files: list[Path]) -> Path | None:
        """Our file is gone: the oldest one that was written to after it, else the newest."""
        ours = os.fstat(self._fd).st_mtime_ns
        present = [path for path in files if path.exists()]
        later = [path for path in present if path.stat().st_mtime_ns >= ours]
        return next(iter(later or present[-1:]), None)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _start_of_tail(log_path: Path, lines: int) -> tuple[Path, int, int]:
    """Find where the last `lines` lines begin: (file, offset, lines to skip from there)."""
    files = [path for path in _files(log_path) if path.exists()]
    # One more: a partial may stand before the first.
    wanted = max(0, lines - _unfinished(files)) + 1
    for path in reversed(files):
        size = path.stat().st_size
        span = 1 << 16
        with path.open("rb") as file:
            while True:
                offset = max(0, size - span)
                file.seek(offset)
                text = file.read(size - offset)
                if offset:
                    cut = text.find(b"\n") + 1
                    offset, text = offset + cut, text[cut:]
                count = len(_FULL_LINE.findall(text))
                if count >= wanted:
                    return path, offset, count - wanted + 1
                if span >= size:
                    break
                span *= 4
        wanted -= count
    return (files[0] if files else log_path), 0, 0


def _unfinished(files: list[Path]) -> int:
    """How many streams end without a line end: each counts as a line."""
    for path in reversed(files):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - (1 << 16)))
            tags = dict(_TAG.findall(file.read()))
        if tags:
            return sum(tag == b"P" for tag in tags.values())
    return 0


async def read_log(
    log_path: Path,
    *,
    since_ns: int = 0,
    until_ns: int = 0,
    tail: int | None = None,
    follow: bool = False,
    ended: asyncio.Event | None = None,
) -> AsyncIterator[LogRecord]:
    """Yield records oldest first; with `follow` go on until `ended` is set and all is read."""
    chain, parser, skip = _Chain(log_path), _Parser(), 0
    try:
        if tail is not None:
            path, offset, skip = _start_of_tail(log_path, tail)
            chain.open(path, offset)
        while True:
            over = not follow or (ended is not None and ended.is_set())
            block = chain.read()
            if not block:
                if over:
                    break
                await asyncio.sleep(_POLL_S)
                continue
            for record in parser.feed(block):
                if skip > 0:
                    skip -= record.data.endswith(b"\n")
                    continue
                if record.time_ns < since_ns:
                    continue
                if until_ns and record.time_ns > until_ns:
                    return
                yield record
            await asyncio.sleep(0)
        for record in parser.finish():
            in_time = since_ns <= record.time_ns and not 0 < until_ns < record.time_ns
            if tail != 0 and in_time:
                yield record
    finally:
        chain.close()


def rotate_if_larger(log_path: Path, *, max_bytes: int, max_files: int) -> bool:
    """Shift ctr.log to ctr.log.1 … when it is larger; True when the caller must reopen it."""
    try:
        if log_path.stat().st_size <= max_bytes:
            return False
    except FileNotFoundError:
        return False
    for number in range(max_files - 1, 0, -1):
        source = log_path.with_name(f"{log_path.name}.{number - 1}") if number > 1 else log_path
        with contextlib.suppress(FileNotFoundError):
            source.rename(log_path.with_name(f"{log_path.name}.{number}"))
    if max_files <= 1:
        log_path.unlink(missing_ok=True)
    return True


def remove_log(log_path: Path) -> None:
    """Remove every file of the log. Idempotent."""
    for path in _files(log_path):
        path.unlink(missing_ok=True)
