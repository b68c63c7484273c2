"""Service: save: images as one tar that docker, podman, skopeo, umoci and Pogu read.

`docker-archive`: an OCI layout that is a docker-archive too, as Docker writes it since 25, layers
uncompressed. `oci-archive`: the layout alone; an image whose blobs came from a registry goes out
with its own manifest and its layers as they came, so its digest stays.

What is written first says what follows: a reader knows the images before the layers come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pogu.errors import DataLoss, InvalidParameter, NotFound
from pogu.images.archive_writer import Blob, Member, Sink, archive_bytes, compressing, write_archive
from pogu.images.image import Image
from pogu.images.platform import fits, parse_platform, platform_of
from pogu.images.provenance import Provenance, StoredManifest
from pogu.images.store import ImageStore
from pogu.linux.blocking import in_thread
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
from pogu.oci.reference import Reference, parse_reference
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import Layer, LayerStore

__all__ = ["FORMATS", "Archive", "SaveRequest", "Saver"]

FORMATS = ("docker-archive", "oci-archive")
_BLOCK = 1 << 20


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


class Saver:
    """Plans archives; `Archive.write` does the work in the caller's thread."""

    def __init__(
        self, *, images: ImageStore, layers: LayerStore, blobs: BlobStore, provenance: Provenance
    ) -> None:
        self._images = images
        self._layers = layers
        self._blobs = blobs
        self._provenance = provenance

    async def plan(self, request: SaveRequest) -> Archive:
        """Find everything and its sizes.

        Raises: NotFound("No such image: …"), or when an image is for another platform;
        InvalidParameter.
        """
        if request.format not in FORMATS:
            raise InvalidParameter(
                f"unknown format: {request.format!r}", hint=f"one of {', '.join(FORMATS)}"
            )
        with compressing(_Nowhere(), request.compression):
            pass
        chosen = self._chosen(request)
        left_out = self._left_out(request)
        return await in_thread(self._plan, request, chosen, left_out)

    def _plan(
        self, request: SaveRequest, chosen: Sequence[_Chosen], left_out: frozenset[DiffId]
    ) -> Archive:
        drawing = _Drawing(self, request, left_out)
        for one in chosen:
            drawing.add(one)
        return drawing.archive()

    def inventory(self) -> list[DiffId]:
        """Diff IDs of every layer that an image here has: what another side need not send."""
        tops = {image.top_layer for image in self._images.all()}
        return sorted({layer.diff_id for top in tops for layer in self._layers.chain(top)})

    # ---- what is asked for ----------------------------------------------------------------

    def _chosen(self, request: SaveRequest) -> list[_Chosen]:
        """Each image once, with the tags that were asked for, in the order of the names."""
        if not request.names:
            raise InvalidParameter("at least one image is needed", hint="pogu save IMAGE…")
        found: dict[Digest, tuple[Image, list[Reference]]] = {}
        for name in request.names:
            for image, tag in self._named(name):
                _check_platform(image, request.platform)
                tags = found.setdefault(image.id, (image, []))[1]
                if tag is not None and tag not in tags:
                    tags.append(tag)
        return [_Chosen(image=image, tags=tuple(tags)) for image, tags in found.values()]

    def _named(self, name: str) -> list[tuple[Image, Reference | None]]:
        """As Docker: a tag is that tag, a name without one all tags of its repository, an ID an
        image without a name."""
        image = self._images.resolve(name) if name.startswith("sha256:") else None
        if image is not None:
            return [(image, None)]
        reference = parse_reference(name)
        if reference.tag is None and reference.digest is None:
            named = [
                (image, tag)
                for image in self._images.all()
                for tag in image.tags
                if tag.repository == reference.repository
            ]
            if named:
                return sorted(named, key=lambda one: str(one[1]))
        image = self._images.resolve(name)
        tag = reference if reference.tag and not reference.digest else None
        return [(image, tag if tag in image.tags else None)]

    def _left_out(self, request: SaveRequest) -> frozenset[DiffId]:
        """Diff IDs that the other side has."""
        known = {DiffId(one) for one in request.inventory}
        for name in request.since:
            known.update(self._images.resolve(name).config.rootfs.diff_ids)
        return frozenset(known)

    # ---- contents -------------------------------------------------------------------------

    def layer_member(self, layer: Layer) -> Member:
        """The layer's uncompressed tar. Slow for layers whose length is not known yet.

        Raises: DataLoss when it is gone; what else is damaged shows when it is written.
        """
        if not layer.path.is_dir():
            raise DataLoss(
                f"{layer.diff_id} is damaged on disk: its directory is missing",
                hint="pogu system check --repair, or pull or build the image again",
            )
        return Member(
            name=blob_path(Digest(layer.diff_id)),
            size=self._layers.tar_bytes(layer),
            content=Blob(
                digest=Digest(layer.diff_id),
                write_to=lambda out: self._layers.write_tar(layer.chain_id, out),
            ),
        )

    def blob_member(self, digest: Digest) -> Member:
        """A blob of the store as it is."""
        path = self._blobs.path(digest)
        return Member(
            name=blob_path(digest),
            size=path.stat().st_size,
            content=Blob(digest=digest, write_to=lambda out: _copy(path, out)),
        )

    def layers_of(self, image: Image) -> list[Layer]:
        return self._layers.chain(image.top_layer)

    def original(self, image: Image) -> tuple[bytes, str, Manifest] | None:
        """The latest manifest by which a registry knows the image, if all of its layers can be
        given out as they came."""
        for stored in self._provenance.manifests(image.id):
            if not self._blobs.has(stored.digest):
                continue
            raw = self._blobs.read(stored.digest)
            manifest = msgspec.json.decode(raw, type=Manifest)
            layers = zip(manifest.layers, image.config.rootfs.diff_ids, strict=True)
            if all(
                _is_plain(one, diff_id) or self._blobs.has(one.digest) for one, diff_id in layers
            ):
                return raw, stored.media_type, manifest
        return None

    def manifests_of(self, image: Image) -> list[StoredManifest]:
        return self._provenance.manifests(image.id)

    def manifest_of(self, digest: Digest | None) -> bytes | None:
        """A manifest that a registry gave, if it is still here."""
        return self._blobs.read(digest) if digest and self._blobs.has(digest) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    image: Image
    tags: tuple[Reference, ...]


