"""Service: images by their layers: what made each, who shares it, what of it nobody sees. Owns
nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pogu.images.image import Image, short_id
from pogu.oci.digest import ChainId
from pogu.storage.layers import Layer, LayerStore
from pogu.storage.merged import MergedTree

__all__ = ["ImageLayer", "LayerNode", "image_layers", "layer_forest", "names_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLayer:
    """A layer as part of one image. `hidden_bytes` are replaced or deleted by layers above."""

    layer: Layer
    created_by: str
    shared_with: tuple[str, ...]
    hidden_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNode:
    """A layer with the images that end at it and the layers that stand on it."""

    layer: Layer
    created_by: str
    images: tuple[Image, ...]
    above: tuple[LayerNode, ...]


def names_of(image: Image) -> list[str]:
    """What people call it: its tags, else its short ID."""
    return image.familiar_tags or [short_id(image.id)]


def instructions(image: Image) -> list[str]:
    """What made each of its layers, bottom first."""
    entries = [entry for entry in image.config.history if not entry.empty_layer]
    made = [entry.created_by or entry.comment for entry in entries]
    missing = len(image.config.rootfs.diff_ids) - len(made)
    return made[:missing] if missing < 0 else [*made, *[""] * missing]


def image_layers(image: Image, images: Sequence[Image], layers: LayerStore) -> list[ImageLayer]:
    """Return its layers, bottom first. Slow: it looks at every file."""
    chain = layers.chain(image.top_layer)
    tree = MergedTree([layer.path for layer in chain])
    users = _users(images, layers)
    return [
        ImageLayer(
            layer=layer,
            created_by=created_by,
            shared_with=tuple(
                name
                for other in users.get(layer.chain_id, ())
                if other.id != image.id
                for name in names_of(other)
            ),
            hidden_bytes=hidden,
        )
        for layer, created_by, hidden in zip(
            chain, instructions(image), tree.hidden_bytes, strict=True
        )
    ]


def _users(images: Sequence[Image], layers: LayerStore) -> dict[ChainId, list[Image]]:
    found: dict[ChainId, list[Image]] = {}
    for image in images:
        for layer in layers.chain(image.top_layer):
            found.setdefault(layer.chain_id, []).append(image)
    return found


def layer_forest(images: Sequence[Image], layers: LayerStore) -> list[LayerNode]:
    """Return the layers of all images as trees; images without a layer are in none."""
    made: dict[ChainId, str] = {}
    ends: dict[ChainId, list[Image]] = {}
    above: dict[ChainId | None, list[Layer]] = {}
    seen: set[ChainId] = set()
    for image in images:
        chain = layers.chain(image.top_layer)
        for layer, created_by in zip(chain, instructions(image), strict=True):
            if layer.chain_id not in seen:
                seen.add(layer.chain_id)
                made[layer.chain_id] = created_by
                above.setdefault(layer.parent, []).append(layer)
        if chain:
            ends.setdefault(chain[-1].chain_id, []).append(image)
    return [_node(layer, made, ends, above) for layer in above.get(None, ())]


def _node(
    layer: Layer,
    made: Mapping[ChainId, str],
    ends: Mapping[ChainId, Sequence[Image]],
    above: Mapping[ChainId | None, Sequence[Layer]],
) -> LayerNode:
    return LayerNode(
        layer=layer,
        created_by=made[layer.chain_id],
        images=tuple(ends.get(layer.chain_id, ())),
        above=tuple(_node(one, made, ends, above) for one in above.get(layer.chain_id, ())),
    )
