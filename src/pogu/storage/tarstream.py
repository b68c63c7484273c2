"""Edge: reading a tar front to back: hand out entries and their content, journal the rest."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO, cast

from pogu.errors import InvalidParameter
from pogu.storage.journal import JournalWriter
from pogu.storage.readahead import ReadAhead
from pogu.storage.tarheader import BLOCK_BYTES, Entry, entry_of, plain_entry

__all__ = ["BadArchive", "TarStream", "archive_errors"]

_CHUNK = 1 << 20
_HEADER_LIMIT_BYTES = 16 << 20
_CUT_SHORT = "the archive is cut short: is the file complete?"


class BadArchive(InvalidParameter):
    """The archive is broken, cut short or tries to step outside."""


@contextmanager
def archive_errors() -> Iterator[None]:
    """Turn what tarfile, the decompressors and absurd values in headers raise into BadArchive.

    OSError of the system itself (it has an errno) passes.
    """
    try:
        yield
    except (EOFError, tarfile.TarError, ValueError, OverflowError) as err:
        raise BadArchive(
            f"invalid tar archive: {err}", hint="is it a tar file, and complete?"
        ) from err
    except RecursionError as err:
        raise BadArchive("invalid tar archive: its directories nest too deep") from err
    except (lzma.LZMAError, zlib.error) as err:
        raise BadArchive(f"invalid compressed archive: {err}", hint=_CUT_SHORT) from err
    except OSError as err:
        if err.errno is not None:
            raise
        raise BadArchive(f"invalid compressed archive: {err}", hint=_CUT_SHORT) from err
    except Exception as err:
        if type(err).__module__.partition(".")[0] not in ("zstd", "zstandard", "isal"):
            raise
        raise BadArchive(f"invalid compressed archive: {err}", hint=_CUT_SHORT) from err


class _Cursor:
    """Where the parser stands. What is passed and is no content goes into the journal."""

    def __init__(self, source: BinaryIO, journal: JournalWriter | None, *, hashed: bool) -> None:
        self.blocks = ReadAhead(source, hashed=hashed)
        self._journal = journal
        self._block = b""
        self._view = memoryview(self._block)
        self._at = 0
        self._journaled = 0
        """Up to here the block is in the journal, or content."""
        self._passed = 0
        """Bytes of earlier blocks."""

    def tell(self) -> int:
        return self._passed + self._at

    def _next_block(self) -> bool:
        self._journal_passed()
        self._passed += len(self._block)
        self._block = self.blocks.next()
        self._view = memoryview(self._block)
        self._at = self._journaled = 0
        return bool(self._block)

    def _journal_passed(self) -> None:
        if self._journal is not None and self._journaled < self._at:
            self._journal.raw(self._view[self._journaled : self._at])
        self._journaled = self._at

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end."""
        start, self._at = self._at, self._at + size
        if self._at <= len(self._block):
            return self._block[start : self._at]
        parts = [self._block[start:]]
        missing = self._at - len(self._block)
        self._at = len(self._block)
        while missing and self._next_block():
            self._at = min(missing, len(self._block))
            parts.append(self._block[: self._at])
            missing -= self._at
        return b"".join(parts)

    def skip(self, size: int) -> int:
        """As `read`, returning how many bytes there were."""
        left = size
        while left:
            step = min(left, len(self._block) - self._at)
            self._at += step
            left -= step
            if left and not self._next_block():
                break
        return size - left

    def content(self, limit: int) -> memoryview:
        """Return up to `limit` bytes that the journal does not get; none only at the end."""
        if self._at == len(self._block) and not self._next_block():
            return memoryview(b"")
        self._journal_passed()
        start, self._at = self._at, min(self._at + limit, len(self._block))
        self._journaled = self._at
        return self._view[start : self._at]


class _HeaderFile:
    """What tarfile reads headers from: forward only, one block may be given back."""

    def __init__(self, cursor: _Cursor) -> None:
        self._cursor = cursor
        self._given_back = b""

    def give_back(self, block: bytes) -> None:
        self._given_back = block

    def read(self, size: int) -> bytes:
        if size > _HEADER_LIMIT_BYTES:
            raise BadArchive(f"invalid tar archive: a header of {size} bytes")
        head, self._given_back = self._given_back[:size], self._given_back[size:]
        return head + self._cursor.read(size - len(head)) if len(head) < size else head

    def tell(self) -> int:
        return self._cursor.tell() - len(self._given_back)


