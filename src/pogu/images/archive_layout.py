"""Format: the OCI layout of an archive (image-layout.md): index.json and what hangs on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from pogu.errors import DataLoss, InvalidParameter, NotFound
from pogu.images.archive_contents import ArchiveContents
from pogu.images.archived import (
    ArchivedImage,
    ArchivedIndex,
    ArchivedManifest,
    check_count,
    check_platform,
    config_in,
    decoded,
)
from pogu.images.platform import IndexEntry, Platform, choose
from pogu.oci.archive import (
    CONTAINERD_NAME,
    INDEX,
    REF_NAME,
    REPO_DIGESTS,
    blob_path,
)
from pogu.oci.digest import Digest
from pogu.oci.image import Manifest, MediaType
from pogu.oci.index import INDEXES, Index
from pogu.oci.reference import Reference, parse_reference

__all__ = ["Layout"]

_CONFIGS = (MediaType.OCI_CONFIG, MediaType.DOCKER_CONFIG)
_DEEPEST = 4


class Layout:
    """Raises: InvalidParameter, NotFound, DataLoss."""

    def __init__(self, contents: ArchiveContents, wanted: Platform, *, asked: bool) -> None:
        self._contents = contents
        self._wanted = wanted
        self._asked = asked

    def images(self) -> list[ArchivedImage]:
        top = decoded(self._contents.document(INDEX), Index, INDEX)
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
            index = decoded(raw, Index, f"index of {what}")
            image = self._image(self._choose(index.manifests, what), what, name, depth + 1)
            if image is None or depth:
                return image
            proved = self._proved(entry, image)
            return replace(
                proved, indexes=(*proved.indexes, self._index(raw, entry.media_type, named=True))
            )
        manifest = decoded(raw, Manifest, f"manifest of {what}")
        if manifest.config.media_type not in _CONFIGS:
            return None
        image = self._of_manifest(ArchivedManifest(digest=entry.digest, raw=raw, manifest=manifest))
        image = self._proved(entry, replace(image, tags=_tags(name)))
        if self._asked:
            check_platform(image, self._wanted)
        return image

    def _of_manifest(self, one: ArchivedManifest) -> ArchivedImage:
        raw = self._contents.blob(one.manifest.config.digest)
        config = config_in(raw, one.manifest.config.digest)
        check_count(one.manifest.layers, config)
        layers = tuple(blob_path(layer.digest) for layer in one.manifest.layers)
        return ArchivedImage(raw_config=raw, config=config, layers=layers, manifests=(one,))

    def with_manifests(self, image: ArchivedImage) -> ArchivedImage:
        """Add the manifests by which the archive's index knows an image of manifest.json."""
        top = decoded(self._contents.document(INDEX), Index, INDEX)
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
        entries = decoded(raw, Index, "index").manifests
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
            manifest = decoded(raw, Manifest, "manifest")
        except (NotFound, DataLoss, InvalidParameter):
            return None
        return ArchivedManifest(digest=digest, raw=raw, manifest=manifest)


def _is_index(entry: IndexEntry, raw: bytes) -> bool:
    """By its media type; where the index names none (it must), by what it holds."""
    if entry.media_type:
        return entry.media_type in INDEXES
    return bool(decoded(raw, Index, "index").manifests)


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
