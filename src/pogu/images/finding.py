"""Service: which image a name means: a reference, an ID, or an unambiguous prefix of one."""

from __future__ import annotations

from pogu.errors import InvalidParameter, NotFound
from pogu.images.image import Image, short_id
from pogu.images.index import ImageIndex
from pogu.images.near import near_miss
from pogu.oci.digest import Digest
from pogu.oci.reference import Reference, parse_reference

__all__ = ["find_image"]

_HEX = frozenset("0123456789abcdef")


def find_image(index: ImageIndex, name: str) -> tuple[Image, Reference | None]:
    """Return the image, and the reference when it was found by one.

    Raises: NotFound("No such image: …") with the near miss as hint; InvalidParameter when a
    prefix names several, listing them.
    """
    image = _by_full_id(index, name)
    if image is not None:
        return image, None
    reference = parse_reference(name).with_default_tag()
    image = index.named(reference)
    if image is not None:
        return image, reference
    image = _by_prefix(index, name)
    if image is not None:
        return image, None
    raise NotFound(f"No such image: {reference.familiar}", hint=near_miss(reference, index.names()))


def _by_full_id(index: ImageIndex, name: str) -> Image | None:
    digits = name.removeprefix("sha256:")
    if len(digits) != 64 or not _HEX.issuperset(digits):
        return None
    image = index.get(Digest(f"sha256:{digits}"))
    if image is None:
        raise NotFound(f"No such image: {name}", hint="`pogu images -a` lists the IDs")
    return image


def _by_prefix(index: ImageIndex, name: str) -> Image | None:
    digits = name.removeprefix("sha256:")
    if not digits or not _HEX.issuperset(digits):
        return None
    found = index.with_prefix(digits)
    if len(found) > 1:
        listed = ", ".join(
            f"{short_id(image.id)} ({', '.join(image.familiar_tags) or 'no tag'})"
            for image in found[:8]
        )
        raise InvalidParameter(
            f"Multiple IDs found with provided prefix: {digits}: {listed}",
            hint="give more digits of the ID",
        )
    return found[0] if found else None
