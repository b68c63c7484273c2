"""Edge: reading a tar front to back: hash on the way, hand out entries, keep what re-creates it.

The journal is everything in the tar that is not a file's content, with references to the contents
in between. With it and the unpacked layer the same bytes can be written again, whoever wrote the
tar: layers keep their diff ID.
"""

from __future__ import annotations

import hashlib
import lzma
import queue
import tarfile
import threading
import zlib
from collections.abc import Iterator
from typing import IO, BinaryIO, cast

from pogu.errors import InvalidParameter

__all__ = ["BadArchive", "HashingReader", "JournalEntry", "TarStream"]

JournalEntry = bytes | tuple[str, int]
"""Raw bytes of the tar, or (path in the layer, size) of a content that follows."""

_CHUNK = 1 << 20


class BadArchive(InvalidParameter):
    """The archive is broken, cut short or tries to step outside."""


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


class _RecordingFile:
    """What tarfile reads headers from: only exact forward reads, each kept for the journal."""

    def __init__(self, reader: HashingReader) -> None:
        self._reader = reader
        self.recorded = bytearray()

    def read(self, size: int) -> bytes:
        data = self._reader.read(size)
        self.recorded += data
        return data

    def tell(self) -> int:
        return self._reader.tell()


class TarStream:
    """Iterate over the entries; the content of each is read before the next is asked for."""

    def __init__(self, source: BinaryIO) -> None:
        self._reader = HashingReader(source)
        self._file = _RecordingFile(self._reader)
        self._left = 0
        self._padding = 0
        self.journal: list[JournalEntry] = []

    def entries(self) -> Iterator[tarfile.TarInfo]:
        """Raises: BadArchive where the format is broken."""
        try:
            tar = tarfile.TarFile(
                fileobj=cast(IO[bytes], self._file), mode="r", errors="surrogateescape"
            )
            member: tarfile.TarInfo | None = vars(tar)["firstmember"]
            while member is not None:
                stored = cast(int, vars(tar)["offset"]) - self._reader.tell()
                self._left = _stored_size(member, stored)
                self._padding = stored - self._left
                yield member
                self._skip_rest()
                vars(tar)["members"].clear()
                member = tar.next()
        except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, ValueError) as err:
            raise BadArchive(
                f"invalid tar archive: {err}", hint="is it a tar file, and complete?"
            ) from err
        except OSError as err:
            if err.errno is not None:
                raise
            raise BadArchive(f"invalid compressed archive: {err}") from err
        except Exception as err:
            if type(err).__module__.startswith(("zstd", "zstandard", "isal")):
                raise BadArchive(f"invalid compressed archive: {err}") from err
            raise

    def read_content(self, size: int) -> bytes:
        """Read content of the current entry without journaling it. Raises: BadArchive."""
        data = self._reader.read(min(size, self._left))
        if len(data) < min(size, self._left):
            raise BadArchive("invalid tar archive: unexpected EOF", hint="the archive is cut short")
        self._left -= len(data)
        return data

    def read_raw(self) -> bytes:
        """Read the whole stored content of the current entry into the journal (sparse files)."""
        data = self._file.read(self._left)
        if len(data) < self._left:
            raise BadArchive("invalid tar archive: unexpected EOF", hint="the archive is cut short")
        self._left = 0
        return data

    def reference(self, path: str, size: int) -> int:
        """Journal that the content of `path` stands here; return the entry's place."""
        self._cut()
        self.journal.append((path, size))
        return len(self.journal) - 1

    def _cut(self) -> None:
        if self._file.recorded:
            self.journal.append(bytes(self._file.recorded))
            self._file.recorded.clear()

    def _skip_rest(self) -> None:
        rest = self._left + self._padding
        while rest:
            data = self._file.read(min(rest, _CHUNK))
            if not data:
                raise BadArchive("invalid tar archive: unexpected EOF", hint="it is cut short")
            rest -= len(data)
        self._left = self._padding = 0

    def finish(self) -> str:
        """Read on to the end of the stream and return the hex digest of everything."""
        while self._file.read(_CHUNK):
            pass
        self._cut()
        return self._reader.hexdigest()

    def close(self) -> None:
        """Give the thread back. Idempotent."""
        self._reader.close()


def _stored_size(member: tarfile.TarInfo, stored: int) -> int:
    """Content bytes as stored: for sparse files less than `member.size`."""
    if member.sparse is not None:
        return stored
    return min(member.size, stored) if member.isreg() else 0
