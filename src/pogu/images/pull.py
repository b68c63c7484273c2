"""Service: pull: manifest → what is missing is fetched → layers are unpacked → the image is named.

Every byte is checked against its digest, every layer against its diff ID (`layer_fetch.py`). A pull
that ends early leaves only parts that the next one goes on with.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from pogu.config import Config
from pogu.errors import (
    DataLoss,
    EngineError,
    Forbidden,
    InvalidParameter,
    NotFound,
    RejectedByPolicy,
    Unauthorized,
)
from pogu.images.download import Downloads
from pogu.images.image import Image
from pogu.images.indexes import Indexes
from pogu.images.layer_fetch import Emit, LayerFetcher
from pogu.images.platform import Platform, choose, fits, parse_platform, platform_of
from pogu.images.progress import TransferEvent
from pogu.images.provenance import Provenance
from pogu.images.store import ImageStore
from pogu.images.verification import Verification
from pogu.linux.blocking import in_thread
from pogu.oci.digest import Digest
from pogu.oci.image import Descriptor, Manifest, check_depth, decode_image_config
from pogu.oci.index import INDEXES, MANIFESTS
from pogu.oci.reference import Reference
from pogu.registry.client import FetchedManifest, Repository, open_repository
from pogu.registry.credentials import Credentials
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import LayerStore

__all__ = ["Puller"]

_LARGEST_CONFIG = 8 << 20


class Puller:
    """Async; several pulls may run at once and share what they fetch."""

    def __init__(
        self,
        *,
        config: Config,
        images: ImageStore,
        layers: LayerStore,
        blobs: BlobStore,
        provenance: Provenance,
        indexes: Indexes,
        downloads: Downloads,
        verification: Verification,
    ) -> None:
        self._config = config
        self._images = images
        self._blobs = blobs
        self._provenance = provenance
        self._indexes = indexes
        self._downloads = downloads
        self._verification = verification
        self._layers = LayerFetcher(layers=layers, downloads=downloads, provenance=provenance)

    async def pull(
        self,
        reference: Reference,
        *,
        platform: str = "",
        credentials: Credentials | None = None,
        emit: Emit,
    ) -> Image:
        """Bring an image here and name it.

        Raises: NotFound, Unauthorized in Docker's words; DataLoss when content is not what its
        digest says; InvalidParameter.
        """
        named = reference.with_default_tag()
        wanted = parse_platform(platform)
        self._verification.check_name(named)
        async with open_repository(named, self._config, credentials) as repository:
            try:
                async with self._images.hold():
                    return await self._pull(
                        repository, named, wanted, emit, asked_platform=bool(platform)
                    )
            except RejectedByPolicy:
                raise
            except (NotFound, Unauthorized, Forbidden) as err:
                raise _in_dockers_words(err, named) from err

    async def tags(self, reference: Reference, credentials: Credentials | None = None) -> list[str]:
        """Every tag of a repository. Raises: as `pull`."""
        async with open_repository(reference, self._config, credentials) as repository:
            try:
                return await repository.tags()
            except (NotFound, Unauthorized, Forbidden) as err:
                raise _in_dockers_words(err, reference) from err

    async def _pull(
        self,
        repository: Repository,
        named: Reference,
        wanted: Platform,
        emit: Emit,
        *,
        asked_platform: bool,
    ) -> Image:
        fetched = await self._manifest(repository, named)
        shown = named.tag or str(named.digest)
        await emit(TransferEvent(status=f"Pulling from {_shown_path(named)}", id=shown))
        top, came_as = fetched, [fetched]
        if top.media_type in INDEXES:
            entry = choose(top.raw, wanted, named.familiar)
            fetched = await self._manifest_of(repository, entry.digest)
            came_as.append(fetched)
        await self._verification.check_pull(repository, named, came_as)
        if fetched is not top:
            await self._indexes.keep(top.raw, top.media_type)
        before = self._images.find(named)
        image = await self._fetch_image(repository, named, fetched, emit)
        digest_name = replace(named, tag=None, digest=top.digest)
        self._keep_reachable(digest_name, image)
        asked = replace(named, tag=None) if named.digest else named
        for name in dict.fromkeys((digest_name, asked)):
            self._images.tag_pulled(image.id, name)
        pulled = self._images.get(image.id)  # whoever removes it from here on removes what was here
        await self._images.sync()
        if asked_platform and not fits(platform_of(pulled.config), wanted):
            await emit(TransferEvent(status=_other_platform(pulled, named, wanted)))
        await emit(TransferEvent(status=f"Digest: {top.digest}"))
        news = "Image is up to date for" if before and before.id == image.id else None
        await emit(
            TransferEvent(status=f"Status: {news or 'Downloaded newer image for'} {named.familiar}")
        )
        return pulled

    async def _manifest(self, repository: Repository, named: Reference) -> FetchedManifest:
        """What is named. A tag that is here is only asked about: where it still points at what is
        here nothing is fetched, and a registry that counts pulls does not count one.
        """
        if named.digest:
            return await self._manifest_of(repository, named.digest)
        tag = named.tag or "latest"
        if self._images.find(named) is not None:
            digest = await repository.manifest_digest(tag)
            stored = await in_thread(self._stored, digest) if digest else None
            if stored is not None:
                return stored
        return await repository.manifest(tag)

    async def _manifest_of(self, repository: Repository, digest: Digest) -> FetchedManifest:
        stored = await in_thread(self._stored, digest)
        return stored if stored is not None else await repository.manifest(digest)

    def _stored(self, digest: Digest) -> FetchedManifest | None:
        """The manifest as it came before; None when it is not here, or damaged."""
        try:
            return FetchedManifest.of(self._blobs.read(digest))
        except (NotFound, DataLoss):
            return None

    def _keep_reachable(self, name: Reference, image: Image) -> None:
        """The image of another platform that has the index's name keeps one of its own."""
        other = self._images.find(name)
        if other is not None and other.id != image.id:
            own_name = self._indexes.manifest_name(other, name)
            if own_name is not None:
                self._images.add_digest(other.id, own_name)

    async def _fetch_image(
        self, repository: Repository, named: Reference, fetched: FetchedManifest, emit: Emit
    ) -> Image:
        manifest = _parse_manifest(fetched, named)
        raw_config = await self._config_blob(repository, manifest.config)
        try:
            config = decode_image_config(raw_config)
        except msgspec.MsgspecError as err:
            raise InvalidParameter(
                f"the image config of {named.familiar} is broken: {err}"
            ) from err
        diff_ids = config.rootfs.diff_ids
        if len(diff_ids) != len(manifest.layers):
            raise DataLoss(
                f"{named.familiar}: the config names {len(diff_ids)} layers, the manifest"
                f" {len(manifest.layers)}"
            )
        check_depth(len(diff_ids))
        await self._layers.fetch(repository, named, manifest.layers, diff_ids, emit)
        await in_thread(self._blobs.write, fetched.raw)
        image = await self._images.create_raw(raw_config, config)
        self._provenance.add_manifest(fetched.digest, image.id, fetched.media_type)
        return image

    async def _config_blob(self, repository: Repository, descriptor: Descriptor) -> bytes:
        """Raises: InvalidParameter for one that is too large to be a config."""

        async def quiet(_current: int, _total: int) -> None:
            return

        # What is here under that digest may be a layer: its own size counts too.
        size = max(descriptor.size, self._blobs.size_bytes(descriptor.digest))
        if size > _LARGEST_CONFIG:
            raise InvalidParameter(
                f"the image config {descriptor.digest} has {size} bytes,"
                f" more than {_LARGEST_CONFIG >> 20} MiB"
            )
        path = await self._downloads.fetch(
            repository, descriptor.digest, descriptor.size, progress=quiet
        )
        return await in_thread(path.read_bytes)


