"""Format: conmon's k8s-file lines (`time stream P|F text`) → what a reader of logs is sent.

Works on blocks of a megabyte. A block of one stream that is wanted as it was written is stripped of
its line heads in one go; anything else goes line by line, about three times slower.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

__all__ = ["LogLine", "LogLines", "LogView", "Rendering", "ends_line", "is_line", "utc_stamp"]

_LONGEST_LINE = 1 << 20
"""What is longer comes in pieces: a program may never end its line, memory does."""
_STAMP = 29
"""len("2026-01-02T03:04:05.123456789"), UTC."""
_HEAD = 45
"""len of a line's head with zone, stream and tag."""
_HEADS = {
    f"+00:00 {name} {tag} ".encode(): (stream, tag == "F")
    for stream, name in ((1, "stdout"), (2, "stderr"))
    for tag in "PF"
}
_LINE = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) (stdout|stderr) ([PF]) ",
)


class LogLine(NamedTuple):
    """One line with its line end as written; the last one may lack it. 1 stdout, 2 stderr.

    A line above `_LONGEST_LINE` comes as several, of which only the first `begins` and only the
    last has a line end. `stamp` is UTC without a zone, so that stamps compare as bytes. A tuple,
    because there are millions: making a frozen dataclass takes three times as long.
    """

    stream: int
    stamp: bytes
    data: bytes
    begins: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LogView:
    """What of a log is wanted, and in which shape.

    `framed` for Docker's frames, one a line unless `joined`; `details` stands before each line;
    `at_once`: a line that has not ended yet (a prompt) is shown, where nothing stands before lines.
    """

    streams: frozenset[int] = frozenset((1, 2))
    since_ns: int = 0
    until_ns: int = 0
    tail: int | None = None
    timestamps: bool = False
    details: bytes = b""
    framed: bool = False
    joined: bool = False
    at_once: bool = False

    @property
    def as_written(self) -> bool:
        """True when every byte is wanted, and nothing between."""
        plain = not (self.timestamps or self.details or self.since_ns or self.until_ns)
        return plain and len(self.streams) == 2 and (self.joined or not self.framed)


def utc_stamp(time_ns: int) -> bytes:
    """The stamp of a time; stamps compare as times do."""
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return b"9999"
    return moment.strftime("%Y-%m-%dT%H:%M:%S").encode() + b".%09d" % fraction


def is_line(line: bytes) -> bool:
    """False for what a power cut tore."""
    return line[_STAMP:_HEAD] in _HEADS or _LINE.match(line) is not None


def ends_line(line: bytes) -> bool:
    """True for a line of the file that ends one of the program."""
    head = _HEADS.get(line[_STAMP:_HEAD])
    if head is not None:
        return head[1]
    match = _LINE.match(line)
    return match is not None and match[5] == b"F"


def _parsed(line: bytes) -> tuple[bytes, int, bool, bytes] | None:
    """(stamp, stream, ends, text); None for what a power cut tore."""
    head = _HEADS.get(line[_STAMP:_HEAD])
    if head is not None:
        return line[:_STAMP], head[0], head[1], line[_HEAD:]
    match = _LINE.match(line)
    if match is None:
        return None
    stamp = match[1] + b"." + (match[2] or b"").ljust(9, b"0")
    if match[3] not in (b"Z", b"+00:00"):
        stamp = _in_utc(match[1], match[3].decode()) + stamp[19:]
    return stamp, 1 if match[4] == b"stdout" else 2, match[5] == b"F", line[match.end() :]


def _in_utc(second: bytes, zone: str) -> bytes:
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
    try:
        local = datetime.strptime(second.decode(), "%Y-%m-%dT%H:%M:%S")
        utc = local + offset if zone[0] == "-" else local - offset
    except (ValueError, OverflowError):
        return second
    return utc.strftime("%Y-%m-%dT%H:%M:%S").encode()


