"""Format: which images an archive holds, and which of its entries each consists of.

Docker's manifest.json counts where there is one, because it has the tags; index.json (image-spec
image-layout.md) where there is none or a platform is asked for, because it has the choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pogu.errors import EngineError, InvalidParameter
from pogu.images.archive_contents import ArchiveContents
from pogu.images.archive_layout import Layout
from pogu.images.archived import (
    ArchivedImage,
    check_count,
    check_platform,
    config_in,
    decoded,
)
from pogu.images.platform import Platform
from pogu.oci.archive import (
    INDEX,
    MANIFEST,
    SINCE,
    DockerImage,
)
from pogu.oci.digest import Digest
from pogu.oci.index import Index
from pogu.oci.reference import parse_reference

__all__ = ["images_of", "saved_since"]


def images_of(
    contents: ArchiveContents, wanted: Platform, *, asked: bool
) -> tuple[ArchivedImage, ...]:
    """Return what is to be loaded; `asked`: the platform was named, so another one is refused.

    Raises: InvalidParameter, NotFound, DataLoss.
    """
    if not contents.has(MANIFEST) and not contents.has(INDEX):
        raise _no_image_archive(contents)
    layout = Layout(contents, wanted, asked=asked)
    if contents.has(INDEX) and (asked or not contents.has(MANIFEST)):
        return _merged(layout.images())
    images = _docker_images(contents)
    for image in images if asked else ():
        check_platform(image, wanted)
    if contents.has(INDEX):
        images = [layout.with_manifests(image) for image in images]
    return _merged(images)


def saved_since(contents: ArchiveContents) -> str:
    """What the reader of the archive must have, as the writer called it; empty for all others."""
    if not contents.has(INDEX):
        return ""
    return (decoded(contents.document(INDEX), Index, INDEX).annotations or {}).get(SINCE, "")


def _no_image_archive(contents: ArchiveContents) -> EngineError:
    if not contents.entries:
        hint = "the archive is empty: is the file complete?"
    else:
        hint = "an image archive has manifest.json or index.json; a root file system is for import"
    return InvalidParameter("open manifest.json: no such file or directory", hint=hint)


def _docker_images(contents: ArchiveContents) -> list[ArchivedImage]:
    raw = contents.document(MANIFEST)
    if raw.strip() == b"null":
        raise InvalidParameter("invalid manifest, manifest cannot be null (but can be [])")
    return [_docker_image(contents, one) for one in decoded(raw, list[DockerImage], MANIFEST)]


def _docker_image(contents: ArchiveContents, one: DockerImage) -> ArchivedImage:
    raw = contents.document(one.config)
    config = config_in(raw, one.config)
    layers = one.layers or ()
    check_count(layers, config)
    tags = []
    for text in one.repo_tags or ():
        reference = parse_reference(text)
        if reference.tag is None:
            raise InvalidParameter(f'invalid tag "{text}"')
        tags.append(replace(reference, digest=None))
    return ArchivedImage(raw_config=raw, config=config, layers=layers, tags=tuple(tags))


def _merged(images: Sequence[ArchivedImage]) -> tuple[ArchivedImage, ...]:
    """One entry for each image, with all of its names."""
    merged: dict[Digest, ArchivedImage] = {}
    for image in images:
        known = merged.get(image.id)
        if known is not None:
            image = replace(
                known,
                tags=known.tags + tuple(tag for tag in image.tags if tag not in known.tags),
                digests=tuple(dict.fromkeys(known.digests + image.digests)),
                manifests=known.manifests or image.manifests,
                indexes=known.indexes or image.indexes,
            )
        merged[image.id] = image
    return tuple(merged.values())
