"""Service: `system check --repair`: get again what is damaged, else remove what must go.

Never touches containers' writable layers and volumes. A source that does not answer is no reason
to remove anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, cast

from pogu.build.service import Builder
from pogu.config import Paths
from pogu.errors import Conflict, EngineError, NotFound, Unauthorized
from pogu.images.download import Downloads
from pogu.images.image import short_id
from pogu.images.indexes import Indexes
from pogu.images.progress import TransferEvent
from pogu.images.provenance import LayerBlob, Provenance
from pogu.images.pull import Puller
from pogu.images.remote import Access, Remote
from pogu.images.store import ImageStore
from pogu.linux.blocking import in_thread
from pogu.oci.digest import ChainId, Digest
from pogu.oci.reference import parse_reference
from pogu.registry.credentials import credentials_for
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import Layer, LayerStore
from pogu.storage.tree import remove_tree
from pogu.upkeep.check import Checker, Finding, Kind

__all__ = ["NotMended", "Repairer"]


class NotMended(EngineError):
    """Why a finding was left as it is."""


class Repairer:
    """Async. Each method returns what it did; raises NotMended."""

    def __init__(
        self,
        *,
        paths: Paths,
        checker: Checker,
        blobs: BlobStore,
        layers: LayerStore,
        images: ImageStore,
        indexes: Indexes,
        provenance: Provenance,
        downloads: Downloads,
        remote: Remote,
        puller: Puller,
        builder: Builder,
    ) -> None:
        self._paths = paths
        self._checker = checker
        self._blobs = blobs
        self._layers = layers
        self._images = images
        self._indexes = indexes
        self._provenance = provenance
        self._downloads = downloads
        self._remote = remote
        self._puller = puller
        self._builder = builder

    async def repair(self, finding: Finding, access: Access) -> str:
        """Mend one finding and say how. Raises: NotMended."""
        match finding.kind:
            case Kind.BLOB:
                return await self._blob(Digest(finding.subject), access)
            case Kind.LAYER:
                return await self._layer(ChainId(finding.subject), access)
            case Kind.IMAGE:
                return await self._image(Digest(finding.subject), access)
            case Kind.LEFTOVER:
                return await self._leftover(finding.subject)
            case _:
                raise NotMended(finding.mend)

    # ---- blobs ---------------------------------------------------------------------------

    async def _blob(self, digest: Digest, access: Access) -> str:
        """What is damaged goes in any case: as it is nobody can use it."""
        await in_thread(self._blobs.remove, digest)
        image = next((one for one in self._images.all() if one.id == digest), None)
        if image is not None:
            await in_thread(self._blobs.write, image.raw_config)
            return "written again from the state database"
        recorded = {one.digest: one for one in self._provenance.recorded_layers()}
        if digest in recorded:
            return await self._layer_blob(recorded[digest], access)
        return await self._manifest(digest, access)

    async def _layer_blob(self, form: LayerBlob, access: Access) -> str:
        origin = await self._fetched(form, access)
        if origin:
            return f"got it again from {origin}"
        return "removed; it is packed anew when its image is pushed or saved"

    async def _fetched(self, form: LayerBlob, access: Access) -> str:
        """Bring a blob here from where it is known to be; empty where it is not any more.

        Raises: NotMended where a registry does not answer.
        """

        async def quiet(_current: int, _total: int) -> None:
            return

        for origin in self._provenance.origins(form.digest):
            reference = parse_reference(origin)
            try:
                async with self._remote.repository(reference, access) as repository:
                    await self._downloads.fetch(
                        repository, form.digest, form.size_bytes, progress=quiet
                    )
                return origin
            except (NotFound, Unauthorized):
                continue
            except EngineError as err:
                raise NotMended(f"{origin} does not give it: {err.message}") from err
        return ""

    async def _manifest(self, digest: Digest, access: Access) -> str:
        for place in self._checker.places_of_manifest(digest):
            try:
                async with self._remote.repository(parse_reference(place), access) as repository:
                    fetched = await repository.manifest(digest)
                await in_thread(self._blobs.write, fetched.raw)
                return f"got it again from {place}"
            except (NotFound, Unauthorized):
                continue
            except EngineError as err:
                raise NotMended(f"{place} does not give it: {err.message}") from err
        self._provenance.forget_manifest(digest)
        self._indexes.forget(digest)
        return "removed; nothing else is known to have it"

    # ---- layers --------------------------------------------------------------------------

    async def _layer(self, chain_id: ChainId, access: Access) -> str:
        layer = self._layers.get(chain_id)
        users = self._checker.containers_on(chain_id)
        running = [one.name for one in users if one.running]
        if running:
            raise NotMended(f"stop {', '.join(running)} first: it runs on this layer")
        async with self._images.hold():
            source = await self._unpacked_again(layer, access)
        if source:
            return f"unpacked again from {source}"
        if users:
            raise NotMended(
                f"{', '.join(one.name for one in users)} stands on it, and nothing has it again:"
                " what the container wrote can still be copied out of it"
            )
        return await self._remove_what_stands_on(chain_id)

    async def _unpacked_again(self, layer: Layer, access: Access) -> str:
        for form in self._provenance.layer(layer.diff_id):
            source = "its blob here"
            if not (
                self._blobs.has(form.digest) and await in_thread(self._blobs.is_whole, form.digest)
            ):
                await in_thread(self._blobs.remove, form.digest)
                source = await self._fetched(form, access)
            if source:
                await in_thread(self._unpack, layer, self._blobs.path(form.digest))
                return source
        return ""

    def _unpack(self, layer: Layer, blob: Path) -> None:
        with blob.open("rb") as file:
            unpacked = self._layers.unpack(cast(BinaryIO, file), expected=layer.diff_id)
        self._layers.replace(layer.chain_id, unpacked)

    async def _remove_what_stands_on(self, chain_id: ChainId) -> str:
        """Images and cached steps that have the layer, so that a build makes it anew."""
        removed = []
        for image in self._checker.images_on(chain_id):
            name = (image.familiar_tags or [short_id(image.id)])[0]
            try:
                await self._images.remove(image.id, force=True, prune=False)
                removed.append(name)
            except Conflict as err:
                raise NotMended(err.message) from err
        above = {
            layer.chain_id
            for layer in self._layers.all()
            if any(one.chain_id == chain_id for one in self._layers.chain(layer.chain_id))
        }
        await self._builder.forget_layers(above)
        if self._layers.has(chain_id):
            raise NotMended("a pull or build goes on, which may need it: repair again afterwards")
        if not removed:
            return "removed from the build cache"
        return f"removed {', '.join(removed)}: nothing has the layer again; build or pull it"

    # ---- images and the rest ---------------------------------------------------------------

    async def _image(self, image_id: Digest, access: Access) -> str:
        broken = {one: names for one, _, names in self._images.broken()}
        names = broken.get(image_id, [])
        for name in names:
            if name.digest is None:
                continue
            own = credentials_for(name.domain, access.credentials)
            try:
                await self._puller.pull(name, credentials=own, emit=_quiet)
            except (NotFound, Unauthorized):
                continue
            except EngineError as err:
                raise NotMended(f"{name.familiar} cannot be pulled: {err.message}") from err
            if all(one != image_id for one, _, _ in self._images.broken()):
                return f"pulled {name.familiar} again"
        if image_id in broken:
            self._images.forget_broken(image_id)
            return "forgotten; pull or build it again"
        await self._images.remove(image_id, force=True, prune=False)
        return "removed; pull or build it again"

    async def _leftover(self, path: str) -> str:
        kind, _, name = path.partition("/")
        if kind == "layers":
            await in_thread(self._layers.remove_unnamed, name)
        elif kind == "blobs":
            await in_thread(self._blobs.remove, Digest(f"sha256:{name.rpartition('/')[2]}"))
        else:
            await in_thread(_remove, self._paths.root / path)
        return "removed"


def _remove(path: Path) -> None:
    if path.is_dir():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)


async def _quiet(_event: TransferEvent) -> None:
    return
