"""Service: unpacked layers; owns the table `layers` and `<root>/layers/`.

    layers/<short-id>/diff/      the layer in overlayfs' own form (whiteout = char device 0:0,
                                 opaque directory = xattr trusted.overlay.opaque=y)
    tmp/layer-*/diff/            a draft, not yet a layer

A layer is named by its chain ID; it is immutable and shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pogu.config import Paths
from pogu.db import Database
from pogu.oci.digest import ChainId, DiffId

__all__ = ["Layer", "LayerDraft", "LayerStore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One committed layer; `size_bytes` is the sum of its regular files."""

    chain_id: ChainId
    diff_id: DiffId
    parent: ChainId | None
    short_id: str
    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDraft:
    """A directory under tmp/ that may become a layer: `diff` is filled by the caller.

    `work` lies beside it, for use as an overlay's upper and work directory.
    """

    path: Path

    @property
    def diff(self) -> Path:
        return self.path / "diff"

    @property
    def work(self) -> Path:
        return self.path / "work"


class LayerStore:
    """All methods are plain and blocking: call the slow ones (marked) through `in_thread`."""

    def __init__(self, paths: Paths, db: Database) -> None:
        raise NotImplementedError

    def get(self, chain_id: ChainId) -> Layer:
        """Return the layer. Raises: NotFound."""
        raise NotImplementedError

    def has(self, chain_id: ChainId) -> bool:
        raise NotImplementedError

    def chain(self, top: ChainId | None) -> list[Layer]:
        """Return the layers from the bottom to `top`; empty for None (scratch)."""
        raise NotImplementedError

    def all(self) -> list[Layer]:
        raise NotImplementedError

    def lower_directories(self, top: ChainId | None) -> tuple[Path, ...]:
        """Return the lowerdirs for an OverlayMount: top layer first."""
        raise NotImplementedError

    def prepare(self) -> LayerDraft:
        """Make an empty draft (diff/ mode 0755 and work/)."""
        raise NotImplementedError

    def discard(self, draft: LayerDraft) -> None:
        """Remove a draft. Idempotent. Slow."""
        raise NotImplementedError

    def commit(self, draft: LayerDraft, *, parent: ChainId | None) -> Layer:
        """Compute the diff ID of `draft.diff`, make it a layer over `parent`, durable. Slow.

        The draft is consumed. Idempotent: an equal layer already there wins.
        """
        raise NotImplementedError

    def commit_tar(
        self, tar: BinaryIO, *, parent: ChainId | None, expected: DiffId | None = None
    ) -> Layer:
        """Unpack an uncompressed or gzip/zstd/xz/bz2 layer tar and commit it, durable. Slow.

        The diff ID is that of the uncompressed bytes. Raises: DataLoss when it is not
        `expected`; InvalidParameter on a broken or hostile archive (nothing is left behind).
        """
        raise NotImplementedError

    def write_tar(self, chain_id: ChainId, out: BinaryIO) -> None:
        """Write the layer's uncompressed tar; its digest is the diff ID. Slow."""
        raise NotImplementedError

    def remove(self, chain_id: ChainId) -> None:
        """Remove one layer that no other layer has as its parent. Idempotent. Slow."""
        raise NotImplementedError

    def sweep(self) -> None:
        """At start: remove what no row names and rows whose directory is gone. Slow."""
        raise NotImplementedError
