"""Service: where the members of an archive come from: layers' directories and the blob store."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pogu.errors import DataLoss
from pogu.images.archive_writer import Blob, Member, Sink
from pogu.images.image import Image
from pogu.images.provenance import Provenance, StoredManifest
from pogu.oci.archive import (
    blob_path,
)
from pogu.oci.digest import DiffId, Digest
from pogu.oci.image import Descriptor, Manifest
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import Layer, LayerStore

__all__ = ["ArchiveSources", "is_plain"]

_BLOCK = 1 << 20


class ArchiveSources:
    """What is asked for stays valid while the images are held."""

    def __init__(self, layers: LayerStore, blobs: BlobStore, provenance: Provenance) -> None:
        self._layers = layers
        self._blobs = blobs
        self._provenance = provenance

    def layer_member(self, layer: Layer) -> Member:
        """The layer's uncompressed tar. Slow for layers whose length is not known yet.

        Raises: DataLoss when it is gone; what else is damaged shows when it is written.
        """
        if not layer.path.is_dir():
            raise DataLoss(
                f"{layer.diff_id} is damaged on disk: its directory is missing",
                hint="pogu system check --repair, or pull or build the image again",
            )
        return Member(
            name=blob_path(Digest(layer.diff_id)),
            size=self._layers.tar_bytes(layer),
            content=Blob(
                digest=Digest(layer.diff_id),
                write_to=lambda out: self._layers.write_tar(layer.chain_id, out),
            ),
        )

    def blob_member(self, digest: Digest) -> Member:
        """A blob of the store as it is."""
        path = self._blobs.path(digest)
        return Member(
            name=blob_path(digest),
            size=path.stat().st_size,
            content=Blob(digest=digest, write_to=lambda out: _copy(path, out)),
        )

    def layers_of(self, image: Image) -> list[Layer]:
        return self._layers.chain(image.top_layer)

    def original(self, image: Image) -> tuple[bytes, str, Manifest] | None:
        """The latest manifest by which a registry knows the image, if all of its layers can be
        given out as they came."""
        for stored in self._provenance.manifests(image.id):
            if not self._blobs.has(stored.digest):
                continue
            raw = self._blobs.read(stored.digest)
            manifest = msgspec.json.decode(raw, type=Manifest)
            layers = zip(manifest.layers, image.config.rootfs.diff_ids, strict=True)
            if all(
                is_plain(one, diff_id) or self._blobs.has(one.digest) for one, diff_id in layers
            ):
                return raw, stored.media_type, manifest
        return None

    def manifests_of(self, image: Image) -> list[StoredManifest]:
        return self._provenance.manifests(image.id)

    def manifest_of(self, digest: Digest | None) -> bytes | None:
        """A manifest that a registry gave, if it is still here."""
        return self._blobs.read(digest) if digest and self._blobs.has(digest) else None


def _copy(path: Path, out: Sink) -> None:
    with path.open("rb") as file:
        while data := file.read(_BLOCK):
            out.write(data)


def is_plain(descriptor: Descriptor, diff_id: DiffId) -> bool:
    """True for a layer that a manifest names uncompressed."""
    return descriptor.digest == Digest(diff_id)
