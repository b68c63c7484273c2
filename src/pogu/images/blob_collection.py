"""Service: blobs that no layer and no image needs any more leave the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pogu.images.image import Image
from pogu.images.indexes import Indexes, blobs_below
from pogu.images.manifest_lists import ManifestLists
from pogu.images.provenance import Provenance
from pogu.images.store import ImageStore
from pogu.linux.blocking import in_thread
from pogu.oci.digest import DiffId, Digest
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
        lists: ManifestLists,
    ) -> None:
        self._images = images
        self._layers = layers
        self._blobs = blobs
        self._provenance = provenance
        self._indexes = indexes
        self._lists = lists

    async def collect(self) -> int:
        """The rows go first: a kill in between leaves files, which the next time finds.

        Return the bytes freed.
        """
        needed = await self._indexes.forget_unused()
        needed |= await in_thread(blobs_below, self._blobs, self._lists.manifests())
        layers = {layer.diff_id for layer in self._layers.all()}
        images = {image.id for image in self._images.all()}
        kept = self._provenance.forget_blobs(layers, images, needed)
        return await in_thread(self._remove, kept)

    def rehearse(self, layers: set[DiffId], images: Sequence[Image]) -> set[Digest]:
        """Return what `collect` would remove were these all that there is. In a rehearsal only."""
        kept, whole = self._indexes.forget_rows(images)
        needed = kept | blobs_below(self._blobs, whole | self._lists.manifests())
        ids = {image.id for image in images}
        return set(self._unneeded(self._provenance.forget_blobs(layers, ids, needed)))

    def _unneeded(self, kept: set[Digest]) -> Iterable[Digest]:
        return (digest for digest in self._blobs.all() if digest not in kept)

    def _remove(self, kept: set[Digest]) -> int:
        freed = 0
        for digest in self._unneeded(kept):
            freed += self._blobs.size_bytes(digest)
            self._blobs.remove(digest)
        return freed
