"""Format: `history`: the entries of a config matched with layers and with parent images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pogu.images.image import Image
from pogu.oci.digest import Digest
from pogu.oci.image import HistoryEntry

__all__ = ["HistoryLine", "history_lines"]

HistoryLine = tuple[HistoryEntry, int, Digest | None, list[str]]
"""Entry, size of its layer, the image that ends with it where known, that image's tags."""


def history_lines(
    image: Image, layer_sizes: Sequence[int], parent_of: Callable[[Image], Image | None]
) -> list[HistoryLine]:
    """Return newest first. `layer_sizes` is bottom first; an empty layer has size 0."""
    entries = image.config.history
    owners: dict[int, Image] = {}
    owner: Image | None = image
    while owner is not None:
        owners.setdefault(len(owner.config.history) - 1, owner)
        owner = parent_of(owner)
    sizes = iter(layer_sizes)
    lines: list[HistoryLine] = []
    for place, entry in enumerate(entries):
        size = 0 if entry.empty_layer else next(sizes, 0)
        known = owners.get(place)
        lines.append(
            (entry, size, known.id if known else None, known.familiar_tags if known else [])
        )
    return lines[::-1]
