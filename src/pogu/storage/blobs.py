"""Service: content-addressed blobs under `<root>/blobs/sha256/`; no table, the name is the key."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from pogu.config import Paths
from pogu.oci.digest import Digest

__all__ = ["BlobStore"]


class BlobStore:
    """Write-once files named by their digest. Plain and blocking."""

    def __init__(self, paths: Paths) -> None:
        raise NotImplementedError

    def path(self, digest: Digest) -> Path:
        raise NotImplementedError

    def has(self, digest: Digest) -> bool:
        raise NotImplementedError

    def read(self, digest: Digest) -> bytes:
        """Return the bytes, verified. Raises: NotFound, DataLoss."""
        raise NotImplementedError

    def write(self, data: bytes) -> Digest:
        """Store `data` durably. Idempotent."""
        raise NotImplementedError

    def ingest(self, stream: BinaryIO, *, expected: Digest | None = None) -> Digest:
        """Store a stream durably. Raises: DataLoss when it is not `expected`."""
        raise NotImplementedError

    def remove(self, digest: Digest) -> None:
        """Idempotent."""
        raise NotImplementedError

    def all(self) -> list[Digest]:
        raise NotImplementedError
