"""Service: layers as compressed blobs, made when a layer leaves the machine for the first time.

The same layer in the same compression always gives the same bytes (gzip without time and name,
zstd in one thread; blocks of one size), so its digest stays. What came from a registry is never
packed anew, unless a compression is asked for that it does not have.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pogu.config import Paths
from pogu.errors import InvalidParameter
from pogu.images.provenance import LayerBlob, Provenance
from pogu.oci.digest import Digest
from pogu.oci.image import MediaType
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import Layer, LayerStore

__all__ = ["Compression", "Packer", "parse_compression"]

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_FASTEST = 1
_ISAL_LEVELS = 3
_ZSTD_LEVEL = 3
_LEVELS = {"gzip": 9, "zstd": 22}
_BLOCK = 1 << 20
_COMPRESSED_AT_ONCE = 2
_DEFLATE_END = b"\x03\x00"
"""An empty last block (RFC 1951, 3.2.6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """What a caller asks for: nothing (each layer as it came, else fast gzip), a kind, a level."""

    kind: str = ""
    level: int | None = None

    @property
    def packing(self) -> str:
        """The mark of blobs packed like this; empty for those that are made without asking."""
        if self.kind == "zstd":
            return f"zstd:{self.level or _ZSTD_LEVEL}"
        return f"gzip:{self.level}" if self.level is not None else ""

    def is_form(self, blob: LayerBlob) -> bool:
        """True when a known blob is what the caller asks for."""
        if self.kind == "":
            return blob.packing == ""
        if blob.packing == self.packing and blob.packing:
            return True
        return self.level is None and blob.packing == "" and blob.media_type.endswith(self.kind)


def parse_compression(kind: str, level: str) -> Compression:
    """Read `gzip` or `zstd` and a level. Raises: InvalidParameter."""
    if kind not in ("", *_LEVELS):
        raise InvalidParameter(
            f'invalid compression "{kind}"', hint=f"known are {' and '.join(_LEVELS)}"
        )
    if not level:
        return Compression(kind=kind)
    highest = _LEVELS[kind or "gzip"]
    if not level.isdecimal() or not 1 <= int(level) <= highest:
        raise InvalidParameter(
            f'invalid compression level "{level}"',
            hint=f"{kind or 'gzip'} has the levels 1 to {highest}",
        )
    return Compression(kind=kind or "gzip", level=int(level))


class _Codec(Protocol):
    """`head`, one `compress` for each block, `finish`, joined, are the blob."""

    head: bytes
    workers: int
    """Blocks that may be compressed at once; with one they come in order."""

    def note(self, block: bytes) -> None:
        """Take in each block in order, quickly."""

    def compress(self, block: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class _Gzip:
    """RFC 1952 without time and name; up to level 3 by isal, which is several times faster.

    Each block is compressed for itself and ends on a byte (Z_SYNC_FLUSH), so that several are at
    once and the bytes depend on nothing but the content.
    """

    head = _GZIP_HEADER
    workers = _COMPRESSED_AT_ONCE

    def __init__(self, level: int) -> None:
        from isal import isal_zlib

        self._level = level
        self._crc32 = isal_zlib.crc32
        self._library: Any = isal_zlib if level <= _ISAL_LEVELS else zlib
        self._crc = 0
        self._size = 0

    def note(self, block: bytes) -> None:
        self._crc = self._crc32(block, self._crc)
        self._size += len(block)

    def compress(self, block: bytes) -> bytes:
        compressor = self._library.compressobj(self._level, zlib.DEFLATED, -15)
        return bytes(compressor.compress(block)) + bytes(compressor.flush(zlib.Z_SYNC_FLUSH))

    def finish(self) -> bytes:
        tail = self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")
        return _DEFLATE_END + tail


class _Zstd:
    """RFC 8878, one frame, one thread: more threads would give other bytes."""

    head = b""
    workers = 1

    def __init__(self, level: int) -> None:
        import zstandard

        self._compressor = zstandard.ZstdCompressor(level=level).compressobj()

    def note(self, block: bytes) -> None:
        return

    def compress(self, block: bytes) -> bytes:
        return self._compressor.compress(block)

    def finish(self) -> bytes:
        return self._compressor.flush()


def _codec(compression: Compression) -> _Codec:
    if compression.kind == "zstd":
        return _Zstd(compression.level or _ZSTD_LEVEL)
    return _Gzip(compression.level or _FASTEST)


class _BlobFile:
    """A tar sink that compresses in threads, and hashes what comes out."""

    def __init__(self, fd: int, codec: _Codec) -> None:
        self._file = os.fdopen(fd, "wb")
        self._codec = codec
        self._threads = ThreadPoolExecutor(codec.workers, thread_name_prefix="pogu-pack")
        self._under_way: deque[Future[bytes]] = deque()
        self._hash = hashlib.sha256()
        self._waiting = bytearray()
        self.written = 0
        self._put(codec.head)

    def _put(self, data: bytes) -> None:
        self._hash.update(data)
        self._file.write(data)
        self.written += len(data)

    def write(self, data: bytes) -> None:
        self._waiting += data
        while len(self._waiting) >= _BLOCK:
            self._begin(bytes(self._waiting[:_BLOCK]))
            del self._waiting[:_BLOCK]

    def _begin(self, block: bytes) -> None:
        self._codec.note(block)
        self._under_way.append(self._threads.submit(self._codec.compress, block))
        if len(self._under_way) > 2 * self._codec.workers:
            self._put(self._under_way.popleft().result())

    def finish(self) -> Digest:
        """Write the end and return the digest."""
        self._begin(bytes(self._waiting))
        while self._under_way:
            self._put(self._under_way.popleft().result())
        self._put(self._codec.finish())
        self.close()
        return Digest(f"sha256:{self._hash.hexdigest()}")

    def close(self) -> None:
        """Idempotent."""
        self._threads.shutdown(cancel_futures=True)
        self._file.close()


class Packer:
    """Plain and blocking."""

    def __init__(
        self, paths: Paths, layers: LayerStore, blobs: BlobStore, provenance: Provenance
    ) -> None:
        self._paths = paths
        self._layers = layers
        self._blobs = blobs
        self._provenance = provenance

    def blob_of(
        self, layer: Layer, forms: Sequence[LayerBlob], compression: Compression | None = None
    ) -> LayerBlob:
        """Return the first of its known forms that is in the store, else pack it. Slow then."""
        for known in forms:
            if self._blobs.has(known.digest):
                return known
        asked = compression or Compression()
        fd, name = tempfile.mkstemp(dir=self._paths.tmp, prefix="blob-")
        sink = _BlobFile(fd, _codec(asked))
        try:
            self._layers.write_tar(layer.chain_id, sink)
            digest = sink.finish()
            self._blobs.adopt(Path(name), digest)
        except BaseException:
            sink.close()
            Path(name).unlink(missing_ok=True)
            raise
        zstd = asked.kind == "zstd"
        blob = LayerBlob(
            digest=digest,
            diff_id=layer.diff_id,
            media_type=MediaType.OCI_LAYER_ZSTD if zstd else MediaType.DOCKER_LAYER_GZIP,
            size_bytes=sink.written,
            packing=asked.packing,
        )
        self._provenance.add_layer(blob)
        return blob
