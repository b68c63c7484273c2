"""Format: which images an archive holds, and which of its entries each consists of.

Docker's manifest.json counts where there is one, because it has the tags; index.json (image-spec
image-layout.md) where there is none or a platform is asked for, because it has the choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from pogu.errors import DataLoss, EngineError, InvalidParameter, NotFound
from pogu.images.archive_contents import ArchiveContents
from pogu.images.platform import IndexEntry, Platform, choose, fits, platform_of
from pogu.oci.archive import (
    CONTAINERD_NAME,
    INDEX,
    MANIFEST,
    REF_NAME,
    REPO_DIGESTS,
    SINCE,
    DockerImage,
    blob_path,
)
from pogu.oci.digest import Digest, sha256_digest
from pogu.oci.image import ImageConfig, Manifest, MediaType, check_depth, decode_image_config
from pogu.oci.index import INDEXES, Index
from pogu.oci.reference import Reference, parse_reference

__all__ = ["ArchivedImage", "ArchivedIndex", "ArchivedManifest", "images_of", "saved_since"]

T = TypeVar("T")

_CONFIGS = (MediaType.OCI_CONFIG, MediaType.DOCKER_CONFIG)
_DEEPEST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedManifest:
    """A manifest of the archive; `raw` hashes to `digest`."""

    digest: Digest
    raw: bytes
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedIndex:
    """An index of the archive by which an image is known; the archive's name is its name too,
    unless it came from a registry (`named` is false)."""

    raw: bytes
    media_type: str
    named: bool
    manifests: tuple[ArchivedManifest, ...]
    """Those that are in the archive, of whatever platform."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedImage:
    """One image: its config, its layers by their names in the archive (bottom first), its names."""

    raw_config: bytes
    config: ImageConfig
    layers: tuple[str, ...]
    tags: tuple[Reference, ...] = ()
    digests: tuple[Reference, ...] = ()
    manifests: tuple[ArchivedManifest, ...] = ()
    indexes: tuple[ArchivedIndex, ...] = ()

    @property
    def id(self) -> Digest:
        return sha256_digest(self.raw_config)

    @property
    def what(self) -> str:
        """How to call it in a message."""
        return self.tags[0].familiar if self.tags else self.id[:19]


def images_of(
    contents: ArchiveContents, wanted: Platform, *, asked: bool
) -> tuple[ArchivedImage, ...]:
    """Return what is to be loaded; `asked`: the platform was named, so another one is refused.

    Raises: InvalidParameter, NotFound, DataLoss.
    """
    if not contents.has(MANIFEST) and not contents.has(INDEX):
        raise _no_image_archive(contents)
    layout = _Layout(contents, wanted, asked=asked)
    if contents.has(INDEX) and (asked or not contents.has(MANIFEST)):
        return _merged(layout.images())
    images = _docker_images(contents)
    for image in images if asked else ():
        _check_platform(image, wanted)
    if contents.has(INDEX):
        images = [layout.with_manifests(image) for image in images]
    return _merged(images)


def saved_since(contents: ArchiveContents) -> str:
    """What the reader of the archive must have, as the writer called it; empty for all others."""
    if not contents.has(INDEX):
        return ""
    return (_decoded(contents.document(INDEX), Index, INDEX).annotations or {}).get(SINCE, "")


def _no_image_archive(contents: ArchiveContents) -> EngineError:
    if not contents.entries:
        hint = "the archive is empty: is the file complete?"
    else:
        hint = "an image archive has manifest.json or index.json; a root file system is for import"
    return InvalidParameter("open manifest.json: no such file or directory", hint=hint)


