"""Service: images and their names; owns (through `index.py`) the tables `images` and `tags`.

An image is its config (ID = digest of the config's bytes, as Docker's) plus the chain of layers
that its diff IDs name. A tag is a normalised reference that points at an ID. The config's bytes
lie in the image's row, so that an image appears with one commit.

`removal.py` has the rules of `rmi`, `history.py` those of `history`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import BinaryIO

from pogu.db import Database
from pogu.errors import InvalidParameter, NotFound
from pogu.events import EventBus
from pogu.images.finding import find_image
from pogu.images.history import HistoryLine, history_lines
from pogu.images.image import Image, Removed, host_architecture, rfc3339
from pogu.images.index import ImageIndex
from pogu.images.rehearsal import BlobsWithout, Rehearsal, layers_of_images, unneeded_layers
from pogu.images.removal import Removal, Users, is_dangling, publish_image_event
from pogu.linux.blocking import in_own_thread, in_thread
from pogu.model.container import ContainerConfig
from pogu.oci.digest import ChainId, Digest, sha256_digest
from pogu.oci.image import HistoryEntry, ImageConfig, RootFs, encode_image_config
from pogu.oci.index import Platform
from pogu.oci.reference import Reference
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import Layer, LayerStore

__all__ = ["Image", "ImageStore", "Removed"]


class ImageStore:
    """Async where it is slow, plain where it reads rows. Event-loop thread only."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: BlobStore,
        layers: LayerStore,
        events: EventBus,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._layers = layers
        self._events = events
        self._clock_ns = clock_ns
        self._users: Users = lambda _image_id: ()
        self._keepers: list[Callable[[], set[ChainId]]] = []
        self._holds = 0
        self._collecting = asyncio.Lock()
        self._owed = False
        """A collection was asked for while something was held."""
        self._late: asyncio.Task[object] | None = None
        self._after_collection: Callable[[], Awaitable[int]] | None = None
        self._blobs_without: BlobsWithout | None = None
        self._index = ImageIndex(db, self._chain_size)

    def _chain_size(self, top: ChainId | None) -> int | None:
        try:
            return sum(layer.size_bytes for layer in self._layers.chain(top))
        except NotFound:
            return None

    def in_use_by(self, ask: Users) -> None:
        """Set who is asked before a removal: (container's short name or id, is it running)."""
        self._users = ask

    def keep(self, ask: Callable[[], set[ChainId]]) -> None:
        """Add one who is asked which layers must stay although no image has them (build cache,
        containers of a deleted image); the layers below them stay too."""
        self._keepers.append(ask)

    def after_collection(
        self, work: Callable[[], Awaitable[int]], rehearsed: BlobsWithout | None = None
    ) -> None:
        """Set what is done whenever unused layers were looked for: blobs nobody needs go too, and
        their bytes are returned. `rehearsed` says which would go.
        """
        self._after_collection = work
        self._blobs_without = rehearsed

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Let no layer be collected inside the block: what is committed there is not yet named."""
        async with self._collecting:  # what is here now must not go while it is relied upon
            self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            if self._owed and not self._holds:
                self._owed = False
                self._late = asyncio.ensure_future(self._collect())

    @property
    def held(self) -> bool:
        """True while something is being made whose layers are not yet named."""
        return self._holds > 0

    # ---- reading ------------------------------------------------------------------------

    def resolve(self, name: str) -> Image:
        """Return the image by reference, ID or unambiguous ID prefix (`sha256:` optional).

        Raises: NotFound("No such image: …") with the near miss as hint; InvalidParameter when a
        prefix names several, listing them.
        """
        return find_image(self._index, name)[0]

    def get(self, image_id: Digest) -> Image:
        """Raises: NotFound."""
        image = self._index.get(image_id)
        if image is None:
            raise NotFound(f"No such image: {image_id}")
        return image

    def find(self, reference: Reference) -> Image | None:
        return self._index.named(reference.with_default_tag())

    def all(self) -> list[Image]:
        """Every image, newest first."""
        return list(self._index.newest_first())

    def broken(self) -> list[tuple[Digest, str, list[Reference]]]:
        """Images that cannot be used, for want of a layer: ID, why, names. Nothing else shows
        them; pulling or building them again mends them."""
        return self._index.broken()

    def forget_broken(self, image_id: Digest) -> None:
        """Drop the rows of one. Idempotent."""
        self._index.delete(image_id)

    def layers_in_use(self) -> set[ChainId]:
        """Every layer that an image has."""
        return layers_of_images(self._index, self._layers)

    def is_dangling(self, image: Image) -> bool:
        """No tag, and no other image has it as its parent."""
        return is_dangling(self._index, image)

    def history(self, image: Image) -> list[HistoryLine]:
        """Return newest first: entry, layer size in bytes, image ID where known, its tags."""
        sizes = [layer.size_bytes for layer in self._layers.chain(image.top_layer)]
        return history_lines(
            image, sizes, lambda one: self._index.get(one.parent) if one.parent else None
        )

    # ---- making -------------------------------------------------------------------------

    async def create(
        self,
        config: ImageConfig,
        *,
        parent: Digest | None = None,
        references: Sequence[Reference] = (),
    ) -> Image:
        """Store an image whose layers are already in the layer store. Idempotent, durable."""
        return await self.create_raw(
            encode_image_config(config), config, parent=parent, references=references
        )

    async def create_raw(
        self,
        raw: bytes,
        config: ImageConfig,
        *,
        parent: Digest | None = None,
        references: Sequence[Reference] = (),
    ) -> Image:
        """As `create`, for a config that came as bytes (pull, load): they are kept as sent."""
        image_id = sha256_digest(raw)
        names = [reference.with_default_tag() for reference in references]
        if self._index.get(image_id) is None:
            image = self._index.describe(image_id, raw, config, parent=parent)
            if image is None:
                raise NotFound(f"a layer of image {image_id} is not in the layer store")
            async with self.hold():
                await in_thread(self._index.insert_row, image, names, time=self._now())
                self._index.remember(image)
        for reference in names:
            self._name(image_id, reference)
        return self.get(image_id)

    def _now(self) -> str:
        return rfc3339(self._clock_ns())

    def tag(self, image_id: Digest, reference: Reference) -> None:
        """Point `reference` (with default tag) at the image; it leaves the image it named.

        Raises: NotFound; InvalidParameter for a digest, which nobody can choose.
        """
        self.get(image_id)
        if reference.digest:
            raise InvalidParameter(
                "refusing to create a tag with a digest reference",
                hint=f"tag it {reference.familiar_repository}:<tag>",
            )
        self._name(image_id, reference.with_default_tag())

    def tag_pulled(self, image_id: Digest, reference: Reference) -> None:
        """As `tag`, for the names that a registry gave: a digest is one."""
        self._index.set_name(image_id, reference, time=self._now())
        publish_image_event(self._events, "pull", self.get(image_id), reference.familiar)

    async def sync(self) -> None:
        """Make the names given so far outlive a power cut, as the images do already."""
        await in_thread(self._db.sync)

    def add_digest(self, image_id: Digest, reference: Reference) -> None:
        """Let a name by digest stand for the image too."""
        self._index.set_name(image_id, reference, time=self._now())

    def tag_pushed(self, image_id: Digest, reference: Reference, digest: Digest) -> None:
        """Remember the digest by which a registry knows the image now; not of one that was removed
        while it was pushed."""
        image = self._index.get(image_id)
        if image is None:
            return
        name = replace(reference, tag=None, digest=digest)
        self._index.set_name(image_id, name, time=self._now())
        publish_image_event(self._events, "push", image, reference.familiar)

    def _name(self, image_id: Digest, reference: Reference) -> None:
        self._index.set_name(image_id, reference, time=self._now())
        publish_image_event(self._events, "tag", self.get(image_id), reference.familiar)

    async def import_tar(
        self,
        tar: BinaryIO,
        *,
        reference: Reference | None = None,
        message: str = "",
        config: ContainerConfig | None = None,
        platform: Platform | None = None,
        created_by: str = "",
        created: str = "",
        author: str = "",
    ) -> Image:
        """Make a one-layer image from a root file system tar (any compression), for this host
        unless a platform is named.

        Raises: InvalidParameter for a broken or hostile archive; nothing is left behind.
        """
        async with self.hold():
            layer = await in_own_thread(self._layers.commit_tar, tar, parent=None)
            when = created or self._now()
            entry = HistoryEntry(
                created=when, created_by=created_by, comment=message or "Imported from -"
            )
            made = ImageConfig(
                architecture=platform.architecture if platform else host_architecture(),
                os=platform.os if platform else "linux",
                variant=platform.variant if platform else "",
                created=when,
                author=author,
                config=config or ContainerConfig(),
                rootfs=RootFs(diff_ids=(layer.diff_id,)),
                history=(entry,),
            )
            image = await self.create(made, references=[reference] if reference else [])
        publish_image_event(self._events, "import", image, image.id)
        return image

    # ---- removing -----------------------------------------------------------------------

    async def remove(self, name: str, *, force: bool = False, prune: bool = True) -> list[Removed]:
        """Untag, and delete when it was the last name, as Docker does; with `prune` also dangling
        parents.

        Raises: NotFound; Conflict in Docker's words when a container uses it, a child image
        depends on it, or several repositories name an image given by ID without `force`.
        """
        removal = Removal(self._index, self._events, self._users)
        with self._index.together():  # a kill leaves no image that lost some of its names
            removal.by_name(name, force=force, prune=prune)
        gone, _ = await self._collect()
        return removal.lines + _deleted(gone)

    async def prune(
        self, *, dangling_only: bool = True, matches: Callable[[Image], bool] | None = None
    ) -> tuple[list[Removed], int]:
        """Remove unused images that `matches` accepts; return what went and the bytes freed."""
        removal = Removal(self._index, self._events, self._users)
        with self._index.together():
            removal.prune(dangling_only=dangling_only, matches=matches)
        gone, freed = await self._collect()
        return removal.lines + _deleted(gone), freed

    @contextmanager
    def rehearsal(
        self,
        *,
        users: Users | None = None,
        kept: Callable[[], set[ChainId]] | None = None,
    ) -> Iterator[Rehearsal]:
        """Try removals on a copy: nothing is written, nobody is told. No await inside the block.

        `users` and `kept` stand in for the containers and the build cache as they would be.
        """
        with self._db.rehearsal():
            yield Rehearsal(
                self._index.copy(),
                self._layers,
                self._blobs,
                users=users or self._users,
                kept=kept or self._kept_layers,
                blobs_without=self._blobs_without,
                held=self._holds > 0,
            )

    async def collect_layers(self) -> int:
        """Remove layers that neither an image nor `keep` names; return the bytes freed."""
        return (await self._collect())[1]

    def _kept_layers(self) -> set[ChainId]:
        return {one for ask in self._keepers for one in ask()}

    async def _collect(self) -> tuple[list[Layer], int]:
        """The decision and the rows go in one step of the event loop, the files afterwards. While
        something is held it is put off to the end of that.

        Return the layers that went, and the bytes freed.
        """
        if self._holds:
            self._owed = True
            return [], 0
        doomed = unneeded_layers(self._index, self._layers, self._kept_layers())
        if doomed:
            trash = self._layers.detach([layer.chain_id for layer in doomed])
            await in_thread(self._layers.discard, trash)
        freed = sum(layer.size_bytes for layer in doomed)
        async with self._collecting:
            if self._after_collection is not None and not self._holds:
                freed += await self._after_collection()
        return doomed, freed


def _deleted(layers: Iterable[Layer]) -> list[Removed]:
    return [Removed(deleted=Digest(layer.chain_id)) for layer in layers]
