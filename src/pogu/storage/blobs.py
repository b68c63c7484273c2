"""Service: content-addressed blobs under `<root>/blobs/sha256/`; no table, the name is the key."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

from pogu.config import Paths
from pogu.crash_point import crash_point
from pogu.errors import DataLoss, NotFound
from pogu.linux.sync import fsync_directory, fsync_file
from pogu.oci.digest import Digest, sha256_digest

__all__ = ["BlobStore"]

_CHUNK = 1 << 20


class BlobStore:
    """Write-once files named by their digest. Plain and blocking."""

    def __init__(self, paths: Paths) -> None:
        self._directory = paths.blobs
        self._tmp = paths.tmp

    def path(self, digest: Digest) -> Path:
        """Where the blob lies, there or not."""
        return self._directory / digest.removeprefix("sha256:")

    def has(self, digest: Digest) -> bool:
        return self.path(digest).exists()

    def read(self, digest: Digest) -> bytes:
        """Return the bytes, verified. Raises: NotFound, DataLoss."""
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError as err:
            raise NotFound(f"blob {digest} not found") from err
        if sha256_digest(data) != digest:
            raise DataLoss(f"blob {digest} is damaged on disk", hint="pull or build it again")
        return data

    def write(self, data: bytes) -> Digest:
        """Store `data` durably. Idempotent."""
        digest = sha256_digest(data)
        if not self.has(digest):
            fd, name = tempfile.mkstemp(dir=self._tmp, prefix="blob-")
            with open(fd, "wb") as file:
                file.write(data)
            self._publish(Path(name), digest)
        return digest

    def ingest(self, stream: BinaryIO, *, expected: Digest | None = None) -> Digest:
        """Store a stream durably. Raises: DataLoss when it is not `expected`."""
        hashed = hashlib.sha256()
        fd, name = tempfile.mkstemp(dir=self._tmp, prefix="blob-")
        try:
            with open(fd, "wb") as file:
                while data := stream.read(_CHUNK):
                    hashed.update(data)
                    file.write(data)
            digest = Digest(f"sha256:{hashed.hexdigest()}")
            if expected is not None and digest != expected:
                raise DataLoss(f"expected {expected}, got {digest}", hint="the transfer broke")
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        self._publish(Path(name), digest)
        return digest

    def _publish(self, temporary: Path, digest: Digest) -> None:
        """Sync, rename, sync the directory: what appears is whole and stays."""
        temporary.chmod(0o644)
        fsync_file(temporary)
        temporary.rename(self.path(digest))
        fsync_directory(self._directory)

    def adopt(self, temporary: Path, digest: Digest) -> None:
        """Take over a file of tmp/ whose content the caller has verified. Durable. Slow."""
        self._publish(temporary, digest)

    def is_whole(self, digest: Digest) -> bool:
        """True when the content is what its digest says, or when it is gone meanwhile. Slow."""
        hashed = hashlib.sha256()
        try:
            with self.path(digest).open("rb") as file:
                while data := file.read(_CHUNK):
                    hashed.update(data)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return f"sha256:{hashed.hexdigest()}" == digest

    def size_bytes(self, digest: Digest) -> int:
        """0 for one that is not here."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return 0

    def remove(self, digest: Digest) -> None:
        """Idempotent."""
        self.path(digest).unlink(missing_ok=True)
        crash_point()

    def all(self) -> list[Digest]:
        return [Digest(f"sha256:{entry.name}") for entry in os.scandir(self._directory)]