class _TarInfo(tarfile.TarInfo):
    """tarfile takes a broken header behind the first for the end of the archive; we do not."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _TarInfo:
        try:
            return super().fromtarfile(tar)
        except tarfile.HeaderError as err:
            kind = type(err).__name__
            if kind == "TruncatedHeaderError":
                raise BadArchive(
                    "invalid tar archive: unexpected EOF in a header", hint=_CUT_SHORT
                ) from err
            if kind == "InvalidHeaderError":
                raise BadArchive(
                    f"invalid tar archive: {err}", hint="is it a tar file, and undamaged?"
                ) from err
            raise


class TarStream:
    """Iterate over the entries; the content of each is read before the next is asked for.

    Without `hashed`, what `finish` returns means nothing. Use inside `archive_errors`.
    """

    def __init__(
        self, source: BinaryIO, journal: JournalWriter | None = None, *, hashed: bool = True
    ) -> None:
        self._cursor = _Cursor(source, journal, hashed=hashed)
        self._file = _HeaderFile(self._cursor)
        self._tar: tarfile.TarFile | None = None
        self._left = 0
        self._padding = 0

    def entries(self) -> Iterator[Entry]:
        """Raises: BadArchive where the format is broken."""
        whole = True
        while whole and (entry := self._next()) is not None:
            yield entry
            whole = self._skip_rest()

    def _next(self) -> Entry | None:
        block = self._cursor.read(BLOCK_BYTES)
        if len(block) == BLOCK_BYTES and not (self._tar and self._tar.pax_headers):
            entry = plain_entry(block)
            if entry is not None:
                self._left = entry.size if entry.kind == tarfile.REGTYPE else 0
                self._padding = -self._left % BLOCK_BYTES
                return entry
        self._file.give_back(block)
        return self._by_tarfile()

    def _by_tarfile(self) -> Entry | None:
        """Let tarfile read the header, and those that belong to it."""
        if self._tar is None:
            self._tar = tarfile.TarFile(
                fileobj=cast(IO[bytes], self._file),
                mode="r",
                tarinfo=_TarInfo,
                encoding="utf-8",
                errors="surrogateescape",
            )
            member: tarfile.TarInfo | None = vars(self._tar)["firstmember"]
            vars(self._tar)["firstmember"] = None  # else next() gives it once more
        else:
            vars(self._tar)["offset"] = self._file.tell()
            member = self._tar.next()
        vars(self._tar)["members"].clear()
        if member is None:
            return None
        stored = cast(int, vars(self._tar)["offset"]) - self._file.tell()
        self._left = _stored_size(member, stored)
        self._padding = stored - self._left
        return entry_of(member)

    def read_content(self, size: int) -> memoryview:
        """Return the next bytes of the current entry's content, up to `size`; they are not
        journaled. Raises: BadArchive.
        """
        data = self._cursor.content(min(size, self._left)) if self._left else memoryview(b"")
        if not data and self._left:
            raise BadArchive("invalid tar archive: unexpected EOF", hint=_CUT_SHORT)
        self._left -= len(data)
        return data

    def _skip_rest(self) -> bool:
        """False at the end of an archive that lacks its last padding and the trailer: the docker
        CLI sends such ones when the Dockerfile lies outside of the context.
        """
        rest = self._left + self._padding
        skipped = self._cursor.skip(rest) if rest else 0
        if skipped < rest and (skipped or rest != self._padding):
            raise BadArchive("invalid tar archive: unexpected EOF", hint=_CUT_SHORT)
        self._left = self._padding = 0
        return skipped == rest

    def finish(self) -> str:
        """Read on to the end of the stream and return the hex digest of everything."""
        while self._cursor.skip(_CHUNK):
            pass
        return self._cursor.blocks.hexdigest()

    def tell(self) -> int:
        """How many bytes of the uncompressed stream were read."""
        return self._cursor.tell()

    def close(self) -> None:
        """Give the thread back. Idempotent."""
        self._cursor.blocks.close()


def _stored_size(member: tarfile.TarInfo, stored: int) -> int:
    """Content bytes as stored: for sparse files less than `member.size`."""
    if member.sparse is not None:
        return stored
    return min(member.size, stored) if member.isreg() else 0
