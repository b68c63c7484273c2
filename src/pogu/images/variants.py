"""Service: what an image's name stands for on each platform: the entries of its index, and which of
them are here. Reads only.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from pogu.errors import EngineError
from pogu.images.image import Image
from pogu.images.indexes import Indexes
from pogu.images.platform import platform_of
from pogu.images.provenance import Provenance
from pogu.images.store import ImageStore
from pogu.oci.digest import Digest
from pogu.oci.image import Manifest
from pogu.oci.index import Platform, decode_index
from pogu.storage.blobs import BlobStore

__all__ = ["Variant", "Variants"]

_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One platform's image; `image` None when it is not here.

    `content_bytes` are those of its blobs as registries have them, 0 where that is not known;
    the digest of an image that no registry knows is its ID.
    """

    digest: Digest
    media_type: str
    size_bytes: int
    platform: Platform
    image: Image | None
    content_bytes: int


class Variants:
    """Plain methods that read rows and small blobs."""

    def __init__(
        self, *, images: ImageStore, indexes: Indexes, provenance: Provenance, blobs: BlobStore
    ) -> None:
        self._images = images
        self._indexes = indexes
        self._provenance = provenance
        self._blobs = blobs

    def of(self, image: Image) -> list[Variant]:
        """In the order of the image's index, which may have come in part; one without an index
        stands for itself.
        """
        names = image.tags or image.repo_digests
        index = self._indexes.of(image, names[0]) if names else None
        if index is None:
            return [self._alone(image)]
        return [
            Variant(
                digest=entry.digest,
                media_type=entry.media_type,
                size_bytes=entry.size,
                platform=entry.platform or Platform(),
                image=self._here(entry.digest),
                content_bytes=self._content_bytes(entry.digest),
            )
            for entry in decode_index(index.raw).manifests
            if entry.platform is None or entry.platform.os != "unknown"  # what tells of an image
        ]

    def name_of(self, variant: Image, name: str) -> str:
        """By which name of the same repository a variant is removed alone; its ID without one."""
        chosen = self._images.resolve(name)
        repositories = {one.repository for one in chosen.references}
        for reference in (*variant.tags, *variant.repo_digests):
            if reference.repository in repositories:
                return reference.familiar
        return variant.id

    def _alone(self, image: Image) -> Variant:
        stored = self._provenance.manifests(image.id)
        digest = stored[0].digest if stored else image.id
        return Variant(
            digest=digest,
            media_type=_MANIFEST_TYPE,
            size_bytes=0,
            platform=platform_of(image.config),
            image=image,
            content_bytes=self._content_bytes(digest),
        )

    def _here(self, manifest: Digest) -> Image | None:
        image_id = self._provenance.image_of(manifest)
        try:
            return self._images.get(image_id) if image_id else None
        except EngineError:
            return None

    def _content_bytes(self, digest: Digest) -> int:
        try:
            manifest = msgspec.json.decode(self._blobs.read(digest), type=Manifest)
        except (EngineError, msgspec.MsgspecError):
            return 0
        return manifest.config.size + sum(layer.size for layer in manifest.layers)