class LogLines:
    """Lines of the file → lines of the program; keeps what has not ended yet."""

    def __init__(self) -> None:
        self._held: dict[int, list[bytes]] = {1: [], 2: []}
        self._held_bytes = {1: 0, 2: 0}
        self._stamps = {1: b"", 2: b""}
        self._begins = {1: True, 2: True}

    def feed(self, lines: list[bytes]) -> Iterator[LogLine]:
        """Yield what has become complete."""
        for line in lines:
            parsed = _parsed(line)
            if parsed is None:
                continue
            stamp, stream, ends, text = parsed
            held = self._held[stream]
            if ends and not held and self._begins[stream]:
                yield LogLine(stream, stamp, text + b"\n")
                continue
            if not held and self._begins[stream]:
                self._stamps[stream] = stamp
            held.append(text)
            self._held_bytes[stream] += len(text)
            if ends:
                held.append(b"\n")
            if ends or self._held_bytes[stream] >= _LONGEST_LINE:
                yield self._take(stream)
                self._begins[stream] = ends

    def finish(self) -> Iterator[LogLine]:
        """Yield what ended without a line end."""
        for stream, held in self._held.items():
            if held:
                yield self._take(stream)

    def _take(self, stream: int) -> LogLine:
        """What there is of a line that has not ended."""
        data = b"".join(self._held[stream])
        self._held[stream].clear()
        self._held_bytes[stream] = 0
        return LogLine(stream, self._stamps[stream], data, self._begins[stream])

    def run(self, lines: list[bytes]) -> tuple[int, bytes] | None:
        """All the text of lines of one stream at once; None when they are not that simple."""
        heads = {line[_STAMP:_HEAD] for line in lines}
        kinds = {_HEADS.get(head) for head in heads}
        if None in kinds or len({kind[0] for kind in kinds if kind}) != 1:
            return None
        stream, ends = _HEADS[lines[-1][_STAMP:_HEAD]]
        if len(heads) == 1:
            end = b"\n" if ends else b""
            text = end.join([line[_HEAD:] for line in lines]) + end
        else:
            F = 70
            text = b"".join(
                [line[_HEAD:] + b"\n" if line[43] == F else line[_HEAD:] for line in lines]
            )
        before = b"".join(self._held[stream])
        self._held[stream].clear()
        self._held_bytes[stream] = 0
        self._begins[stream] = ends
        return stream, before + text


class Rendering:
    """Blocks of the file → the bytes for one reader. `skip`: so many lines are left out first."""

    def __init__(self, view: LogView, *, skip: int = 0) -> None:
        self._view = view
        self._skip = skip
        self._rest = b""
        self._lines = LogLines()
        self._since = utc_stamp(view.since_ns) if view.since_ns else b""
        self._until = utc_stamp(view.until_ns) if view.until_ns else b"\xff"
        self.over = False
        """Set when a line came after `until_ns`: nothing more will be shown."""

    def feed(self, block: bytes) -> bytes:
        """Return what is to be sent now."""
        lines = (self._rest + block).split(b"\n")
        self._rest = lines.pop()
        if lines and self._view.as_written and not self._skip:
            run = self._lines.run(lines)
            if run is not None:
                return _frame(*run) if self._view.framed else run[1]
        shown = self._render(self._lines.feed(lines))
        return shown + self._render(self._lines.finish()) if self._view.at_once else shown

    def finish(self) -> bytes:
        """Return what ended without a line end."""
        return b"" if self._view.tail == 0 else self._render(self._lines.finish())

    def _render(self, lines: Iterator[LogLine]) -> bytes:
        shown = self._shown(lines)
        if not self._view.framed:
            return b"".join([self._text(line) for line in shown])
        if not self._view.joined:
            return b"".join([_frame(line.stream, self._text(line)) for line in shown])
        runs = groupby(shown, key=lambda line: line.stream)
        return b"".join([_frame(of, b"".join(map(self._text, run))) for of, run in runs])

    def _shown(self, lines: Iterator[LogLine]) -> Iterator[LogLine]:
        for line in lines:
            if self._skip:
                self._skip -= line.data.endswith(b"\n")
            elif self.over or line.stamp > self._until:
                self.over = True
                return
            elif line.stamp >= self._since and line.stream in self._view.streams:
                yield line

    def _text(self, line: LogLine) -> bytes:
        if not line.begins:
            return line.data
        text = self._view.details + line.data
        return line.stamp + b"Z " + text if self._view.timestamps else text


def _frame(stream: int, data: bytes) -> bytes:
    """Docker's frame."""
    return struct.pack(">BxxxL", stream, len(data)) + data
