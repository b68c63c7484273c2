"""Edge: write an image archive: a tar whose members are known with their sizes beforehand.

The same members always give the same bytes: no times, no owners. What is written as a blob is
hashed in a thread of its own on the way: an archive with a damaged layer must not pass for a good
one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pogu.errors import DataLoss, InvalidParameter
from pogu.oci.digest import Digest

__all__ = [
    "COMPRESSIONS",
    "Blob",
    "Member",
    "Sink",
    "archive_bytes",
    "compressing",
    "write_archive",
]

COMPRESSIONS = ("none", "gzip", "zstd")
_BLOCK = 1 << 20
_RECORD = 10240
_GZIP_LEVEL = 1
_ZSTD_LEVEL = 3
_ZSTD_THREADS = 2


class Sink(Protocol):
    """Where the archive goes."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Content that is produced when its turn comes; it must have this digest."""

    digest: Digest
    write_to: Callable[[Sink], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry; a directory where the name ends in a slash."""

    name: str
    size: int = 0
    content: bytes | Blob = b""


def archive_bytes(members: Sequence[Member]) -> int:
    """How long the archive becomes."""
    total = sum(len(_header(one)) + one.size + -one.size % 512 for one in members) + 1024
    return total + -total % _RECORD


def write_archive(members: Sequence[Member], out: Sink) -> None:
    """Write the archive. Slow. Raises: DataLoss where a blob is not what its digest says."""
    blocks = _Blocks(out)
    try:
        for member in members:
            blocks.write(_header(member))
            if isinstance(member.content, bytes):
                blocks.write(member.content)
            else:
                _write_blob(member, member.content, blocks)
            blocks.write(bytes(-member.size % 512))
        blocks.write(bytes(archive_bytes(members) - blocks.written))
        blocks.flush()
    finally:
        blocks.close()


def _header(member: Member) -> bytes:
    entry = tarfile.TarInfo(member.name.rstrip("/"))
    entry.size = member.size
    entry.mode = 0o644
    if member.name.endswith("/"):
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry.tobuf(tarfile.GNU_FORMAT)


def _write_blob(member: Member, blob: Blob, blocks: _Blocks) -> None:
    before = blocks.written
    blocks.begin_hash()
    blob.write_to(blocks)
    found = blocks.end_hash()
    if found != blob.digest or blocks.written - before != member.size:
        raise DataLoss(
            f"{blob.digest} is damaged on disk: its content has the digest {found}",
            hint="pull or build the image again",
        )


class _Blocks:
    """Joins what is written to large blocks, which are hashed beside being written."""

    def __init__(self, out: Sink) -> None:
        self._out = out
        self._parts: list[bytes] = []
        self._size = 0
        self.written = 0
        self._hash = hashlib.sha256()
        self._hashing = False
        self._queue: queue.Queue[bytes | None] = queue.Queue(maxsize=8)
        self._thread = threading.Thread(target=self._hash_all, name="pogu-hash", daemon=True)
        self._thread.start()

    def _hash_all(self) -> None:
        while (block := self._queue.get()) is not None:
            self._hash.update(block)
            self._queue.task_done()
        self._queue.task_done()

    def write(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        self.written += len(data)
        if self._size >= _BLOCK:
            self.flush()

    def flush(self) -> None:
        if not self._parts:
            return
        block = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts, self._size = [], 0
        if self._hashing:
            self._queue.put(block)
        self._out.write(block)

    def begin_hash(self) -> None:
        self.flush()
        self._hash = hashlib.sha256()
        self._hashing = True

    def end_hash(self) -> Digest:
        self.flush()
        self._queue.join()
        self._hashing = False
        return Digest(f"sha256:{self._hash.hexdigest()}")

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()


@contextlib.contextmanager
def compressing(out: Sink, compression: str) -> Iterator[Sink]:
    """Give a sink whose bytes go to `out` compressed; always the same for the same bytes.

    Raises: InvalidParameter.
    """
    if compression in ("", "none"):
        yield out
    elif compression == "gzip":
        from isal import isal_zlib

        deflate = isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, 31)
        yield _Compressed(out, deflate.compress)
        out.write(deflate.flush())
    elif compression == "zstd":
        import zstandard

        squeeze = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, threads=_ZSTD_THREADS).compressobj()
        yield _Compressed(out, squeeze.compress)
        out.write(squeeze.flush())
    else:
        raise InvalidParameter(
            f"unknown compression: {compression!r}", hint=f"one of {', '.join(COMPRESSIONS)}"
        )


class _Compressed:
    def __init__(self, out: Sink, compress: Callable[[bytes], bytes]) -> None:
        self._out = out
        self._compress = compress

    def write(self, data: bytes) -> None:
        self._out.write(self._compress(data))


class FileSink:
    """Writes all to a descriptor that the caller owns."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
