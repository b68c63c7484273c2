"""Format: image config and manifests (image-spec config.md, manifest.md, Docker's additions).

A blob read from elsewhere is kept as its raw bytes beside the parsed view, because encoding the
view again would drop fields that we do not know.
"""

from __future__ import annotations

import msgspec

from pogu.errors import InvalidParameter
from pogu.model.container import ContainerConfig
from pogu.oci.digest import DiffId, Digest, check_digest

__all__ = [
    "Descriptor",
    "HistoryEntry",
    "ImageConfig",
    "Manifest",
    "MediaType",
    "RootFs",
    "check_depth",
    "decode_image_config",
    "encode_image_config",
    "is_foreign",
]

_MAX_DEPTH = 127


class MediaType:
    """The media types in use, Docker's and OCI's."""

    OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
    OCI_INDEX = "application/vnd.oci.image.index.v1+json"
    OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
    OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
    OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
    OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
    OCI_FOREIGN_LAYER_GZIP = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
    DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
    DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
    DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
    DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    DOCKER_FOREIGN_LAYER_GZIP = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


def is_foreign(media_type: str) -> bool:
    """True for a layer that its makers allow nobody to pass on (image-spec layer.md,
    "Non-Distributable Layers")."""
    return ".nondistributable." in media_type or ".foreign." in media_type


def check_depth(layers: int) -> None:
    """Docker's overlay2 stacks no more. Raises: InvalidParameter in its words."""
    if layers > _MAX_DEPTH:
        raise InvalidParameter(
            "max depth exceeded", hint=f"the image has {layers} layers, more than {_MAX_DEPTH}"
        )


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """image-spec descriptor.md."""

    media_type: str
    digest: Digest
    size: int
    urls: tuple[str, ...] = ()
    annotations: dict[str, str] | None = None

    def __post_init__(self) -> None:
        """Raises: ValueError, which msgspec makes a ValidationError of."""
        check_digest(self.digest)
        if self.size < 0:
            raise ValueError(f"the size of {self.digest} is negative")


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """image-spec manifest.md."""

    schema_version: int = 2
    media_type: str = MediaType.DOCKER_MANIFEST
    config: Descriptor
    layers: tuple[Descriptor, ...]


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of `history`: image-spec config.md, "history"."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class RootFs(msgspec.Struct, frozen=True, kw_only=True):
    """Diff IDs of the layers, bottom first."""

    type: str = "layers"
    diff_ids: tuple[DiffId, ...] = ()

    def __post_init__(self) -> None:
        """Raises: ValueError, which msgspec makes a ValidationError of."""
        for diff_id in self.diff_ids:
            check_digest(diff_id)


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """image-spec config.md; `config` also holds Docker's Healthcheck, OnBuild and Shell."""

    architecture: str
    os: str
    created: str = ""
    author: str = ""
    variant: str = ""
    os_version: str = msgspec.field(name="os.version", default="")
    config: ContainerConfig = msgspec.field(default_factory=ContainerConfig)
    rootfs: RootFs = msgspec.field(default_factory=RootFs)
    history: tuple[HistoryEntry, ...] = ()


def encode_image_config(config: ImageConfig) -> bytes:
    """Return the canonical JSON of `config`; equal configs give equal bytes, hence equal IDs."""
    tree = msgspec.to_builtins(config)
    tree["rootfs"] = msgspec.to_builtins(config.rootfs) | {"type": "layers"}
    tree["config"] = {
        key: value
        for key, value in msgspec.to_builtins(config.config).items()
        if value not in (None, "", False, (), [], {})
    }
    return msgspec.json.encode(tree, order="deterministic")


def decode_image_config(raw: bytes) -> ImageConfig:
    """Parse a config blob. Raises: msgspec.DecodeError, msgspec.ValidationError."""
    return msgspec.json.decode(raw, type=ImageConfig)
