"""Service: layers as compressed blobs, made when a layer leaves the machine for the first time.

The same layer always gives the same bytes (gzip without time and name, one level), so its digest
stays. What came from a registry is never packed anew.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pogu.config import Paths
from pogu.images.provenance import LayerBlob, Provenance
from pogu.oci.digest import Digest
from pogu.oci.image import MediaType
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import Layer, LayerStore

__all__ = ["Packer"]

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LEVEL = 1
_BLOCK = 1 << 20


class _GzipFile:
    """A tar sink that compresses with isal and hashes what comes out."""

    def __init__(self, fd: int) -> None:
        from isal import isal_zlib

        self._file = os.fdopen(fd, "wb")
        self._zlib = isal_zlib
        self._compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, -15)
        self._hash = hashlib.sha256()
        self._crc = 0
        self._size = 0
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self.written = 0
        self._put(_GZIP_HEADER)

    def _put(self, data: bytes) -> None:
        self._hash.update(data)
        self._file.write(data)
        self.written += len(data)

    def write(self, data: bytes) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= _BLOCK:
            self._drain()

    def _drain(self) -> None:
        data = b"".join(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        self._crc = self._zlib.crc32(data, self._crc)
        self._size += len(data)
        self._put(self._compressor.compress(data))

    def finish(self) -> Digest:
        """Write the end and return the digest."""
        self._drain()
        self._put(self._compressor.flush())
        self._put(self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little"))
        self._file.close()
        return Digest(f"sha256:{self._hash.hexdigest()}")

    def close(self) -> None:
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

    def blob_of(self, layer: Layer, forms: Sequence[LayerBlob]) -> LayerBlob:
        """Return the first of its known forms that is in the store, else pack it. Slow then."""
        for known in forms:
            if self._blobs.has(known.digest):
                return known
        fd, name = tempfile.mkstemp(dir=self._paths.tmp, prefix="blob-")
        sink = _GzipFile(fd)
        try:
            self._layers.write_tar(layer.chain_id, sink)
            digest = sink.finish()
            self._blobs.adopt(Path(name), digest)
        except BaseException:
            sink.close()
            Path(name).unlink(missing_ok=True)
            raise
        blob = LayerBlob(
            digest=digest,
            diff_id=layer.diff_id,
            media_type=MediaType.DOCKER_LAYER_GZIP,
            size_bytes=sink.written,
        )
        self._provenance.add_layer(blob)
        return blob
