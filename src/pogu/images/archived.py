"""Format: images as an archive has them, and what each of its documents must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from pogu.errors import InvalidParameter, NotFound
from pogu.images.platform import Platform, fits, platform_of
from pogu.oci.digest import Digest, sha256_digest
from pogu.oci.image import ImageConfig, Manifest, check_depth, decode_image_config
from pogu.oci.reference import Reference

__all__ = [
    "ArchivedImage",
    "ArchivedIndex",
    "ArchivedManifest",
    "check_count",
    "check_platform",
    "config_in",
    "decoded",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedManifest:
    """A manifest of the archive; `raw` hashes to `digest`."""

    digest: Digest
    raw: bytes
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedIndex:
    """An index of the archive by which an image is known; the archive's name is its name too,
    unless it came from a registry (`named` is false)."""

    raw: bytes
    media_type: str
    named: bool
    manifests: tuple[ArchivedManifest, ...]
    """Those that are in the archive, of whatever platform."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedImage:
    """One image: its config, its layers by their names in the archive (bottom first), its names."""

    raw_config: bytes
    config: ImageConfig
    layers: tuple[str, ...]
    tags: tuple[Reference, ...] = ()
    digests: tuple[Reference, ...] = ()
    manifests: tuple[ArchivedManifest, ...] = ()
    indexes: tuple[ArchivedIndex, ...] = ()

    @property
    def id(self) -> Digest:
        return sha256_digest(self.raw_config)

    @property
    def what(self) -> str:
        """How to call it in a message."""
        return self.tags[0].familiar if self.tags else self.id[:19]


def decoded(raw: bytes, type: type[T], what: str) -> T:
    """Raises: InvalidParameter: the archive is damaged."""
    try:
        return msgspec.json.decode(raw, type=type)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as err:
        raise InvalidParameter(f"invalid {what}: {err}", hint="the archive is damaged") from err


def config_in(raw: bytes, what: str) -> ImageConfig:
    """Raises: InvalidParameter."""
    try:
        return decode_image_config(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as err:
        raise InvalidParameter(f"invalid image config {what}: {err}") from err


def check_count(layers: Sequence[object], config: ImageConfig) -> None:
    """A manifest has as many layers as its config. Raises: InvalidParameter."""
    if len(layers) != len(config.rootfs.diff_ids):
        raise InvalidParameter(
            f"invalid manifest, layers length mismatch: expected {len(layers)}, got"
            f" {len(config.rootfs.diff_ids)}"
        )
    check_depth(len(layers))


def check_platform(image: ArchivedImage, wanted: Platform) -> None:
    """Raises: NotFound in Docker's words when it is for another one."""
    found = platform_of(image.config)
    if not fits(found, wanted):
        raise NotFound(
            f"image {image.what} was found but does not provide the specified platform ({wanted})",
            hint=f"the archive has {image.what} for {found}",
        )
