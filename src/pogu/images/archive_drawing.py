"""Service: draws an archive: which members it has, in which order, and what its documents say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from pogu.images.archive_sources import ArchiveSources, is_plain
from pogu.images.archive_writer import Blob, Member, Sink, archive_bytes, compressing, write_archive
from pogu.images.image import Image
from pogu.images.platform import platform_of
from pogu.oci.archive import (
    BLOBS,
    CONTAINERD_NAME,
    INDEX,
    LAYOUT,
    LAYOUT_TEXT,
    MANIFEST,
    REF_NAME,
    REPO_DIGESTS,
    REPOSITORIES,
    SINCE,
    DockerImage,
    blob_path,
)
from pogu.oci.digest import DiffId, Digest, sha256_digest
from pogu.oci.image import Descriptor, Manifest, MediaType
from pogu.oci.index import Index, IndexEntry
from pogu.oci.reference import Reference
from pogu.storage.layers import Layer

__all__ = ["FORMATS", "Archive", "Chosen", "Drawing", "SaveRequest"]

FORMATS = ("docker-archive", "oci-archive")


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveRequest:
    """What is to be saved, and how. `since` are images here, `inventory` diff IDs of layers: both
    name what the reader has already."""

    names: tuple[str, ...]
    format: str = FORMATS[0]
    platform: str = ""
    since: tuple[str, ...] = ()
    inventory: tuple[str, ...] = ()
    compression: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An archive that is ready to be written. Valid while the images are held."""

    members: tuple[Member, ...]
    compression: str
    left_out: int
    """How many layers the reader must have."""

    @property
    def size_bytes(self) -> int | None:
        """None when nobody knows before it is compressed."""
        return archive_bytes(self.members) if self.compression in ("", "none") else None

    def write(self, out: Sink) -> None:
        """Slow. Raises: DataLoss where a layer is damaged on disk."""
        with compressing(out, self.compression) as sink:
            write_archive(self.members, sink)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """An image, and under which of its names it goes out."""

    image: Image
    tags: tuple[Reference, ...]


class Drawing:
    """An archive that is being planned."""

    def __init__(
        self, sources: ArchiveSources, request: SaveRequest, left_out: frozenset[DiffId]
    ) -> None:
        self._sources = sources
        self._request = request
        self._left_out = left_out
        self._docker = request.format == FORMATS[0]
        self._blobs: dict[str, Member] = {}
        self._entries: list[IndexEntry] = []
        self._images: list[DockerImage] = []
        self._repositories: dict[str, dict[str, str]] = {}
        self._skipped: set[DiffId] = set()

    def add(self, one: Chosen) -> None:
        layers = self._sources.layers_of(one.image)
        original = None if self._docker else self._sources.original(one.image)
        config = self._document(one.image.raw_config)
        if original is None:
            self._plain(one, config, layers)
        else:
            raw, media_type, manifest = original
            self._manifest(one, raw, media_type)
            for descriptor, layer in zip(manifest.layers, layers, strict=True):
                plain = is_plain(descriptor, layer.diff_id)
                self._layer(layer, None if plain else descriptor)
        if self._docker:
            self._docker_image(one, config, layers)

    def _plain(self, one: Chosen, config: Member, layers: Sequence[Layer]) -> None:
        """A manifest of our own, over uncompressed layers."""
        descriptors = [self._layer(layer, None) for layer in layers]
        manifest = Manifest(
            media_type=MediaType.OCI_MANIFEST,
            config=Descriptor(
                media_type=MediaType.OCI_CONFIG, digest=one.image.id, size=config.size
            ),
            layers=tuple(descriptors),
        )
        self._manifest(one, msgspec.json.encode(manifest), MediaType.OCI_MANIFEST)

    def _document(self, raw: bytes) -> Member:
        name = blob_path(sha256_digest(raw))
        return self._blobs.setdefault(name, Member(name=name, size=len(raw), content=raw))

    def _layer(self, layer: Layer, form: Descriptor | None) -> Descriptor:
        if form is None:
            member = self._sources.layer_member(layer)
            form = Descriptor(
                media_type=MediaType.OCI_LAYER, digest=Digest(layer.diff_id), size=member.size
            )
        else:
            member = self._sources.blob_member(form.digest)
        if layer.diff_id in self._left_out:
            self._skipped.add(layer.diff_id)
        else:
            self._blobs.setdefault(member.name, member)
        return form

    def _manifest(self, one: Chosen, raw: bytes, media_type: str) -> None:
        """Enter it once for each name, as Docker and Podman do."""
        self._document(raw)
        for tag in one.tags or (None,):
            self._entries.append(
                IndexEntry(
                    media_type=media_type,
                    digest=sha256_digest(raw),
                    size=len(raw),
                    annotations=self._annotations(one, tag) or None,
                    platform=platform_of(one.image.config),
                )
            )

    def _annotations(self, one: Chosen, tag: Reference | None) -> dict[str, str]:
        annotations = {}
        if tag is not None:
            ref_name = tag.tag if self._docker else str(tag)
            annotations = {CONTAINERD_NAME: str(tag), REF_NAME: ref_name or ""}
        known = self._repo_digests(one.image)
        if known:
            annotations[REPO_DIGESTS] = ",".join(known)
        return annotations

    def _repo_digests(self, image: Image) -> list[str]:
        """Enter the manifests that prove under which digests registries know the image."""
        named = [name for name in image.repo_digests if self._sources.manifest_of(name.digest)]
        stored = [one.digest for one in self._sources.manifests_of(image)] if named else []
        for digest in [*(name.digest for name in named), *stored]:
            raw = self._sources.manifest_of(digest)
            if raw is not None:
                self._document(raw)
        return [str(name) for name in named]

    def _docker_image(self, one: Chosen, config: Member, layers: Sequence[Layer]) -> None:
        paths = tuple(blob_path(Digest(layer.diff_id)) for layer in layers)
        tags = tuple(tag.familiar for tag in one.tags)
        self._images.append(
            DockerImage(config=config.name, repo_tags=tags or None, layers=paths or None)
        )
        for tag in one.tags if layers else ():
            known = self._repositories.setdefault(tag.familiar_repository, {})
            known[tag.tag or ""] = layers[-1].diff_id.removeprefix("sha256:")

    def archive(self) -> Archive:
        """Documents first, then the blobs: small ones before layers, layers bottom first."""
        blobs = sorted(self._blobs.values(), key=lambda one: isinstance(one.content, Blob))
        return Archive(
            members=(*self._documents(), Member(name="blobs/"), Member(name=f"{BLOBS}/"), *blobs),
            compression=self._request.compression,
            left_out=len(self._skipped),
        )

    def _documents(self) -> list[Member]:
        since = ", ".join(self._request.since) or "what an inventory lists"
        index = Index(
            media_type=MediaType.OCI_INDEX,
            manifests=tuple(self._entries),
            annotations={SINCE: since} if self._skipped else None,
        )
        documents = [(LAYOUT, LAYOUT_TEXT), (INDEX, _index_json(index))]
        if self._docker:
            documents.append((MANIFEST, msgspec.json.encode(self._images)))
        if self._repositories:
            documents.append((REPOSITORIES, msgspec.json.encode(self._repositories)))
        return [Member(name=name, size=len(raw), content=raw) for name, raw in documents]


def _index_json(index: Index) -> bytes:
    """With the version, which a reader wants to see although it never changes."""
    return msgspec.json.encode({"schemaVersion": 2, **msgspec.to_builtins(index)})
