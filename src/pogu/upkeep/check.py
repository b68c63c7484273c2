"""Service: `system check`: is all that is stored what its digests say? Changes nothing.

Every blob against its digest, every layer against its diff ID, rows and directories against each
other both ways. What comes and goes while it looks (a pull, a removal) is no finding.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from enum import StrEnum

from pogu.build.service import Builder
from pogu.config import Paths
from pogu.containers.model import Container, image_layers
from pogu.containers.service import Containers
from pogu.db import Database
from pogu.images.image import Image, short_id
from pogu.images.indexes import Indexes
from pogu.images.provenance import Provenance
from pogu.images.store import ImageStore
from pogu.linux.blocking import in_thread
from pogu.oci.digest import ChainId, Digest, sha256_digest
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import Layer, LayerStore
from pogu.storage.verify import layer_damage
from pogu.volumes.service import Volumes

__all__ = ["Checker", "Finding", "Kind", "Progress"]

_WORK = ("layer-", "removed-", "blob-", "build-", "volume-")


class Kind(StrEnum):
    """What a finding is about."""

    DATABASE = "database"
    BLOB = "blob"
    LAYER = "layer"
    IMAGE = "image"
    CONTAINER = "container"
    VOLUME = "volume"
    LEFTOVER = "leftover"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong. `harmless`: it only takes space."""

    kind: Kind
    subject: str
    problem: str
    meaning: str
    mend: str
    harmless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the check is: `done` of `total` bytes (about) of blobs and layers."""

    what: str
    done: int
    total: int


class Checker:
    """Async; the reading goes on in threads, one at a time."""

    def __init__(
        self,
        *,
        paths: Paths,
        db: Database,
        blobs: BlobStore,
        layers: LayerStore,
        images: ImageStore,
        indexes: Indexes,
        provenance: Provenance,
        containers: Containers,
        volumes: Volumes,
        builder: Builder,
    ) -> None:
        self._paths = paths
        self._db = db
        self._blobs = blobs
        self._layers = layers
        self._images = images
        self._indexes = indexes
        self._provenance = provenance
        self._containers = containers
        self._volumes = volumes
        self._builder = builder

    async def check(self, *, quick: bool = False) -> AsyncIterator[Finding | Progress]:
        """Yield what is wrong, and how far it is. `quick` compares names and sizes only."""
        for finding in await in_thread(lambda: list(self._database())):
            yield finding
        async for found in self._contents(quick=quick):
            yield found
        for finding in [*self._broken_images(), *self._manifests()]:
            yield finding
        for finding in await in_thread(lambda: list(self._directories())):
            yield finding
        if not self._busy():
            with self._images.rehearsal() as rehearsal:
                unneeded = rehearsal.unneeded_blobs()
            for finding in self._leftovers(unneeded - {one.id for one in self._images.all()}):
                yield finding

    def _busy(self) -> bool:
        return self._images.held or self._builder.running > 0

    # ---- the database --------------------------------------------------------------------

    def _database(self) -> Iterator[Finding]:
        rows = self._db.query("PRAGMA quick_check")
        for row in rows:
            if row[0] != "ok":
                yield Finding(
                    kind=Kind.DATABASE,
                    subject=str(self._paths.database),
                    problem=str(row[0]),
                    meaning="what the engine knows of images and containers may be lost",
                    mend="stop the engine and put a copy of state.db in its place",
                )

    # ---- blobs and layers ----------------------------------------------------------------

    async def _contents(self, *, quick: bool) -> AsyncIterator[Finding | Progress]:
        blobs, layers = await in_thread(self._blobs.all), self._layers.all()
        sizes = {one.digest: one.size_bytes for one in self._provenance.recorded_layers()}
        on_disk = {digest: self._blobs.size_bytes(digest) for digest in blobs}
        total = sum(on_disk.values()) + sum(layer.size_bytes for layer in layers)
        done = 0
        for digest in blobs:
            yield Progress(what=f"blob {short_id(digest)}", done=done, total=total)
            problem = await self._blob_problem(digest, sizes.get(digest), quick=quick)
            if problem and self._blobs.has(digest):
                yield self.of_blob(digest, problem)
            done += on_disk[digest]
        for layer in layers:
            yield Progress(what=f"layer {layer.short_id}", done=done, total=total)
            for problem in await self._layer_problems(layer, quick=quick):
                if self._layers.has(layer.chain_id):
                    yield self.of_layer(layer, problem)
            done += layer.size_bytes
        yield Progress(what="", done=total, total=total)

    async def _blob_problem(self, digest: Digest, size: int | None, *, quick: bool) -> str:
        there = self._blobs.size_bytes(digest)
        if size is not None and there != size:
            return f"it has {there} bytes, not {size}"
        if quick or await in_thread(self._blobs.is_whole, digest):
            return ""
        return "its content is not what its digest says"

    async def _layer_problems(self, layer: Layer, *, quick: bool) -> list[str]:
        if quick:
            return [] if layer.path.is_dir() else ["its directory is missing"]
        return (await in_thread(layer_damage, layer))[:1]

    def of_blob(self, digest: Digest, problem: str) -> Finding:
        return Finding(
            kind=Kind.BLOB,
            subject=digest,
            problem=problem,
            meaning="images here run on, but it cannot be pushed or saved",
            mend=self._mend(self._origins(digest)),
        )

    def of_layer(self, layer: Layer, problem: str) -> Finding:
        names = [_name(image) for image in self.images_on(layer.chain_id)]
        users = [one.name for one in self.containers_on(layer.chain_id)]
        whose = f"images {', '.join(names[:4])}" if names else "the build cache"
        also = f" and containers {', '.join(users[:4])}" if users else ""
        origins = [
            origin
            for form in self._provenance.layer(layer.diff_id)
            for origin in (
                ["its blob here"] if self._blobs.has(form.digest) else self._origins(form.digest)
            )
        ]
        return Finding(
            kind=Kind.LAYER,
            subject=layer.chain_id,
            problem=problem,
            meaning=f"{whose}{also} see damaged files",
            mend=self._mend(origins, otherwise="removes what stands on it; build it again then"),
        )

    def _origins(self, digest: Digest) -> list[str]:
        return self._provenance.origins(digest)

    def _mend(self, origins: list[str], otherwise: str = "removes it") -> str:
        how = f"gets it again from {origins[0]}" if origins else otherwise
        return f"`pogu system check --repair` {how}"

    # ---- who stands on a layer -------------------------------------------------------------

    def images_on(self, chain_id: ChainId) -> list[Image]:
        """The images that have a layer, newest first."""
        return [one for one in self._images.all() if self._stands_on(one.top_layer, chain_id)]

    def containers_on(self, chain_id: ChainId) -> list[ContainerUse]:
        """The containers that stand on a layer."""
        return [
            ContainerUse(name=one.name, running=one.state.status in ("running", "paused"))
            for one in self._containers.all()
            if any(self._stands_on(top, chain_id) for top in _tops(one))
        ]

    def _stands_on(self, top: ChainId | None, chain_id: ChainId) -> bool:
        if top is None or not self._layers.has(top):
            return False
        return any(layer.chain_id == chain_id for layer in self._layers.chain(top))

    # ---- rows ----------------------------------------------------------------------------

    def _broken_images(self) -> Iterator[Finding]:
        for image_id, why, names in self._images.broken():
            called = ", ".join(name.familiar for name in names[:4]) or short_id(image_id)
            known = [name.familiar for name in names if name.digest]
            yield Finding(
                kind=Kind.IMAGE,
                subject=image_id,
                problem=f"{called}: {why}",
                meaning="it is not shown and cannot be run",
                mend=self._mend(known, otherwise="forgets it; pull or build it again"),
            )
        for image in self._images.all():
            if sha256_digest(image.raw_config) != image.id:
                yield Finding(
                    kind=Kind.IMAGE,
                    subject=image.id,
                    problem=f"{_name(image)}: its config is not what its ID says",
                    meaning="it may run with other settings than it was made with",
                    mend=self._mend([], otherwise="forgets it; pull or build it again"),
                )

    def _manifests(self) -> Iterator[Finding]:
        recorded = [*self._provenance.recorded_manifests(), *self._indexes.all()]
        for digest in recorded:
            if not self._blobs.has(digest):
                yield Finding(
                    kind=Kind.BLOB,
                    subject=digest,
                    problem="a manifest that is recorded is missing",
                    meaning="its image gets another digest when it is pushed",
                    mend=self._mend(self.places_of_manifest(digest)),
                )

    def places_of_manifest(self, digest: Digest) -> list[str]:
        """Repositories that have a manifest, as its images are called there."""
        found = {
            name.repository: None
            for image in self._images.all()
            for name in image.repo_digests
            if name.digest == digest or self._provenance.image_of(digest) == image.id
        }
        return list(found)

    # ---- directories -----------------------------------------------------------------------

    def _directories(self) -> Iterator[Finding]:
        for name in self._layers.unnamed():
            yield _leftover(f"layers/{name}", "a layer that no row names")
        containers = {one.id: one for one in self._containers.all()}
        for container in containers.values():
            upper = self._paths.containers / container.id / "upper"
            if not upper.is_dir():
                yield Finding(
                    kind=Kind.CONTAINER,
                    subject=container.id,
                    problem=f"{container.name}: its writable layer is missing",
                    meaning="what it wrote is lost; it does not start",
                    mend=f"`pogu rm {container.name}`, and run it again from its image",
                )
            if not all(map(self._layers.has, _tops(container))):
                yield Finding(
                    kind=Kind.CONTAINER,
                    subject=container.id,
                    problem=f"{container.name}: a layer that it stands on is lost",
                    meaning="it does not start; what it wrote is still there",
                    mend=f"pull or build {container.record.image_name} again",
                )
        for volume in self._volumes.all():
            if not volume.path.is_dir():
                yield Finding(
                    kind=Kind.VOLUME,
                    subject=volume.name,
                    problem="its directory is missing",
                    meaning="its data is lost; containers that use it do not start",
                    mend=f"put {volume.path} back, or `pogu volume rm {volume.name}`",
                )

    def _leftovers(self, unneeded: set[Digest]) -> list[Finding]:
        found = [
            _leftover(f"blobs/sha256/{digest.removeprefix('sha256:')}", "a blob nothing needs")
            for digest in sorted(unneeded)
        ]
        return found + [
            _leftover(f"tmp/{entry.name}", "unfinished work of an engine that was killed")
            for entry in os.scandir(self._paths.tmp)
            if entry.name.startswith(_WORK)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerUse:
    """A container that stands on a layer."""

    name: str
    running: bool


def _leftover(path: str, what: str) -> Finding:
    return Finding(
        kind=Kind.LEFTOVER,
        subject=path,
        problem=what,
        meaning="it only takes space",
        mend="`pogu system check --repair` removes it",
        harmless=True,
    )


def _name(image: Image) -> str:
    return (image.familiar_tags or [short_id(image.id)])[0]


def _tops(container: Container) -> set[ChainId]:
    """The top layers of its own image and of those that it has mounted."""
    own = container.record.top_layer
    return image_layers(container.record.mounts) | ({own} if own is not None else set())
