"""Edge: reading a tar front to back: hash on the way, hand out entries, journal the rest."""

from __future__ import annotations

import hashlib
import lzma
import queue
import tarfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO, cast

from pogu.errors import InvalidParameter
from pogu.storage.journal import JournalWriter

__all__ = ["BadArchive", "HashingReader", "TarStream", "archive_errors"]

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


class HashingReader:
    """Reads exactly what is asked, hashes all of it in a thread of its own, counts."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._position = 0
        self._hash = hashlib.sha256()
        self._small: list[bytes] = []
        self._small_size = 0
        self._queue: queue.Queue[bytes | None] = queue.Queue(maxsize=16)
        self._thread = threading.Thread(target=self._hash_all, name="pogu-hash", daemon=True)
        self._thread.start()

    def _hash_all(self) -> None:
        while (block := self._queue.get()) is not None:
            self._hash.update(block)

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end."""
        data = self._source.read(size)
        if len(data) < size:
            parts = [data]
            missing = size - len(data)
            while missing and (more := self._source.read(missing)):
                parts.append(more)
                missing -= len(more)
            data = b"".join(parts)
        self._position += len(data)
        self._small.append(data)
        self._small_size += len(data)
        if self._small_size >= _CHUNK:
            self._flush()
        return data

    def _flush(self) -> None:
        self._queue.put(b"".join(self._small))
        self._small, self._small_size = [], 0

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        """End the hashing thread. Idempotent."""
        if self._thread.is_alive():
            self._flush()
            self._queue.put(None)
            self._thread.join()

    def hexdigest(self) -> str:
        """Digest of all that was read."""
        self.close()
        return self._hash.hexdigest()


class _HeaderFile:
    """What tarfile reads headers from: only exact forward reads, each journaled."""

    def __init__(self, reader: HashingReader, journal: JournalWriter | None) -> None:
        self._reader = reader
        self._journal = journal

    def read(self, size: int) -> bytes:
        if size > _HEADER_LIMIT_BYTES:
            raise BadArchive(f"invalid tar archive: a header of {size} bytes")
        data = self._reader.read(size)
        if self._journal is not None:
            self._journal.raw(data)
        return data

    def tell(self) -> int:
        return self._reader.tell()


class _Entry(tarfile.TarInfo):
    """tarfile takes a broken header behind the first for the end of the archive; we do not."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _Entry:
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

    Use inside `archive_errors`.
    """

    def __init__(self, source: BinaryIO, journal: JournalWriter | None = None) -> None:
        self._reader = HashingReader(source)
        self._file = _HeaderFile(self._reader, journal)
        self._left = 0
        self._padding = 0

    def entries(self) -> Iterator[tarfile.TarInfo]:
        """Raises: BadArchive where the format is broken."""
        tar = tarfile.TarFile(
            fileobj=cast(IO[bytes], self._file),
            mode="r",
            tarinfo=_Entry,
            encoding="utf-8",
            errors="surrogateescape",
        )
        member: tarfile.TarInfo | None = vars(tar)["firstmember"]
        vars(tar)["firstmember"] = None  # else next() gives it once more
        while member is not None:
            stored = cast(int, vars(tar)["offset"]) - self._reader.tell()
            self._left = _stored_size(member, stored)
            self._padding = stored - self._left
            yield member
            whole = self._skip_rest()
            vars(tar)["members"].clear()
            member = tar.next() if whole else None

    def read_content(self, size: int) -> bytes:
        """Read content of the current entry without journaling it. Raises: BadArchive."""
        size = min(size, self._left)
        data = self._reader.read(size)
        if len(data) < size:
            raise BadArchive("invalid tar archive: unexpected EOF", hint=_CUT_SHORT)
        self._left -= len(data)
        return data

    def _skip_rest(self) -> bool:
        """False at the end of an archive that lacks its last padding and the trailer: the docker
        CLI sends such ones when the Dockerfile lies outside of the context.
        """
        rest = self._left + self._padding
        while rest > 0:
            data = self._file.read(min(rest, _CHUNK))
            if not data and rest != self._padding:
                raise BadArchive("invalid tar archive: unexpected EOF", hint=_CUT_SHORT)
            if not data:
                break
            rest -= len(data)
        self._left = self._padding = 0
        return rest == 0

    def finish(self) -> str:
        """Read on to the end of the stream and return the hex digest of everything."""
        while self._file.read(_CHUNK):
            pass
        return self._reader.hexdigest()

    def close(self) -> None:
        """Give the thread back. Idempotent."""
        self._reader.close()


def _stored_size(member: tarfile.TarInfo, stored: int) -> int:
    """Content bytes as stored: for sparse files less than `member.size`."""
    if member.sparse is not None:
        return stored
    return min(member.size, stored) if member.isreg() else 0
