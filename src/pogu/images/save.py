"""Service: save: images as one tar that docker, podman, skopeo, umoci and Pogu read.

`docker-archive`: an OCI layout that is a docker-archive too, as Docker writes it since 25, layers
uncompressed. `oci-archive`: the layout alone; an image whose blobs came from a registry goes out
with its own manifest and its layers as they came, so its digest stays.

What is written first says what follows: a reader knows the images before the layers come.
"""

from __future__ import annotations

from collections.abc import Sequence

from pogu.errors import InvalidParameter, NotFound
from pogu.images.archive_drawing import FORMATS, Archive, Chosen, Drawing, SaveRequest
from pogu.images.archive_sources import ArchiveSources
from pogu.images.archive_writer import compressing
from pogu.images.image import Image
from pogu.images.platform import fits, parse_platform, platform_of
from pogu.images.provenance import Provenance
from pogu.images.store import ImageStore
from pogu.linux.blocking import in_thread
from pogu.oci.digest import DiffId, Digest
from pogu.oci.reference import Reference, parse_reference
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import LayerStore

__all__ = ["Saver"]


class Saver:
    """Plans archives; `Archive.write` does the work in the caller's thread."""

    def __init__(
        self, *, images: ImageStore, layers: LayerStore, blobs: BlobStore, provenance: Provenance
    ) -> None:
        self._images = images
        self._layers = layers
        self._sources = ArchiveSources(layers, blobs, provenance)

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
        self, request: SaveRequest, chosen: Sequence[Chosen], left_out: frozenset[DiffId]
    ) -> Archive:
        drawing = Drawing(self._sources, request, left_out)
        for one in chosen:
            drawing.add(one)
        return drawing.archive()

    def inventory(self) -> list[DiffId]:
        """Diff IDs of every layer that an image here has: what another side need not send."""
        tops = {image.top_layer for image in self._images.all()}
        return sorted({layer.diff_id for top in tops for layer in self._layers.chain(top)})

    # ---- what is asked for ----------------------------------------------------------------

    def _chosen(self, request: SaveRequest) -> list[Chosen]:
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
        return [Chosen(image=image, tags=tuple(tags)) for image, tags in found.values()]

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


class _Nowhere:
    def write(self, _data: bytes) -> None:
        return


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