class _Drawing:
    """An archive that is being planned."""

    def __init__(self, saver: Saver, request: SaveRequest, left_out: frozenset[DiffId]) -> None:
        self._saver = saver
        self._request = request
        self._left_out = left_out
        self._docker = request.format == FORMATS[0]
        self._blobs: dict[str, Member] = {}
        self._entries: list[IndexEntry] = []
        self._images: list[DockerImage] = []
        self._repositories: dict[str, dict[str, str]] = {}
        self._skipped: set[DiffId] = set()

    def add(self, one: _Chosen) -> None:
        layers = self._saver.layers_of(one.image)
        original = None if self._docker else self._saver.original(one.image)
        config = self._document(one.image.raw_config)
        if original is None:
            self._plain(one, config, layers)
        else:
            raw, media_type, manifest = original
            self._manifest(one, raw, media_type)
            for descriptor, layer in zip(manifest.layers, layers, strict=True):
                plain = _is_plain(descriptor, layer.diff_id)
                self._layer(layer, None if plain else descriptor)
        if self._docker:
            self._docker_image(one, config, layers)

    def _plain(self, one: _Chosen, config: Member, layers: Sequence[Layer]) -> None:
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
            member = self._saver.layer_member(layer)
            form = Descriptor(
                media_type=MediaType.OCI_LAYER, digest=Digest(layer.diff_id), size=member.size
            )
        else:
            member = self._saver.blob_member(form.digest)
        if layer.diff_id in self._left_out:
            self._skipped.add(layer.diff_id)
        else:
            self._blobs.setdefault(member.name, member)
        return form

    def _manifest(self, one: _Chosen, raw: bytes, media_type: str) -> None:
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

    def _annotations(self, one: _Chosen, tag: Reference | None) -> dict[str, str]:
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
        named = [name for name in image.repo_digests if self._saver.manifest_of(name.digest)]
        stored = [one.digest for one in self._saver.manifests_of(image)] if named else []
        for digest in [*(name.digest for name in named), *stored]:
            raw = self._saver.manifest_of(digest)
            if raw is not None:
                self._document(raw)
        return [str(name) for name in named]

    def _docker_image(self, one: _Chosen, config: Member, layers: Sequence[Layer]) -> None:
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


class _Nowhere:
    def write(self, _data: bytes) -> None:
        return


def _copy(path: Path, out: Sink) -> None:
    with path.open("rb") as file:
        while data := file.read(_BLOCK):
            out.write(data)


def _is_plain(descriptor: Descriptor, diff_id: DiffId) -> bool:
    """True for a layer that a manifest names uncompressed."""
    return descriptor.digest == Digest(diff_id)


def _index_json(index: Index) -> bytes:
    """With the version, which a reader wants to see although it never changes."""
    return msgspec.json.encode({"schemaVersion": 2, **msgspec.to_builtins(index)})


def _check_platform(image: Image, asked: str) -> None:
    if not asked:
        return
    wanted = parse_platform(asked)
    found = platform_of(image.config)
    if not fits(found, wanted):
        name = image.familiar_tags[0] if image.tags else image.id
        raise NotFound(
            f"image with reference {name} was found but does not provide the specified platform"
            f" ({wanted})",
            hint=f"what is here is for {found}",
        )
