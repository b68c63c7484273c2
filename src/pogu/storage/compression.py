"""Format: which compression a stream has, told by its first bytes, and its undoing."""

from __future__ import annotations

import bz2
import io
import lzma
from typing import IO, BinaryIO, cast

from pogu.errors import InvalidParameter

__all__ = ["decompressed", "is_archive", "is_compressed"]

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_XZ = b"\xfd7zXZ\x00"
_BZIP2 = b"BZh"


class _Peeked(io.RawIOBase):
    """A stream whose first bytes were already read."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer))
        data = self._head[: len(view)] if self._head else self._rest.read(len(view))
        if self._head:
            self._head = self._head[len(view) :]
        view[: len(data)] = data
        return len(data)


def decompressed(stream: BinaryIO) -> BinaryIO:
    """Return the uncompressed stream: gzip, zstd, xz, bzip2 or none."""
    head = _read_head(stream)
    source = cast(BinaryIO, io.BufferedReader(_Peeked(head, stream), 1 << 20))
    if head.startswith(_GZIP):
        from isal import igzip

        return cast(BinaryIO, igzip.GzipFile(fileobj=source, mode="rb"))  # type: ignore[no-untyped-call]
    if head.startswith(_ZSTD):
        import zstandard

        return cast(
            BinaryIO, zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
        )
    if head.startswith(_XZ):
        return cast(BinaryIO, lzma.LZMAFile(cast(IO[bytes], source)))
    if head.startswith(_BZIP2):
        return cast(BinaryIO, bz2.BZ2File(cast(IO[bytes], source)))
    return source


def _read_head(stream: BinaryIO) -> bytes:
    head = b""
    while len(head) < 6:
        more = stream.read(6 - len(head))
        if not more:
            break
        head += more
    return head


def is_compressed(head: bytes) -> bool:
    """True when a stream that starts with these bytes is gzip, zstd, xz or bzip2."""
    return head.startswith((_GZIP, _ZSTD, _XZ, _BZIP2))


def is_archive(stream: BinaryIO) -> bool:
    """True when the stream is a tar, compressed or not: what ADD unpacks. Reads its start."""
    try:
        block = decompressed(stream).read(512)
    except (OSError, EOFError, lzma.LZMAError, InvalidParameter):
        return False
    return len(block) == 512 and (block[257:262] == b"ustar" or _checksum_fits(block))


def _checksum_fits(block: bytes) -> bool:
    try:
        stored = int(block[148:156].strip(b" \0") or b"0", 8)
    except ValueError:
        return False
    return stored != 0 and stored == sum(block[:148]) + 8 * 32 + sum(block[156:])