def _parse_manifest(fetched: FetchedManifest, named: Reference) -> Manifest:
    if fetched.media_type not in MANIFESTS:
        raise InvalidParameter(
            f"mediaType {fetched.media_type} of {named.familiar} is not supported",
            hint="schema 1 manifests are too old; other artifacts are no images",
        )
    try:
        return msgspec.json.decode(fetched.raw, type=Manifest)
    except msgspec.MsgspecError as err:
        raise InvalidParameter(f"the manifest of {named.familiar} is broken: {err}") from err


def _other_platform(image: Image, named: Reference, wanted: Platform) -> str:
    """Docker's warning for an image that comes for one platform only, and not the wanted one."""
    return (
        f"WARNING: image with reference {named.familiar} was found but its platform"
        f" ({platform_of(image.config)}) does not match the specified platform ({wanted})"
    )


def _shown_path(named: Reference) -> str:
    return named.path if named.domain == "docker.io" else named.repository


def _in_dockers_words(err: EngineError, named: Reference) -> EngineError:
    """What clients look for when a pull fails."""
    name = named.familiar_repository
    if isinstance(err, (Unauthorized, Forbidden)) or "name unknown" in err.message.lower():
        return type(err)(
            f"pull access denied for {name}, repository does not exist or may require"
            f" 'docker login': {err.message}",
            hint=err.hint or f"is {name} the right name?",
        )
    if "manifest" in err.message and "matching manifest" not in err.message:
        return NotFound(
            f"manifest for {named.familiar} not found: {err.message}",
            hint=err.hint or f"is there such a tag of {name}?",
        )
    return err
