"""Service: the forms in which an image leaves this machine: its layers as blobs, its manifest.

What came from elsewhere goes back byte for byte. Where a compression is asked for, every layer has
that one; the image keeps the form that it has for those who ask for none.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pogu.images.image import Image
from pogu.images.packing import Compression, Packer
from pogu.images.provenance import LayerBlob, Provenance, StoredManifest
from pogu.oci.digest import Digest, sha256_digest
from pogu.oci.image import Descriptor, Manifest, MediaType, is_foreign
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import Layer, LayerStore

__all__ = ["Forms"]

_IN_OCI = {
    MediaType.DOCKER_LAYER_GZIP: MediaType.OCI_LAYER_GZIP,
    MediaType.DOCKER_LAYER: MediaType.OCI_LAYER,
    MediaType.DOCKER_FOREIGN_LAYER_GZIP: MediaType.OCI_FOREIGN_LAYER_GZIP,
}


class Forms:
    """Plain; everything but `known` is blocking."""

    def __init__(
        self, *, layers: LayerStore, blobs: BlobStore, provenance: Provenance, packer: Packer
    ) -> None:
        self._layers = layers
        self._blobs = blobs
        self._provenance = provenance
        self._packer = packer

    def _manifests(
        self, image: Image, compression: Compression
    ) -> list[tuple[StoredManifest, bytes, Manifest]]:
        """Those whose bytes are here: in that compression, then as it came, the latest first."""
        found = []
        known = self._provenance.manifests(image.id)
        exact = [one for one in known if one.packing == compression.packing]
        plain = [one for one in known if compression.packing and not one.packing]
        for stored in exact + plain:
            if self._blobs.has(stored.digest):
                raw = self._blobs.read(stored.digest)
                found.append((stored, raw, msgspec.json.decode(raw, type=Manifest)))
        return found

    def latest(self, image: Image) -> bytes | None:
        """The manifest by which the image is known best; None before its first push. Slow."""
        return next((raw for _, raw, _ in self._manifests(image, Compression())), None)

    def came_as(self, image: Image, compression: Compression) -> frozenset[Digest]:
        """The layer blobs of the manifest by which the image is known best. Slow."""
        for _, _, manifest in self._manifests(image, compression):
            return frozenset(one.digest for one in manifest.layers)
        return frozenset()

    def known(
        self, layer: Layer, compression: Compression, came_as: frozenset[Digest]
    ) -> list[LayerBlob]:
        """The blobs that are this layer in that compression, here or in a registry: those by which
        the image is known, else all, gzip first, which everybody reads."""
        forms = sorted(
            self._provenance.layer(layer.diff_id),
            key=lambda one: (not one.media_type.endswith("gzip"), one.digest),
        )
        foreign = [one for one in forms if is_foreign(one.media_type)]
        fitting = [one for one in forms if compression.is_form(one)]
        return foreign or [one for one in fitting if one.digest in came_as] or fitting

    def pack(self, layer: Layer, known: Sequence[LayerBlob], compression: Compression) -> LayerBlob:
        """Return one of the known blobs that is here, else make it. Slow."""
        return self._packer.blob_of(layer, known, compression)

    def manifest(
        self, image: Image, blobs: Sequence[LayerBlob], compression: Compression
    ) -> tuple[bytes, str]:
        """Return the manifest that the image came with where it still fits, byte for byte; else
        Docker's, or OCI's when a layer is in a form that Docker's has no name for. Slow.
        """
        came = self._manifests(image, compression)
        for stored, raw, manifest in came:
            if [one.digest for one in manifest.layers] == [blob.digest for blob in blobs]:
                return raw, stored.media_type
        urls = {one.digest: one.urls for _, _, manifest in came for one in manifest.layers}
        oci = any("vnd.oci." in blob.media_type for blob in blobs)
        made = Manifest(
            media_type=MediaType.OCI_MANIFEST if oci else MediaType.DOCKER_MANIFEST,
            config=Descriptor(
                media_type=MediaType.OCI_CONFIG if oci else MediaType.DOCKER_CONFIG,
                digest=sha256_digest(image.raw_config),
                size=len(image.raw_config),
            ),
            layers=tuple(
                Descriptor(
                    media_type=_IN_OCI.get(blob.media_type, blob.media_type)
                    if oci
                    else blob.media_type,
                    digest=blob.digest,
                    size=blob.size_bytes,
                    urls=urls.get(blob.digest, ()),
                )
                for blob in blobs
            ),
        )
        return msgspec.json.encode(made), made.media_type

    def record(
        self, image: Image, raw: bytes, media_type: str, compression: Compression
    ) -> StoredManifest:
        """Keep a manifest of the image as one of its forms. Durable. Slow."""
        digest = self._blobs.write(raw)
        self._provenance.add_manifest(digest, image.id, media_type, packing=compression.packing)
        return StoredManifest(digest=digest, media_type=media_type, packing=compression.packing)

    def whole(self, image: Image) -> StoredManifest:
        """Bring every blob of the image and its manifest into the blob store. Slow."""
        plain = Compression()
        came_as = self.came_as(image, plain)
        blobs = [
            self.pack(layer, self.known(layer, plain, came_as), plain)
            for layer in self._layers.chain(image.top_layer)
        ]
        self._blobs.write(image.raw_config)
        raw, media_type = self.manifest(image, blobs, plain)
        return self.record(image, raw, media_type, plain)
