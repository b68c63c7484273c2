"""Service: push: layers that are not there yet, then the config, then the manifest.

A blob that the registry has is skipped, one that another of its repositories has is mounted. A
transfer that breaks is gone on with from where it broke.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from pogu.config import Config
from pogu.errors import EngineError, Forbidden, NotFound, Unauthorized
from pogu.images.forms import Forms
from pogu.images.image import Image, short_id
from pogu.images.packing import Compression
from pogu.images.progress import TransferEvent, throttled
from pogu.images.provenance import LayerBlob, Provenance
from pogu.images.store import ImageStore
from pogu.linux.blocking import in_thread
from pogu.oci.digest import Digest
from pogu.oci.image import is_foreign
from pogu.oci.reference import Reference
from pogu.registry.client import Repository, open_repository
from pogu.registry.credentials import Credentials
from pogu.registry.upload import upload_file
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import Layer, LayerStore

__all__ = ["Emit", "Pushed", "Pusher", "denied"]

_AT_ONCE = 5
_AS_IT_IS = Compression()


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
        forms: Forms,
    ) -> None:
        self._config = config
        self._images = images
        self._layers = layers
        self._blobs = blobs
        self._provenance = provenance
        self._forms = forms
        self._packing = asyncio.Lock()

    async def push(
        self,
        reference: Reference,
        *,
        image: Image | None = None,
        compression: Compression = _AS_IT_IS,
        credentials: Credentials | None = None,
        emit: Emit,
    ) -> Pushed:
        """Send the image that the tag names, or `image` in its place.

        Raises: NotFound when no image has the name; Unauthorized, Forbidden in Docker's words
        with the login as hint.
        """
        named = reference.with_default_tag()
        self._named(named, image)
        async with open_repository(
            named, self._config, credentials, actions="pull,push"
        ) as repository:
            await emit(TransferEvent(status=f"The push refers to repository [{named.repository}]"))
            try:
                async with self._images.hold():
                    # Only now is it sure that its layers stay.
                    held = self._named(named, image)
                    return await self._push(repository, named, held, compression, emit)
            except (Unauthorized, Forbidden) as err:
                raise denied(err, named) from err

    def _named(self, named: Reference, image: Image | None) -> Image:
        """The image to send, as it is now. Raises: NotFound in Docker's words."""
        try:
            found = self._images.get(image.id) if image else self._images.find(named)
        except NotFound:
            found = None
        if found is None:
            raise NotFound(
                f"An image does not exist locally with the tag: {named.familiar_repository}",
                hint=f"tag it first: pogu tag IMAGE {named.familiar}",
            )
        return found

    async def _push(
        self,
        repository: Repository,
        named: Reference,
        image: Image,
        compression: Compression,
        emit: Emit,
    ) -> Pushed:
        layers = self._layers.chain(image.top_layer)
        for layer in reversed(layers):
            await emit(TransferEvent(status="Preparing", id=short_id(layer.diff_id)))
        slots = asyncio.Semaphore(_AT_ONCE)
        came_as = await in_thread(self._forms.came_as, image, compression)

        async def one(layer: Layer) -> LayerBlob:
            async with slots:
                known = self._forms.known(layer, compression, came_as)
                return await self._layer(repository, named, layer, known, compression, emit)

        blobs = await _all([one(layer) for layer in layers])
        config_digest = await in_thread(self._blobs.write, image.raw_config)
        if not await repository.has_blob(config_digest):
            await upload_file(
                repository, self._blobs.path(config_digest), config_digest, progress=_quiet
            )
        raw, media_type = await in_thread(self._forms.manifest, image, blobs, compression)
        tag = named.tag or "latest"
        digest = await repository.put_manifest(tag, raw, media_type)
        await in_thread(self._forms.record, image, raw, media_type, compression)
        self._images.tag_pushed(image.id, named, digest)
        await emit(TransferEvent(status=f"{tag}: digest: {digest} size: {len(raw)}"))
        return Pushed(tag=tag, digest=digest, size_bytes=len(raw))

    async def _layer(
        self,
        repository: Repository,
        named: Reference,
        layer: Layer,
        forms: Sequence[LayerBlob],
        compression: Compression,
        emit: Emit,
    ) -> LayerBlob:
        short = short_id(layer.diff_id)
        for known in forms:
            if is_foreign(known.media_type):
                await emit(TransferEvent(status="Skipped foreign layer", id=short))
                return known
        for known in forms:
            if await repository.has_blob(known.digest):
                await emit(TransferEvent(status="Layer already exists", id=short))
                return self._sent(known, named)
        for known in forms:
            if await self._mounted(repository, named, known, emit, short):
                return self._sent(known, named)
        async with self._packing:
            blob = await in_thread(self._forms.pack, layer, forms, compression)
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


def denied(err: EngineError, named: Reference) -> EngineError:
    text = (
        err.message
        if err.message.startswith("denied")
        else (f"denied: requested access to the resource is denied: {err.message}")
    )
    kind = type(err)
    server = "" if named.domain == "docker.io" else f" {named.domain}"
    return kind(text, hint=f"log in with: pogu login{server}")
