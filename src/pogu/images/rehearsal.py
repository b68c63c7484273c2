"""Service: what removals of images would take away, tried on a copy of the index.

The same code decides as when it is done in earnest: `removal.py` about images and names,
`unneeded_layers` about layers, the blob collection about blobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pogu.events import EventBus
from pogu.images.image import Image, Removed
from pogu.images.index import ImageIndex
from pogu.images.removal import Removal, Users
from pogu.oci.digest import ChainId, DiffId, Digest
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import Layer, LayerStore

__all__ = ["BlobsWithout", "Rehearsal", "layers_of_images", "unneeded_layers"]

BlobsWithout = Callable[[set[DiffId], Sequence[Image]], set[Digest]]
"""Which blobs would go if only these layers and these images were left."""


class Rehearsal:
    """Each step sees what the steps before it have left."""

    def __init__(
        self,
        index: ImageIndex,
        layers: LayerStore,
        blobs: BlobStore,
        *,
        users: Users,
        kept: Callable[[], set[ChainId]],
        blobs_without: BlobsWithout | None,
        held: bool,
    ) -> None:
        self._index = index
        self._layers = layers
        self._blobs = blobs
        self._users = users
        self._kept = kept
        self._blobs_without = blobs_without
        self._held = held
        self._gone: set[ChainId] = set()
        self._gone_blobs: set[Digest] = set()

    def remove(self, name: str, *, force: bool, prune: bool) -> tuple[list[Removed], int]:
        """As `ImageStore.remove`, with the bytes. Raises: as that."""
        removal = Removal(self._index, EventBus(), self._users)
        removal.by_name(name, force=force, prune=prune)
        return self._with_layers(removal.lines)

    def prune(
        self, *, dangling_only: bool = True, matches: Callable[[Image], bool] | None = None
    ) -> tuple[list[Removed], int]:
        """As `ImageStore.prune`."""
        removal = Removal(self._index, EventBus(), self._users)
        removal.prune(dangling_only=dangling_only, matches=matches)
        return self._with_layers(removal.lines)

    def _with_layers(self, lines: list[Removed]) -> tuple[list[Removed], int]:
        layers, freed = self.collect()
        return lines + [Removed(deleted=Digest(layer.chain_id)) for layer in layers], freed

    def collect(self, kept: set[ChainId] | None = None) -> tuple[list[Layer], int]:
        """As the collection that follows every removal; return the layers and all bytes freed.

        `kept` stands in for what containers and the build cache would keep by then.
        """
        if self._held:
            return [], 0
        keep = self._kept() if kept is None else kept
        layers = [
            layer
            for layer in unneeded_layers(self._index, self._layers, keep)
            if layer.chain_id not in self._gone
        ]
        self._gone |= {layer.chain_id for layer in layers}
        freed = sum(layer.size_bytes for layer in layers)
        return layers, freed + sum(map(self._blobs.size_bytes, self._collect_blobs()))

    def image_layers(self) -> set[ChainId]:
        """The layers of the images that are left."""
        return layers_of_images(self._index, self._layers)

    def unneeded_blobs(self) -> set[Digest]:
        """The blobs that nothing needs as things are."""
        return self._collect_blobs()

    def _collect_blobs(self) -> set[Digest]:
        if self._blobs_without is None:
            return set()
        left = {one.diff_id for one in self._layers.all() if one.chain_id not in self._gone}
        blobs = self._blobs_without(left, self._index.newest_first()) - self._gone_blobs
        self._gone_blobs |= blobs
        return blobs


def layers_of_images(index: ImageIndex, layers: LayerStore) -> set[ChainId]:
    """Return every layer that an image has."""
    return _with_those_below(layers, [image.top_layer for image in index.newest_first()])


def unneeded_layers(index: ImageIndex, layers: LayerStore, kept: set[ChainId]) -> list[Layer]:
    """Return the layers that neither an image nor `kept` names, directly or from above."""
    needed = _with_those_below(layers, [*(one.top_layer for one in index.newest_first()), *kept])
    return [layer for layer in layers.all() if layer.chain_id not in needed]


def _with_those_below(layers: LayerStore, tops: Iterable[ChainId | None]) -> set[ChainId]:
    marked: set[ChainId] = set()
    for top in tops:
        while top is not None and top not in marked and layers.has(top):
            marked.add(top)
            top = layers.get(top).parent
    return marked
