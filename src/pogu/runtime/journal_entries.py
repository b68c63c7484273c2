"""Format: the journal's export stream (`journalctl -o export`) → conmon's k8s-file lines.

So `logformat.py` shows the journal and the file alike. https://systemd.io/JOURNAL_EXPORT_FORMATS
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pogu.runtime.logformat import utc_stamp

__all__ = ["FIELDS", "JournalEntries", "JournalEntry", "JournalFields", "JournalTail", "file_lines"]

FIELDS = ("MESSAGE", "PRIORITY", "CONTAINER_PARTIAL_MESSAGE", "_SOURCE_REALTIME_TIMESTAMP")
"""What is read of an entry; the cursor and the time of arrival always come."""
_ERROR = b"3"
"""The priority of stderr."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFields:
    """What the entries of one run are found by; `extra` only where `Conmon.takes_fields`."""

    name: str
    tag: str
    extra: tuple[tuple[str, str], ...] = ()


class JournalEntry(NamedTuple):
    """What the container wrote: a line, or where it does not `end` a piece of one."""

    cursor: bytes
    time_us: int
    stream: int
    ends: bool
    text: bytes


class JournalEntries:
    """Blocks of the stream → entries; keeps what is not whole yet."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, block: bytes) -> Iterator[JournalEntry]:
        """Yield what has become whole; entries without a message are left out."""
        data, at = self._rest + block, 0
        while (found := _entry(data, at)) is not None:
            fields, at = found
            if b"MESSAGE" in fields:
                yield _meaning(fields)
        self._rest = data[at:]


def _entry(data: bytes, at: int) -> tuple[dict[bytes, bytes], int] | None:
    """The fields of the entry at `at` and where the next one begins; None when it is not whole."""
    fields: dict[bytes, bytes] = {}
    while (end := data.find(b"\n", at)) >= 0:
        if end == at:
            return fields, at + 1
        name, equals, value = data[at:end].partition(b"=")
        if equals:
            at = end + 1
        else:
            size = int.from_bytes(data[end + 1 : end + 9], "little")
            at = end + 10 + size
            if at > len(data):
                return None
            value = data[end + 9 : at - 1]
        fields[name] = value
    return None


def _meaning(fields: dict[bytes, bytes]) -> JournalEntry:
    text = fields[b"MESSAGE"]
    time_us = fields.get(b"_SOURCE_REALTIME_TIMESTAMP") or fields[b"__REALTIME_TIMESTAMP"]
    return JournalEntry(
        cursor=fields[b"__CURSOR"],
        time_us=int(time_us),
        stream=2 if fields.get(b"PRIORITY") == _ERROR else 1,
        ends=b"CONTAINER_PARTIAL_MESSAGE" not in fields,
        text=text.removesuffix(b"\n"),
    )


def file_lines(entries: list[JournalEntry]) -> bytes:
    """The same as conmon would have written it into a file."""
    lines = []
    for entry in entries:
        name = b"stderr" if entry.stream == 2 else b"stdout"
        head = b"%s+00:00 %s " % (utc_stamp(entry.time_us * 1000), name)
        *first, last = entry.text.split(b"\n")
        lines += [b"%sF %s\n" % (head, text) for text in first]
        lines.append(b"%s%s %s\n" % (head, b"F" if entry.ends else b"P", last))
    return b"".join(lines)


class JournalTail:
    """Finds where the last `lines` lines begin, fed with entries from the newest backwards."""

    def __init__(self, lines: int) -> None:
        self._wanted = lines + 1  # the line before them is where to begin: its start may be older
        self._found = 0
        self._seen: set[int] = set()
        self.cursor = b""
        """The line to begin at, which is to be skipped; empty: there are no more lines."""

    def feed(self, entries: Iterator[JournalEntry]) -> bool:
        """Return True when it is found."""
        for entry in entries:
            if entry.stream not in self._seen:
                self._seen.add(entry.stream)
                if not entry.ends and self._wanted > 1:
                    self._wanted -= 1  # what has no line end yet is a line, too
            self._found += entry.ends
            if self._found >= self._wanted:
                self.cursor = entry.cursor
                return True
        return False
