"""Service: blobs that no layer and no image needs any more leave the store."""

from __future__ import annotations

from pogu.images.indexes import Indexes
from pogu.images.provenance import Provenance
from pogu.images.store import ImageStore
from pogu.linux.blocking import in_thread
from pogu.oci.digest import Digest
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import LayerStore

__all__ = ["BlobCollection"]


class BlobCollection:
    """Runs after layers were collected, when nothing is being pulled, pushed or built."""

    def __init__(
        self,
        images: ImageStore,
        layers: LayerStore,
        blobs: BlobStore,
        provenance: Provenance,
        indexes: Indexes,
    ) -> None:
        self._images = images
        self._layers = layers
        self._blobs = blobs
        self._provenance = provenance
        self._indexes = indexes

    async def collect(self) -> None:
        """The rows go first: a kill in between leaves files, which the next time finds."""
        needed = await self._indexes.forget_unused()
        layers = {layer.diff_id for layer in self._layers.all()}
        images = {image.id for image in self._images.all()}
        kept = self._provenance.forget_blobs(layers, images, needed)
        await in_thread(self._remove, kept)

    def _remove(self, kept: set[Digest]) -> None:
        for digest in self._blobs.all():
            if digest not in kept:
                self._blobs.remove(digest)
