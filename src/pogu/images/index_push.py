"""Service: push of an index: the manifests that the registry lacks, each with its blobs, then the
index itself, byte for byte.

A blob comes from this machine, by a mount from another repository of the registry, or from the
registry that is known to have it, through this machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from pogu.errors import (
    DataLoss,
    EngineError,
    Forbidden,
    NotFound,
    Unauthorized,
    first_error,
)
from pogu.images.download import Downloads
from pogu.images.indexes import StoredIndex
from pogu.images.progress import TransferEvent
from pogu.images.provenance import Provenance
from pogu.images.push import denied
from pogu.images.remote import Access, Remote
from pogu.images.store import ImageStore
from pogu.linux.blocking import in_thread
from pogu.oci.digest import Digest
from pogu.oci.image import Descriptor, Manifest, is_foreign
from pogu.oci.index import INDEXES, IndexEntry, decode_index
from pogu.oci.reference import Reference, parse_reference
from pogu.registry.client import Repository
from pogu.registry.upload import upload_file
from pogu.storage.blobs import BlobStore

__all__ = ["IndexPusher"]

_AT_ONCE = 4

Emit = Callable[[TransferEvent], Awaitable[None]]


class IndexPusher:
    """Async; several pushes may run at once."""

    def __init__(
        self,
        *,
        images: ImageStore,
        blobs: BlobStore,
        provenance: Provenance,
        downloads: Downloads,
        remote: Remote,
    ) -> None:
        self._images = images
        self._blobs = blobs
        self._provenance = provenance
        self._downloads = downloads
        self._remote = remote
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def push(
        self, target: Reference, index: StoredIndex, *, access: Access, emit: Emit
    ) -> Digest:
        """Send an index whole, under the tag of `target`; return its digest.

        Raises: NotFound when a manifest or blob of it is nowhere to be had; Unauthorized,
        Forbidden in Docker's words.
        """
        named = target.with_default_tag()
        try:
            async with (
                self._images.hold(),
                self._remote.repository(named, access, actions="pull,push") as repository,
            ):
                one = _Push(self, repository, named, access, emit)
                await one.entries(index.raw, [index.source] if index.source else [])
                digest = await repository.put_manifest(
                    named.tag or "latest", index.raw, index.media_type
                )
        except (Unauthorized, Forbidden) as err:
            raise denied(err, named) from err
        if one.fetched:  # what only came through goes again
            await self._images.collect_layers()
        return digest


class _Push:
    """One push to one repository."""

    def __init__(
        self,
        owner: IndexPusher,
        repository: Repository,
        target: Reference,
        access: Access,
        emit: Emit,
    ) -> None:
        self._blobs = owner._blobs
        self._provenance = owner._provenance
        self._downloads = owner._downloads
        self._remote = owner._remote
        self._slots = owner._slots
        self._repository = repository
        self._target = target
        self._access = access
        self._emit = emit
        self.fetched = False
        """Something was brought here only to be sent on."""

    async def entries(self, raw_index: bytes, sources: Sequence[Reference]) -> None:
        """Bring every manifest of an index there."""
        for entry in decode_index(raw_index).manifests:
            if not await self._repository.has_manifest(entry.digest):
                await self._entry(entry, sources)
            self._provenance.seen_at(entry.digest, self._target.repository)
            name = f"{self._target.repository}@{entry.digest}"
            await self._emit(TransferEvent(status=f"Pushed ref {name} with digest: {entry.digest}"))

    async def _entry(self, entry: IndexEntry, sources: Sequence[Reference]) -> None:
        origins = [*sources, *self._origins(entry.digest)]
        raw = await self._manifest(entry, origins)
        if entry.media_type in INDEXES:
            await self.entries(raw, origins)
        else:
            await self._parts(raw, origins)
        await self._repository.put_manifest(entry.digest, raw, entry.media_type)

    def _origins(self, digest: Digest) -> list[Reference]:
        return [parse_reference(name) for name in self._provenance.origins(digest)]

    async def _manifest(self, entry: IndexEntry, origins: Sequence[Reference]) -> bytes:
        if self._blobs.has(entry.digest):
            return await in_thread(self._blobs.read, entry.digest)
        for origin in origins:
            try:
                async with self._remote.repository(origin, self._access) as repository:
                    return (await repository.manifest(entry.digest)).raw
            except EngineError:
                continue
        raise NotFound(
            f"manifest {entry.digest} of {self._target.familiar} is not here",
            hint=_where(origins),
        )

    async def _parts(self, raw: bytes, origins: Sequence[Reference]) -> None:
        try:
            manifest = msgspec.json.decode(raw, type=Manifest)
        except msgspec.MsgspecError as err:
            raise DataLoss(f"a manifest of {self._target.familiar} is broken: {err}") from err
        wanted = {one.digest: one for one in (manifest.config, *manifest.layers)}
        parts = [one for one in wanted.values() if not is_foreign(one.media_type)]
        try:
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(self._part(part, origins))
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None

    async def _part(self, part: Descriptor, origins: Sequence[Reference]) -> None:
        async with self._slots:
            if await self._repository.has_blob(part.digest):
                return
            known = [*origins, *self._origins(part.digest)]
            if not await self._mounted(part, known):
                path = (
                    self._blobs.path(part.digest)
                    if self._blobs.has(part.digest)
                    else await self._fetched(part, known)
                )
                await upload_file(self._repository, path, part.digest, progress=_quiet)
            self._provenance.seen_at(part.digest, self._target.repository)

    async def _mounted(self, part: Descriptor, origins: Sequence[Reference]) -> bool:
        for origin in dict.fromkeys((one.domain, one.path) for one in origins):
            if origin[0] == self._target.domain and origin[1] != self._target.path:
                try:
                    if await self._repository.mount(part.digest, origin[1]):
                        return True
                except EngineError:
                    continue
        return False

    async def _fetched(self, part: Descriptor, origins: Sequence[Reference]) -> Path:
        for origin in origins:
            try:
                async with self._remote.repository(origin, self._access) as repository:
                    self.fetched = True
                    return await self._downloads.fetch(
                        repository, part.digest, part.size, progress=_quiet
                    )
            except NotFound:
                continue
        raise NotFound(
            f"blob {part.digest} of {self._target.familiar} is not here", hint=_where(origins)
        )


def _where(origins: Sequence[Reference]) -> str:
    places = ", ".join(dict.fromkeys(one.familiar_repository for one in origins))
    return f"nor in {places}" if places else "only some platforms of the index were brought here"


async def _quiet(_current: int, _total: int) -> None:
    return
