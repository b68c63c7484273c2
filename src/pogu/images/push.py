"""Service: push: layers that are not there yet, then the config, then the manifest.

A blob that the registry has is skipped, one that another of its repositories has is mounted. A
transfer that breaks is gone on with from where it broke.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from pogu.config import Config
from pogu.errors import EngineError, Forbidden, NotFound, Unauthorized
from pogu.images.image import Image, short_id
from pogu.images.packing import Packer
from pogu.images.progress import TransferEvent, throttled
from pogu.images.provenance import LayerBlob, Provenance
from pogu.images.store import ImageStore
from pogu.linux.blocking import in_thread
from pogu.oci.digest import Digest
from pogu.oci.image import Descriptor, Manifest, MediaType
from pogu.oci.reference import Reference
from pogu.registry.client import Repository
from pogu.registry.credentials import Credentials
from pogu.registry.transport import open_transport
from pogu.registry.upload import upload_file
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import Layer, LayerStore

__all__ = ["Pushed", "Pusher"]

_AT_ONCE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What the last line says."""

    tag: str
    digest: Digest
    size_bytes: int


Emit = Callable[[TransferEvent], Awaitable[None]]


class Pusher:
    """Async; several pushes may run at once."""

    def __init__(
        self,
        *,
        config: Config,
        images: ImageStore,
        layers: LayerStore,
        blobs: BlobStore,
        provenance: Provenance,
        packer: Packer,
    ) -> None:
        self._config = config
        self._images = images
        self._layers = layers
        self._blobs = blobs
        self._provenance = provenance
        self._packer = packer
        self._packing = asyncio.Lock()

    async def push(
        self, reference: Reference, *, credentials: Credentials | None = None, emit: Emit
    ) -> Pushed:
        """Send the image that the tag names.

        Raises: NotFound when no image has the name; Unauthorized, Forbidden in Docker's words
        with the login as hint.
        """
        named = reference.with_default_tag()
        image = self._images.find(named)
        if image is None:
            raise NotFound(
                f"An image does not exist locally with the tag: {named.familiar_repository}",
                hint=f"tag it first: pogu tag IMAGE {named.familiar}",
            )
        async with open_transport(
            named.domain, self._config, credentials, mirrors=False
        ) as transport:
            repository = Repository(transport, named.path, actions="pull,push")
            await emit(TransferEvent(status=f"The push refers to repository [{named.repository}]"))
            try:
                async with self._images.hold():
                    return await self._push(repository, named, image, emit)
            except (Unauthorized, Forbidden) as err:
                raise _denied(err, named) from err

    async def _push(
        self, repository: Repository, named: Reference, image: Image, emit: Emit
    ) -> Pushed:
        layers = self._layers.chain(image.top_layer)
        for layer in reversed(layers):
            await emit(TransferEvent(status="Preparing", id=short_id(layer.diff_id)))
        slots = asyncio.Semaphore(_AT_ONCE)
        came_as = await in_thread(self._came_as, image)

        async def one(layer: Layer) -> LayerBlob:
            async with slots:
                return await self._layer(repository, named, layer, came_as, emit)

        blobs = await _all([one(layer) for layer in layers])
        config_digest = await in_thread(self._blobs.write, image.raw_config)
        if not await repository.has_blob(config_digest):
            await upload_file(
                repository, self._blobs.path(config_digest), config_digest, progress=_quiet
            )
        raw, media_type = await self._manifest(image, config_digest, blobs)
        tag = named.tag or "latest"
        digest = await repository.put_manifest(tag, raw, media_type)
        await in_thread(self._blobs.write, raw)
        self._provenance.add_manifest(digest, image.id, media_type)
        self._images.tag_pushed(image.id, named, digest)
        await emit(TransferEvent(status=f"{tag}: digest: {digest} size: {len(raw)}"))
        return Pushed(tag=tag, digest=digest, size_bytes=len(raw))

    async def _manifest(
        self, image: Image, config_digest: Digest, blobs: list[LayerBlob]
    ) -> tuple[bytes, str]:
        """The manifest it came with where it still fits, byte for byte; else Docker's."""
        for stored in self._provenance.manifests(image.id):
            if self._blobs.has(stored.digest):
                raw = await in_thread(self._blobs.read, stored.digest)
                known = msgspec.json.decode(raw, type=Manifest)
                if [one.digest for one in known.layers] == [blob.digest for blob in blobs]:
                    return raw, stored.media_type
        oci = any("vnd.oci." in blob.media_type for blob in blobs)
        manifest = Manifest(
            media_type=MediaType.OCI_MANIFEST if oci else MediaType.DOCKER_MANIFEST,
            config=Descriptor(
                media_type=MediaType.OCI_CONFIG if oci else MediaType.DOCKER_CONFIG,
                digest=config_digest,
                size=len(image.raw_config),
            ),
            layers=tuple(
                Descriptor(
                    media_type=_media_type(blob.media_type, oci=oci),
                    digest=blob.digest,
                    size=blob.size_bytes,
                )
                for blob in blobs
            ),
        )
        return msgspec.json.encode(manifest), manifest.media_type

    def _came_as(self, image: Image) -> frozenset[Digest]:
        """The layer blobs of the manifest by which the image is known best."""
        for stored in self._provenance.manifests(image.id):
            if self._blobs.has(stored.digest):
                known = msgspec.json.decode(self._blobs.read(stored.digest), type=Manifest)
                return frozenset(one.digest for one in known.layers)
        return frozenset()

    async def _layer(
        self,
        repository: Repository,
        named: Reference,
        layer: Layer,
        came_as: frozenset[Digest],
        emit: Emit,
    ) -> LayerBlob:
        short = short_id(layer.diff_id)
        forms = self._provenance.layer(layer.diff_id)
        forms = [form for form in forms if form.digest in came_as] or forms
        for known in forms:
            if await repository.has_blob(known.digest):
                await emit(TransferEvent(status="Layer already exists", id=short))
                return self._sent(known, named)
        for known in forms:
            if await self._mounted(repository, named, known, emit, short):
                return self._sent(known, named)
        async with self._packing:
            blob = await in_thread(self._packer.blob_of, layer, forms)
        if await repository.has_blob(blob.digest):
            await emit(TransferEvent(status="Layer already exists", id=short))
            return self._sent(blob, named)

        async def progress(current: int, total: int) -> None:
            await emit(TransferEvent(status="Pushing", id=short, current=current, total=total))

        await upload_file(
            repository, self._blobs.path(blob.digest), blob.digest, progress=throttled(progress)
        )
        await emit(TransferEvent(status="Pushed", id=short))
        return self._sent(blob, named)

    def _sent(self, blob: LayerBlob, named: Reference) -> LayerBlob:
        self._provenance.seen_at(blob.digest, named.repository)
        return blob

    async def _mounted(
        self, repository: Repository, named: Reference, blob: LayerBlob, emit: Emit, short: str
    ) -> bool:
        for origin in self._provenance.origins(blob.digest):
            domain, _, path = origin.partition("/")
            if domain == named.domain and path != named.path:
                try:
                    if await repository.mount(blob.digest, path):
                        await emit(TransferEvent(status=f"Mounted from {path}", id=short))
                        return True
                except EngineError:
                    continue
        return False


async def _quiet(_current: int, _total: int) -> None:
    return


async def _all(work: list[Awaitable[LayerBlob]]) -> list[LayerBlob]:
    """Gather, ending the others at the first error."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _media_type(media_type: str, *, oci: bool) -> str:
    """One manifest speaks one dialect."""
    if oci and media_type == MediaType.DOCKER_LAYER_GZIP:
        return MediaType.OCI_LAYER_GZIP
    return media_type


def _denied(err: EngineError, named: Reference) -> EngineError:
    text = (
        err.message
        if err.message.startswith("denied")
        else (f"denied: requested access to the resource is denied: {err.message}")
    )
    kind = type(err)
    server = "" if named.domain == "docker.io" else f" {named.domain}"
    return kind(text, hint=f"log in with: pogu login{server}")