def _decoded(raw: bytes, type: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(raw, type=type)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as err:
        raise InvalidParameter(f"invalid {what}: {err}", hint="the archive is damaged") from err


def _config(raw: bytes, what: str) -> ImageConfig:
    try:
        return decode_image_config(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as err:
        raise InvalidParameter(f"invalid image config {what}: {err}") from err


# ---- docker-archive --------------------------------------------------------------------------


def _docker_images(contents: ArchiveContents) -> list[ArchivedImage]:
    raw = contents.document(MANIFEST)
    if raw.strip() == b"null":
        raise InvalidParameter("invalid manifest, manifest cannot be null (but can be [])")
    return [_docker_image(contents, one) for one in _decoded(raw, list[DockerImage], MANIFEST)]


def _docker_image(contents: ArchiveContents, one: DockerImage) -> ArchivedImage:
    raw = contents.document(one.config)
    config = _config(raw, one.config)
    layers = one.layers or ()
    _check_count(layers, config)
    tags = []
    for text in one.repo_tags or ():
        reference = parse_reference(text)
        if reference.tag is None:
            raise InvalidParameter(f'invalid tag "{text}"')
        tags.append(replace(reference, digest=None))
    return ArchivedImage(raw_config=raw, config=config, layers=layers, tags=tuple(tags))


def _check_count(layers: Sequence[object], config: ImageConfig) -> None:
    if len(layers) != len(config.rootfs.diff_ids):
        raise InvalidParameter(
            f"invalid manifest, layers length mismatch: expected {len(layers)}, got"
            f" {len(config.rootfs.diff_ids)}"
        )
    check_depth(len(layers))


def _check_platform(image: ArchivedImage, wanted: Platform) -> None:
    found = platform_of(image.config)
    if not fits(found, wanted):
        raise NotFound(
            f"image {image.what} was found but does not provide the specified platform ({wanted})",
            hint=f"the archive has {image.what} for {found}",
        )


# ---- OCI layout ------------------------------------------------------------------------------


class _Layout:
    """index.json and what hangs on it."""

    def __init__(self, contents: ArchiveContents, wanted: Platform, *, asked: bool) -> None:
        self._contents = contents
        self._wanted = wanted
        self._asked = asked

    def images(self) -> list[ArchivedImage]:
        top = _decoded(self._contents.document(INDEX), Index, INDEX)
        groups: dict[str, list[IndexEntry]] = {}
        for entry in top.manifests:
            groups.setdefault(_name(entry), []).append(entry)
        found = [
            self._image(entry, name or "the archive", name)
            for name, entries in groups.items()
            for entry in self._chosen(tuple(entries), name or "the archive")
        ]
        return [image for image in found if image is not None]

    def _chosen(self, entries: tuple[IndexEntry, ...], what: str) -> Sequence[IndexEntry]:
        """Entries of one name: for several platforms the one that fits, else all of them."""
        platforms = {entry.platform for entry in entries}
        if len(entries) > 1 and len(platforms) == len(entries) and None not in platforms:
            return (self._choose(entries, what),)
        return entries

    def _choose(self, entries: tuple[IndexEntry, ...], what: str) -> IndexEntry:
        """Among those whose manifest is in the archive: a part of an index may have been saved."""
        there = [entry for entry in entries if self._contents.has(blob_path(entry.digest))]
        real = [entry for entry in there if not _is_attestation(entry)]
        if len(real) == 1 and not self._asked:
            return real[0]
        return choose(msgspec.json.encode(Index(manifests=tuple(real))), self._wanted, what)

    def _image(
        self, entry: IndexEntry, what: str, name: str, depth: int = 0
    ) -> ArchivedImage | None:
        """Follow indexes down to an image; None for what is no image (a signature, an SBOM)."""
        raw = self._contents.blob(entry.digest)
        if _is_index(entry, raw):
            if depth >= _DEEPEST:
                raise InvalidParameter(f"the index of {what} nests too deep")
            index = _decoded(raw, Index, f"index of {what}")
            image = self._image(self._choose(index.manifests, what), what, name, depth + 1)
            if image is None or depth:
                return image
            proved = self._proved(entry, image)
            return replace(
                proved, indexes=(*proved.indexes, self._index(raw, entry.media_type, named=True))
            )
        manifest = _decoded(raw, Manifest, f"manifest of {what}")
        if manifest.config.media_type not in _CONFIGS:
            return None
        image = self._of_manifest(ArchivedManifest(digest=entry.digest, raw=raw, manifest=manifest))
        image = self._proved(entry, replace(image, tags=_tags(name)))
        if self._asked:
            _check_platform(image, self._wanted)
        return image

    def _of_manifest(self, one: ArchivedManifest) -> ArchivedImage:
        raw = self._contents.blob(one.manifest.config.digest)
        config = _config(raw, one.manifest.config.digest)
        _check_count(one.manifest.layers, config)
        layers = tuple(blob_path(layer.digest) for layer in one.manifest.layers)
        return ArchivedImage(raw_config=raw, config=config, layers=layers, manifests=(one,))

    def with_manifests(self, image: ArchivedImage) -> ArchivedImage:
        """Add the manifests by which the archive's index knows an image of manifest.json."""
        top = _decoded(self._contents.document(INDEX), Index, INDEX)
        for entry in top.manifests:
            manifest = self._manifest(entry.digest)
            if manifest is not None and manifest.manifest.config.digest == image.id:
                image = replace(image, manifests=(*image.manifests, manifest))
                image = self._proved(entry, image)
        return image

    def _proved(self, entry: IndexEntry, image: ArchivedImage) -> ArchivedImage:
        """Add the digests that registries know the image by, as far as the archive proves them."""
        for name in _repo_digests(entry):
            found = self._proof(name.digest, image) if name.digest else None
            if found is None or name in image.digests:
                continue
            manifest, index = found
            image = replace(
                image,
                digests=(*image.digests, name),
                manifests=(manifest, *(one for one in image.manifests if one != manifest)),
                indexes=(*image.indexes, index) if index else image.indexes,
            )
        return image

    def _proof(
        self, digest: Digest, image: ArchivedImage
    ) -> tuple[ArchivedManifest, ArchivedIndex | None] | None:
        """The manifest of this image that a digest stands for, itself or by an index."""
        manifest = self._manifest(digest)
        if manifest is not None:
            return (manifest, None) if manifest.manifest.config.digest == image.id else None
        try:
            raw = self._contents.blob(digest)
            media_type = msgspec.json.decode(raw, type=Index).media_type
            index = self._index(raw, media_type or MediaType.OCI_INDEX, named=False)
        except (NotFound, DataLoss, InvalidParameter, msgspec.MsgspecError, RecursionError):
            return None
        own = [one for one in index.manifests if one.manifest.config.digest == image.id]
        return (own[0], index) if own else None

    def _index(self, raw: bytes, media_type: str, *, named: bool) -> ArchivedIndex:
        entries = _decoded(raw, Index, "index").manifests
        found = [manifest for one in entries if (manifest := self._manifest(one.digest))]
        return ArchivedIndex(
            raw=raw,
            media_type=media_type or MediaType.OCI_INDEX,
            named=named,
            manifests=tuple(found),
        )

    def _manifest(self, digest: Digest) -> ArchivedManifest | None:
        try:
            raw = self._contents.blob(digest)
            manifest = _decoded(raw, Manifest, "manifest")
        except (NotFound, DataLoss, InvalidParameter):
            return None
        return ArchivedManifest(digest=digest, raw=raw, manifest=manifest)


def _is_index(entry: IndexEntry, raw: bytes) -> bool:
    """By its media type; where the index names none (it must), by what it holds."""
    if entry.media_type:
        return entry.media_type in INDEXES
    return bool(_decoded(raw, Index, "index").manifests)


def _is_attestation(entry: IndexEntry) -> bool:
    return entry.platform is not None and entry.platform.os == "unknown"


def _name(entry: IndexEntry) -> str:
    annotations = entry.annotations or {}
    return annotations.get(CONTAINERD_NAME) or annotations.get(REF_NAME) or ""


def _tags(name: str) -> tuple[Reference, ...]:
    """The name as a tag; a text that can be none (skopeo takes any) leaves the image without."""
    try:
        reference = parse_reference(name).with_default_tag()
    except InvalidParameter:
        return ()
    return (replace(reference, digest=None),) if reference.tag else ()


def _repo_digests(entry: IndexEntry) -> tuple[Reference, ...]:
    text = (entry.annotations or {}).get(REPO_DIGESTS, "")
    found = []
    for name in filter(None, text.split(",")):
        try:
            reference = parse_reference(name)
        except InvalidParameter:
            continue
        if reference.digest:
            found.append(replace(reference, tag=None))
    return tuple(found)


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
