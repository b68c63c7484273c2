"""Service: load: images out of an archive that `save` wrote, here or elsewhere.

One pass over the archive (`archive_contents.py`) unpacks what is not here; then the documents say
which images there are (`archive_plan.py`); everything is checked before the first layer is
committed. A kill in between leaves drafts, which the next start sweeps.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO

from pogu.config import Paths
from pogu.errors import DataLoss, InvalidParameter, NotFound
from pogu.events import EventBus
from pogu.images.archive_contents import ArchiveContents, ArchivedLayer
from pogu.images.archive_plan import images_of, saved_since
from pogu.images.archive_reading import read_archive
from pogu.images.archived import ArchivedImage, ArchivedIndex, ArchivedManifest
from pogu.images.image import Image, short_id
from pogu.images.indexes import Indexes
from pogu.images.platform import parse_platform
from pogu.images.progress import TransferEvent
from pogu.images.provenance import LayerBlob, Provenance
from pogu.images.removal import publish_image_event
from pogu.images.store import ImageStore
from pogu.images.verification import Verification
from pogu.linux.blocking import in_own_thread, in_thread, in_thread_to_end
from pogu.oci.archive import INDEX, MANIFEST, blob_path, digest_in
from pogu.oci.digest import ChainId, DiffId, Digest, chain_ids
from pogu.oci.reference import Reference
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import LayerStore

__all__ = ["Loaded", "Loader"]

_TRANSPORTS = {MANIFEST: "docker-archive", INDEX: "oci-archive"}
"""As what the policy judges an archive."""

Emit = Callable[[TransferEvent], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """One image that is here now; `replaced` are the images that lost a tag to it."""

    image: Image
    tags: tuple[Reference, ...]
    replaced: tuple[tuple[Reference, Digest], ...]


class Loader:
    """Async; several loads may run at once."""

    def __init__(
        self,
        *,
        paths: Paths,
        events: EventBus,
        images: ImageStore,
        layers: LayerStore,
        blobs: BlobStore,
        provenance: Provenance,
        indexes: Indexes,
        verification: Verification,
    ) -> None:
        self._paths = paths
        self._events = events
        self._images = images
        self._layers = layers
        self._blobs = blobs
        self._provenance = provenance
        self._indexes = indexes
        self._verification = verification

    async def load(
        self, source: BinaryIO, *, platform: str = "", emit: Emit | None = None
    ) -> list[Loaded]:
        """Load every image of an archive, docker-archive or OCI layout, compressed or not.

        Raises: InvalidParameter in Docker's words when it is none; NotFound when a layer is
        neither in it nor here, or it lacks the platform; DataLoss when content is not what its
        digest says; RejectedByPolicy. Nothing is left behind then.
        """
        wanted = parse_platform(platform)
        self._verification.check_archive(*_TRANSPORTS.values())
        async with self._images.hold():
            contents = await self._read(source, emit)
            try:
                images = images_of(contents, wanted, asked=bool(platform))
                kind = MANIFEST if contents.has(MANIFEST) else INDEX
                self._verification.check_archive(_TRANSPORTS[kind])
                for image in images:
                    self._check(contents, image)
                return [await self._make(contents, image) for image in images]
            finally:
                await asyncio.shield(in_thread(contents.discard, self._layers))

    async def _read(self, source: BinaryIO, emit: Emit | None) -> ArchiveContents:
        async with _progress(emit) as progress:
            return await in_own_thread(
                read_archive,
                source,
                self._layers,
                self._paths,
                here=self._known_layers(),
                stored=self._blobs.has,
                progress=progress,
            )

    def _known_layers(self) -> dict[Digest, DiffId]:
        """Diff IDs of the layers that are here, by their own and by their blobs' digests."""
        diff_ids = {layer.diff_id for layer in self._layers.all()}
        known = {Digest(diff_id): diff_id for diff_id in diff_ids}
        for blob in self._provenance.layers():
            if blob.diff_id in diff_ids:
                known[blob.digest] = blob.diff_id
        return known

    # ---- checks, before anything is made --------------------------------------------------

    def _check(self, contents: ArchiveContents, image: ArchivedImage) -> None:
        if image.config.os not in ("", "linux"):
            raise InvalidParameter(f"cannot load {image.config.os} image on linux")
        here = {layer.diff_id for layer in self._layers.all()}
        diff_ids = image.config.rootfs.diff_ids
        for number, (path, diff_id) in enumerate(zip(image.layers, diff_ids, strict=True)):
            if self._layers.has(chain_ids(diff_ids)[number]):
                continue
            layer = contents.layer(path)
            if layer is None and diff_id not in here:
                raise _missing(contents, image, diff_id)
            if layer is not None and layer.diff_id != diff_id:
                raise DataLoss(
                    f'invalid diffID for layer {number}: expected "{diff_id}", got'
                    f' "{layer.diff_id}"',
                    hint="the archive is damaged, or its config belongs to another image",
                )

    # ---- making ---------------------------------------------------------------------------

    async def _make(self, contents: ArchiveContents, image: ArchivedImage) -> Loaded:
        parent: ChainId | None = None
        for path, diff_id in zip(image.layers, image.config.rootfs.diff_ids, strict=True):
            parent = await self._layer(contents.layer(path), diff_id, parent)
        for manifest in image.manifests:
            await self._keep_manifest(contents, manifest, image.config.rootfs.diff_ids)
        made = await self._images.create_raw(image.raw_config, image.config)
        for manifest in image.manifests:
            if self._blobs.has(manifest.digest):
                media_type = manifest.manifest.media_type
                self._provenance.add_manifest(manifest.digest, made.id, media_type)
        replaced = []
        for tag in image.tags:
            before = self._images.find(tag)
            if before is not None and before.id != made.id:
                replaced.append((tag, before.id))
            self._images.tag(made.id, tag)
        for name in image.digests:
            self._images.add_digest(made.id, name)
        for index in image.indexes:
            await self._keep_index(contents, index, image)
        made = self._images.get(made.id)
        publish_image_event(self._events, "load", made, made.id)
        return Loaded(image=made, tags=image.tags, replaced=tuple(replaced))

    async def _layer(
        self, layer: ArchivedLayer | None, diff_id: DiffId, parent: ChainId | None
    ) -> ChainId:
        """Make the layer over `parent`, unless it is there."""
        own = chain_ids([DiffId(parent), diff_id])[-1] if parent else ChainId(diff_id)
        if self._layers.has(own):
            return own
        if layer is not None and layer.unpacked is not None:
            unpacked, layer.unpacked = layer.unpacked, None
            await in_thread_to_end(self._layers.commit_unpacked, unpacked, parent=parent)
        else:
            await in_thread_to_end(self._again, diff_id, parent)
        return own

    def _again(self, diff_id: DiffId, parent: ChainId | None) -> None:
        """A layer that is here over another parent: unpack it once more. Slow."""
        there = next(layer for layer in self._layers.all() if layer.diff_id == diff_id)
        with tempfile.TemporaryFile(dir=self._paths.tmp) as file:
            self._layers.write_tar(there.chain_id, file)
            file.seek(0)
            self._layers.commit_tar(file, parent=parent, expected=diff_id)

    async def _keep_manifest(
        self,
        contents: ArchiveContents,
        manifest: ArchivedManifest,
        diff_ids: Sequence[DiffId] | None = None,
    ) -> None:
        """Keep a manifest, and the compressed layers it names as they came, for push and save."""
        for number, descriptor in enumerate(manifest.manifest.layers):
            layer = contents.layer(blob_path(descriptor.digest))
            if layer is None or layer.blob is None:
                continue
            path, layer.blob = layer.blob, None
            await in_thread_to_end(self._blobs.adopt, path, descriptor.digest)
            if diff_ids and diff_ids[number] == layer.diff_id:
                self._provenance.add_layer(
                    LayerBlob(
                        digest=descriptor.digest,
                        diff_id=layer.diff_id,
                        media_type=descriptor.media_type,
                        size_bytes=layer.blob_bytes,
                    )
                )
        await in_thread(self._blobs.write, manifest.raw)

    async def _keep_index(
        self, contents: ArchiveContents, index: ArchivedIndex, image: ArchivedImage
    ) -> None:
        """Keep an index; one that the archive names with what there is of other platforms."""
        if not index.named:
            await self._indexes.keep(index.raw, index.media_type)
            return
        for tag in image.tags:
            await self._indexes.keep(index.raw, index.media_type, name=tag)
        for manifest in index.manifests if image.tags else ():
            await self._keep_manifest(contents, manifest)
            config = manifest.manifest.config.digest
            if contents.has(blob_path(config)):
                await in_thread(self._blobs.write, contents.blob(config))


def _missing(contents: ArchiveContents, image: ArchivedImage, diff_id: DiffId) -> NotFound:
    since = saved_since(contents)
    hint = f"it was saved --since {since}: load or pull that first" if since else None
    return NotFound(
        f"layer {diff_id} of {image.what} is neither in the archive nor here",
        hint=hint or "the archive is not complete",
    )


@asynccontextmanager
async def _progress(emit: Emit | None) -> AsyncIterator[Callable[[str, int, int], None]]:
    """Give a function for the reading thread; what it says is emitted one after the other."""
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[TransferEvent | None] = asyncio.Queue()

    def say(path: str, current: int, total: int) -> None:
        name = short_id(digest_in(path) or path)
        event = TransferEvent(status="Loading layer", id=name, current=current, total=total)
        loop.call_soon_threadsafe(events.put_nowait, event)

    async def forward() -> None:
        while (event := await events.get()) is not None:
            if emit is not None:
                await emit(event)

    forwarding = asyncio.create_task(forward())
    try:
        yield say
        events.put_nowait(None)
        await forwarding
    finally:
        forwarding.cancel()
