"""Builders: one side of a save and a load, and archives as other programs write them."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.archives import Entry, a_file, a_tar

from pogu.config import Paths
from pogu.db import Database
from pogu.events import EventBus
from pogu.images.archive_drawing import SaveRequest
from pogu.images.indexes import Indexes
from pogu.images.load import Loaded, Loader
from pogu.images.provenance import Provenance
from pogu.images.save import Saver
from pogu.images.store import Image, ImageStore
from pogu.images.verification import Verification
from pogu.model.container import ContainerConfig
from pogu.oci.digest import DiffId, Digest, sha256_digest
from pogu.oci.image import ImageConfig, RootFs, encode_image_config
from pogu.oci.reference import parse_reference
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import LayerStore

__all__ = ["Side", "a_config", "a_layer", "an_oci_layout", "docker_archive"]


class Side:
    """The services that save and load, on a root of their own."""

    def __init__(self, path: Path) -> None:
        self.paths = Paths(root=path / "root", run_root=path / "run")
        self.paths.create()
        self.db = Database(self.paths.database)
        self.blobs = BlobStore(self.paths)
        self.layers = LayerStore(self.paths, self.db)
        self.provenance = Provenance(self.db)
        events = EventBus()
        self.images = ImageStore(
            db=self.db, blobs=self.blobs, layers=self.layers, events=events, clock_ns=lambda: 10**18
        )
        self.indexes = Indexes(self.db, self.blobs, self.images, self.provenance)
        self.policy = self.paths.root / "policy.json"
        self.loader = Loader(
            paths=self.paths,
            events=events,
            images=self.images,
            layers=self.layers,
            blobs=self.blobs,
            provenance=self.provenance,
            indexes=self.indexes,
            verification=Verification(self.policy, may_be_missing=True),
        )
        self.saver = Saver(
            images=self.images, layers=self.layers, blobs=self.blobs, provenance=self.provenance
        )

    async def image(self, *names: str, files: Sequence[str], on: Image | None = None) -> Image:
        """Make an image with one layer for each text of `files`, over the layers of `on`."""
        diff_ids = list(on.config.rootfs.diff_ids) if on else []
        top = on.top_layer if on else None
        for text in files:
            layer = self.layers.commit_tar(a_tar([a_file(text, text.encode())]), parent=top)
            top = layer.chain_id
            diff_ids.append(layer.diff_id)
        config = ImageConfig(
            architecture="amd64",
            os="linux",
            config=ContainerConfig(labels={"files": " ".join(files)}),
            rootfs=RootFs(diff_ids=tuple(diff_ids)),
        )
        return await self.images.create(config, references=[*map(parse_reference, names)])

    async def save(self, *names: str, **options: Any) -> bytes:
        archive = await self.saver.plan(SaveRequest(names=names, **options))
        out = io.BytesIO()
        archive.write(out)
        return out.getvalue()

    async def load(self, data: bytes, platform: str = "") -> list[Loaded]:
        return await self.loader.load(io.BytesIO(data), platform=platform)

    def left_over(self) -> list[str]:
        """What is in tmp/: nothing, whatever happened."""
        return [path.name for path in self.paths.tmp.iterdir()]


def a_layer(text: str) -> bytes:
    return a_tar([a_file(text, text.encode())]).read()


def a_config(*layers: bytes, architecture: str = "amd64") -> bytes:
    """The config of an image of these uncompressed layers."""
    diff_ids = tuple(DiffId(sha256_digest(layer)) for layer in layers)
    config = ImageConfig(architecture=architecture, os="linux", rootfs=RootFs(diff_ids=diff_ids))
    return encode_image_config(config)


def docker_archive(
    config: bytes, layers: dict[str, bytes], *tags: str, extra: Sequence[Entry] = ()
) -> bytes:
    """A docker-archive as Docker wrote it until 24, documents last."""
    manifest = [{"Config": "c.json", "RepoTags": list(tags), "Layers": list(layers)}]
    entries = [a_file(name, content) for name, content in layers.items()]
    documents = [a_file("c.json", config), a_file("manifest.json", json.dumps(manifest).encode())]
    return a_tar([*entries, *extra, *documents]).read()


def an_oci_layout(
    images: dict[str, bytes],
    *,
    name: str = "",
    nested: bool = False,
    compress: bool = True,
    layer_digest: str | None = None,
) -> bytes:
    """An OCI layout with one image of one layer for each architecture; documents last."""
    blobs: dict[Digest, bytes] = {}
    entries = []
    for architecture, layer in images.items():
        packed = gzip.compress(layer, mtime=0) if compress else layer
        config = a_config(layer, architecture=architecture)
        manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _described(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [_described(packed, "application/vnd.oci.image.layer.v1.tar+gzip")],
        }
        if layer_digest is not None:
            manifest["layers"][0]["digest"] = layer_digest
        raw = json.dumps(manifest).encode()
        blobs |= {sha256_digest(one): one for one in (packed, config, raw)}
        entry = _described(raw, "application/vnd.oci.image.manifest.v1+json")
        platform = {"platform": {"os": "linux", "architecture": architecture}}
        entries.append(entry | (platform if len(images) > 1 else {}))
    if nested:
        raw = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
        blobs[sha256_digest(raw)] = raw
        entries = [_described(raw, "application/vnd.oci.image.index.v1+json")]
    if name:
        for entry in entries:
            entry["annotations"] = {"org.opencontainers.image.ref.name": name}
    index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    files = [a_file(f"blobs/sha256/{digest[7:]}", blob) for digest, blob in blobs.items()]
    layout = a_file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    return a_tar([*files, a_file("index.json", index), layout]).read()


def _described(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256_digest(data), "size": len(data)}
