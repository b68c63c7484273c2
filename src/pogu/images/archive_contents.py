"""Service: what one pass over an image archive found, by the names of its entries.

Owns, until the caller has taken them over, drafts of layers and `<root>/tmp/blob-*` files.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from pathlib import Path

from pogu.errors import DataLoss, InvalidParameter, NotFound
from pogu.oci.archive import BLOBS
from pogu.oci.digest import DiffId, Digest, sha256_digest
from pogu.storage.layers import LayerStore, Unpacked

__all__ = ["ArchiveContents", "ArchivedLayer", "clean"]

_LINKS = 40


@dataclass(slots=True, kw_only=True)
class ArchivedLayer:
    """A layer of the archive: unpacked, or already in the store (`unpacked` is None)."""

    diff_id: DiffId
    unpacked: Unpacked | None = None
    blob: Path | None = None
    """Its compressed form as it came: a file of tmp/, `blob_bytes` long, verified."""
    blob_bytes: int = 0


@dataclass(slots=True)
class ArchiveContents:
    """What was in an archive, by the names of its entries."""

    documents: dict[str, bytes] = field(default_factory=dict)
    layers: dict[str, ArchivedLayer] = field(default_factory=dict)
    problems: dict[str, InvalidParameter | DataLoss] = field(default_factory=dict)
    """Why an entry that looked like a layer is none."""
    links: dict[str, str] = field(default_factory=dict)
    entries: int = 0
    looks_like_root: bool = False

    def resolve(self, path: str) -> str:
        """Follow links inside of the archive (older archives have each layer once)."""
        path = clean(path)
        for _ in range(_LINKS):
            if path not in self.links:
                return path
            path = self.links[path]
        raise InvalidParameter(f"invalid archive: too many links at {path}")

    def document(self, path: str) -> bytes:
        """Raises: NotFound."""
        try:
            return self.documents[self.resolve(path)]
        except KeyError:
            raise NotFound(
                f"open {path}: no such file or directory", hint="the archive is not complete"
            ) from None

    def has(self, path: str) -> bool:
        return self.resolve(path) in self.documents

    def blob(self, digest: Digest) -> bytes:
        """A document of an OCI layout, verified. Raises: NotFound, DataLoss."""
        raw = self.document(f"{BLOBS}/{digest.removeprefix('sha256:')}")
        if sha256_digest(raw) != digest:
            raise DataLoss(f"{digest} of the archive has the digest {sha256_digest(raw)}")
        return raw

    def layer(self, path: str) -> ArchivedLayer | None:
        """The layer under that name; None when there is none. Raises: why it is unusable."""
        path = self.resolve(path)
        if path in self.problems:
            raise self.problems[path]
        return self.layers.get(path)

    def discard(self, layers: LayerStore) -> None:
        """Remove what nobody took over. Idempotent. Slow."""
        for layer in self.layers.values():
            if layer.unpacked is not None:
                layers.discard(layer.unpacked.draft)
            if layer.blob is not None:
                layer.blob.unlink(missing_ok=True)


def clean(name: str) -> str:
    """The key of an entry; `..` stays within."""
    return posixpath.normpath("/" + name)[1:]
