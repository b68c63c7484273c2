"""Service: images and their names; owns the tables `images` and `tags`.

An image is its config blob (ID = digest of the config, as Docker's) plus the chain of layers that
its diff IDs name. A tag is a normalised reference that points at an ID.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from pogu.db import Database
from pogu.events import EventBus
from pogu.model.container import ContainerConfig
from pogu.oci.digest import ChainId, Digest
from pogu.oci.image import HistoryEntry, ImageConfig
from pogu.oci.reference import Reference
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import LayerStore

__all__ = ["Image", "ImageStore", "Removed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image. `raw_config` hashes to `id`; `config` is its parsed view."""

    id: Digest
    raw_config: bytes
    config: ImageConfig
    top_layer: ChainId | None
    size_bytes: int
    parent: Digest | None
    """The image this was built on by a build on this machine (Docker's Parent)."""
    tags: tuple[Reference, ...]
    repo_digests: tuple[Reference, ...]
    last_tagged_at: str = ""

    @property
    def familiar_tags(self) -> list[str]:
        return [tag.familiar for tag in self.tags]


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """One line of the answer to `rmi`: exactly one of the two is set."""

    untagged: str | None = None
    deleted: Digest | None = None


class ImageStore:
    """Async where it is slow, plain where it reads rows."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: BlobStore,
        layers: LayerStore,
        events: EventBus,
    ) -> None:
        raise NotImplementedError

    def in_use_by(self, ask: Callable[[Digest], Sequence[tuple[str, bool]]]) -> None:
        """Set who is asked before a removal: (container's short name or id, is it running)."""
        raise NotImplementedError

    def keep(self, ask: Callable[[], set[ChainId]]) -> None:
        """Set who is asked which layers must stay although no image has them (build cache…)."""
        raise NotImplementedError

    def resolve(self, name: str) -> Image:
        """Return the image by reference, ID or unambiguous ID prefix (`sha256:` optional).

        Raises: NotFound("No such image: …") with the near miss as hint; InvalidParameter when a
        prefix names several, listing them.
        """
        raise NotImplementedError

    def get(self, image_id: Digest) -> Image:
        """Raises: NotFound."""
        raise NotImplementedError

    def find(self, reference: Reference) -> Image | None:
        raise NotImplementedError

    def all(self) -> list[Image]:
        """Every image, newest first."""
        raise NotImplementedError

    def is_dangling(self, image: Image) -> bool:
        """No tag, and no other image has it as its parent."""
        raise NotImplementedError

    async def create(
        self,
        config: ImageConfig,
        *,
        parent: Digest | None = None,
        references: Sequence[Reference] = (),
    ) -> Image:
        """Store an image whose layers are already in the layer store. Idempotent, durable."""
        raise NotImplementedError

    def tag(self, image_id: Digest, reference: Reference) -> None:
        """Point `reference` (with default tag) at the image; it leaves the image it named."""
        raise NotImplementedError

    async def remove(self, name: str, *, force: bool = False, prune: bool = True) -> list[Removed]:
        """Untag, and delete when it was the last name, as Docker does; with `prune` also dangling
        parents.

        Raises: NotFound; Conflict in Docker's words when a container uses it, a child image
        depends on it, or several repositories name an image given by ID without `force`.
        """
        raise NotImplementedError

    async def prune(self, *, dangling_only: bool = True) -> tuple[list[Removed], int]:
        """Remove unused images; return what went and the bytes it freed."""
        raise NotImplementedError

    async def import_tar(
        self,
        tar: BinaryIO,
        *,
        reference: Reference | None = None,
        message: str = "",
        config: ContainerConfig | None = None,
        created_by: str = "",
    ) -> Image:
        """Make a one-layer image from a root file system tar (any compression)."""
        raise NotImplementedError

    def history(self, image: Image) -> list[tuple[HistoryEntry, int, Digest | None, list[str]]]:
        """Return newest first: entry, layer size in bytes, image ID where known, its tags."""
        raise NotImplementedError

    async def collect_layers(self) -> int:
        """Remove layers that neither an image nor `keep` names; return the bytes freed."""
        raise NotImplementedError
