"""Edge: the contents of files that are unpacked from a tar, and where the journal finds them."""

from __future__ import annotations

import os
from typing import NamedTuple

from pogu.storage.journal import JournalWriter
from pogu.storage.rooted import Place
from pogu.storage.tarheader import Entry
from pogu.storage.tarstream import BadArchive, TarStream

__all__ = ["Contents"]

_HOLE_BYTES = 1 << 16
_ZEROS = bytes(_HOLE_BYTES)


class _Journaled(NamedTuple):
    """One content in the journal: its number there, its place in its file."""

    number: int
    offset: int
    size: int


class Contents:
    """Writes contents from the stream; with a journal, each is entered there by its file."""

    def __init__(self, stream: TarStream, journal: JournalWriter | None) -> None:
        self._stream = stream
        self._journal = journal
        self._journaled: dict[str, list[_Journaled]] = {}
        """Real path of a file → its contents in the journal."""

    def write(self, fd: int, entry: Entry, place: Place) -> None:
        """Fill a new file. Raises: BadArchive."""
        if entry.sparse is None:
            self._segment(fd, place, 0, entry.size)
            return
        os.ftruncate(fd, entry.size)
        for offset, size in entry.sparse:
            if size:
                os.lseek(fd, offset, os.SEEK_SET)
                self._segment(fd, place, offset, size)

    def _segment(self, fd: int, place: Place, offset: int, size: int) -> None:
        left = size
        while left:
            data = self._stream.read_content(left)
            if not data:
                raise BadArchive("invalid tar archive: a sparse file lacks content")
            left -= len(data)
            if data[0] or len(data) < _HOLE_BYTES:  # most files: no second look
                _write_all(fd, data)
            else:
                _write_with_holes(fd, data)
        if self._journal is not None:
            path = place.real_path
            number = self._journal.content(path, offset, size)
            self._journaled.setdefault(path, []).append(_Journaled(number, offset, size))

    def keep(self, place: Place, _info: os.stat_result) -> None:
        """A file goes away again: what the journal wants from it moves into the journal."""
        contents = self._journaled.pop(place.real_path, ())
        if not contents or self._journal is None:
            return
        fd = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=place.parent)
        try:
            for content in contents:
                self._journal.replace(content.number, os.pread(fd, content.size, content.offset))
        finally:
            os.close(fd)


def _write_all(fd: int, data: memoryview) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, data[written:])


def _write_with_holes(fd: int, data: memoryview) -> None:
    """Write `data` where the file stands; a block of zeros takes no space on disk."""
    for at in range(0, len(data), _HOLE_BYTES):
        block = data[at : at + _HOLE_BYTES]
        if block[0] or len(block) < _HOLE_BYTES or bytes(block) != _ZEROS:
            _write_all(fd, block)
        else:
            end = os.lseek(fd, _HOLE_BYTES, os.SEEK_CUR)
            if os.fstat(fd).st_size < end:
                os.ftruncate(fd, end)
