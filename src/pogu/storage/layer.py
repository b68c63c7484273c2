"""Format: a layer, and what may become one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pogu.oci.digest import ChainId, DiffId

__all__ = ["Layer", "LayerDraft", "Unpacked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One committed layer; `size_bytes` is the sum of its regular files, `tar_bytes` the length of
    its uncompressed tar (None for layers of before it was written down)."""

    chain_id: ChainId
    diff_id: DiffId
    parent: ChainId | None
    short_id: str
    path: Path
    size_bytes: int
    tar_bytes: int | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """A layer tar on disk, verified, not yet a layer."""

    draft: LayerDraft
    diff_id: DiffId
    size_bytes: int
    tar_bytes: int
