"""Service: the layers of an image that is pulled: fetched, unpacked, committed.

They are fetched and unpacked at once where they allow it; they are committed bottom first. Pulls
that run beside each other share what they fetch.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from typing import BinaryIO, cast

from pogu.errors import first_error
from pogu.images.download import Downloads, GrowingFile
from pogu.images.image import short_id
from pogu.images.progress import TransferEvent, throttled
from pogu.images.provenance import LayerBlob, Provenance
from pogu.linux.blocking import in_thread, in_thread_to_end
from pogu.oci.digest import ChainId, DiffId, chain_ids
from pogu.oci.image import Descriptor
from pogu.oci.reference import Reference
from pogu.registry.client import Repository
from pogu.storage.layers import Layer, LayerStore, Unpacked

__all__ = ["Emit", "LayerFetcher"]

_UNPACKED_AT_ONCE = 2
"""Layers of one pull; another pull does not wait for a registry that is slow."""

_UNPACKED_OF_ALL = 8
"""Fewer than there are threads: those that unpack may wait for what others have to bring."""

_SHOWN_EVERY_S = 0.1

Emit = Callable[[TransferEvent], Awaitable[None]]


class LayerFetcher:
    """Async; of all pulls."""

    def __init__(self, *, layers: LayerStore, downloads: Downloads, provenance: Provenance) -> None:
        self._layers = layers
        self._downloads = downloads
        self._provenance = provenance
        self._unpacking = asyncio.Semaphore(_UNPACKED_OF_ALL)
        self._committing: dict[ChainId, asyncio.Lock] = {}

    async def fetch(
        self,
        repository: Repository,
        named: Reference,
        descriptors: tuple[Descriptor, ...],
        diff_ids: tuple[DiffId, ...],
        emit: Emit,
    ) -> None:
        """Bring the layers here, those that are not, bottom first in `descriptors`.

        All at once; each waits with its commit for the layer below.
        Raises: DataLoss when a layer is not what its digest or its diff ID says.
        """
        chain = chain_ids(diff_ids)
        slots = asyncio.Semaphore(_UNPACKED_AT_ONCE)
        tasks: list[asyncio.Task[None]] = []
        try:
            async with asyncio.TaskGroup() as group:
                for at, descriptor in enumerate(descriptors):
                    work = self._layer(
                        repository,
                        named,
                        descriptor,
                        diff_ids[at],
                        chain[at],
                        chain[at - 1] if at else None,
                        tasks[at - 1] if at else None,
                        slots,
                        emit,
                    )
                    tasks.append(group.create_task(work))
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None

    async def _layer(
        self,
        repository: Repository,
        named: Reference,
        descriptor: Descriptor,
        diff_id: DiffId,
        chain_id: ChainId,
        parent: ChainId | None,
        below: asyncio.Task[None] | None,
        slots: asyncio.Semaphore,
        emit: Emit,
    ) -> None:
        short = short_id(descriptor.digest)
        lock = self._committing.setdefault(chain_id, asyncio.Lock())
        waits = lock.locked()
        if waits:
            await emit(TransferEvent(status="Pulling fs layer", id=short))
        downloading = _downloading(short, descriptor.size, emit)
        async with self._downloads.told_while_waiting(lock, descriptor.digest, downloading):
            if self._layers.has(chain_id):
                done = "Pull complete" if waits else "Already exists"
                await emit(TransferEvent(status=done, id=short))
            else:
                await emit(TransferEvent(status="Pulling fs layer", id=short))
                unpacked = await self._fetch_and_unpack(
                    repository, descriptor, diff_id, short, slots, emit
                )
                await self._commit(unpacked, parent, below)
                await emit(TransferEvent(status="Pull complete", id=short))
        self._provenance.add_layer(
            LayerBlob(
                digest=descriptor.digest,
                diff_id=diff_id,
                media_type=descriptor.media_type,
                size_bytes=descriptor.size,
            )
        )
        self._provenance.seen_at(descriptor.digest, named.repository)

    async def _commit(
        self, unpacked: Unpacked, parent: ChainId | None, below: asyncio.Task[None] | None
    ) -> Layer:
        try:
            if below is not None:
                await asyncio.shield(below)
        except BaseException:
            await asyncio.shield(in_thread(self._layers.discard, unpacked.draft))
            raise
        return await in_thread_to_end(self._layers.commit_unpacked, unpacked, parent=parent)

    async def _fetch_and_unpack(
        self,
        repository: Repository,
        descriptor: Descriptor,
        diff_id: DiffId,
        short: str,
        slots: asyncio.Semaphore,
        emit: Emit,
    ) -> Unpacked:
        """Unpack while the transfer goes on; a blob that is here is unpacked at once."""
        sources: list[GrowingFile] = []
        unpacking: list[asyncio.Task[Unpacked]] = []

        downloading = _downloading(short, descriptor.size, emit)

        async def progress(current: int, total: int) -> None:
            await downloading(current)
            if current >= total:
                await emit(TransferEvent(status="Verifying Checksum", id=short))

        def unpack(source: GrowingFile) -> GrowingFile:
            sources.append(source)
            unpacking.append(asyncio.create_task(self._unpack(source, diff_id, slots)))
            return source

        try:
            if self._downloads.is_busy:
                await emit(TransferEvent(status="Waiting", id=short))
            path = await self._downloads.fetch(
                repository,
                descriptor.digest,
                descriptor.size,
                progress=throttled(progress),
                reader=lambda part: unpack(GrowingFile(part)),
            )
            await emit(TransferEvent(status="Download complete", id=short))
            await self._drop(unpacking[:-1])
            if not unpacking:
                unpack(GrowingFile.whole(path))
            async with _extraction_shown(sources[-1], short, descriptor.size, emit):
                return await asyncio.shield(unpacking[-1])
        except BaseException:
            await self._drop(unpacking)
            raise

    async def _drop(self, unpacking: list[asyncio.Task[Unpacked]]) -> None:
        """What was unpacked of a transfer that did not come to its end is of no use."""
        for task in unpacking:
            outcome = (await asyncio.gather(task, return_exceptions=True))[0]
            if isinstance(outcome, Unpacked):
                await asyncio.shield(in_thread(self._layers.discard, outcome.draft))

    async def _unpack(
        self, source: GrowingFile, diff_id: DiffId, slots: asyncio.Semaphore
    ) -> Unpacked:
        async with slots, self._unpacking:
            return await in_thread_to_end(_unpack, self._layers, source, diff_id)


def _downloading(short: str, total: int, emit: Emit) -> Callable[[int], Awaitable[None]]:
    async def tell(current: int) -> None:
        await emit(TransferEvent(status="Downloading", id=short, current=current, total=total))

    return tell


def _unpack(layers: LayerStore, source: GrowingFile, diff_id: DiffId) -> Unpacked:
    with closing(source):
        return layers.unpack(cast(BinaryIO, source), expected=diff_id)


@asynccontextmanager
async def _extraction_shown(
    source: GrowingFile, short: str, total: int, emit: Emit
) -> AsyncIterator[None]:
    """Tell inside the block how much of the blob has been unpacked."""

    async def show() -> None:
        at = source.position
        await emit(TransferEvent(status="Extracting", id=short, current=at, total=total))

    async def keep_showing() -> None:
        while True:
            await asyncio.sleep(_SHOWN_EVERY_S)
            await show()

    await show()  # however quickly it is done
    showing = asyncio.create_task(keep_showing())
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
