"""Format: the journal of a tar: everything in it that is not a file's content.

With it and the unpacked layer the same bytes can be written again, whoever wrote the tar: a layer
keeps its diff ID. It is written while the tar is read, so that memory does not grow with it.

    journal            deflate stream of records: kind (1 byte), length (4), payload
                       R raw bytes of the tar; C content that follows: (path, offset, size)
    journal.replaced   contents of files that a later entry of the same tar took away; rare
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

__all__ = ["Content", "JournalWriter", "read_journal"]

_RECORD = struct.Struct(">cI")
_FLUSH_BYTES = 1 << 18
_READ_BYTES = 1 << 20


class Content(NamedTuple):
    """`size` bytes at `offset` of the layer's file `path`."""

    path: str
    offset: int
    size: int


class JournalWriter:
    """Append records; numbers of contents count from 0."""

    def __init__(self, path: Path) -> None:
        from isal import isal_zlib

        self._path = path
        self._file = path.open("wb")
        self._deflate = isal_zlib.compressobj(1)
        self._encode = msgspec.msgpack.Encoder().encode
        self._raw = bytearray()
        self._ready = bytearray()
        self._count = 0
        self._replaced: dict[int, bytes] = {}

    def raw(self, data: bytes | memoryview) -> None:
        """Append bytes that stand in the tar as they are."""
        self._raw += data
        if len(self._raw) > _FLUSH_BYTES:
            self._end_raw()

    def content(self, path: str, offset: int, size: int) -> int:
        """Append a reference; return its number."""
        self._end_raw()
        self._append(b"C", self._encode((os.fsencode(path), offset, size)))
        self._count += 1
        return self._count - 1

    def replace(self, number: int, data: bytes) -> None:
        """The referenced file goes away: keep its content here."""
        self._replaced[number] = data

    def _end_raw(self) -> None:
        if self._raw:
            self._append(b"R", bytes(self._raw))
            self._raw.clear()

    def _append(self, kind: bytes, payload: bytes) -> None:
        self._ready += _RECORD.pack(kind, len(payload)) + payload
        if len(self._ready) > _FLUSH_BYTES:
            self._write()

    def _write(self) -> None:
        self._file.write(self._deflate.compress(bytes(self._ready)))
        self._ready.clear()

    def finish(self) -> None:
        """Write what is left."""
        self._end_raw()
        self._write()
        self._file.write(self._deflate.flush())
        self.close()
        if self._replaced:
            _replaced_path(self._path).write_bytes(msgspec.msgpack.encode(self._replaced))

    def close(self) -> None:
        """Idempotent."""
        self._file.close()


def read_journal(path: Path) -> Iterator[bytes | Content]:
    """Yield what the tar consists of, in its order."""
    replaced: dict[int, bytes] = {}
    if _replaced_path(path).exists():
        replaced = msgspec.msgpack.decode(_replaced_path(path).read_bytes(), type=dict[int, bytes])
    number = 0
    for kind, payload in _records(path):
        if kind == b"R":
            yield payload
            continue
        path, offset, size = msgspec.msgpack.decode(payload)
        content = Content(os.fsdecode(path), offset, size)
        yield replaced.get(number, content)
        number += 1


def _records(path: Path) -> Iterator[tuple[bytes, bytes]]:
    from isal import isal_zlib

    inflate = isal_zlib.decompressobj()
    buffer = bytearray()
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            buffer += inflate.decompress(data)
            start = 0
            while len(buffer) - start >= _RECORD.size:
                kind, length = _RECORD.unpack_from(buffer, start)
                end = start + _RECORD.size + length
                if end > len(buffer):
                    break
                yield kind, bytes(buffer[start + _RECORD.size : end])
                start = end
            del buffer[:start]


def _replaced_path(path: Path) -> Path:
    return path.with_name(path.name + ".replaced")
