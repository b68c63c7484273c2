"""Format: image indexes and Docker's manifest lists (image-spec image-index.md).

Both are the same document under two media types. One that came from elsewhere is kept as its raw
bytes: encoding the view again would drop fields that we do not know.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pogu.oci.digest import Digest, check_digest
from pogu.oci.image import MediaType

__all__ = [
    "INDEXES",
    "MANIFESTS",
    "Index",
    "IndexEntry",
    "Platform",
    "decode_index",
    "encode_index",
    "kind_of_index",
]

INDEXES = frozenset({MediaType.OCI_INDEX, MediaType.DOCKER_INDEX})
MANIFESTS = frozenset({MediaType.OCI_MANIFEST, MediaType.DOCKER_MANIFEST})


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """What an image runs on: `linux/arm/v7`."""

    architecture: str = ""
    os: str = ""
    os_version: str = msgspec.field(name="os.version", default="")
    os_features: tuple[str, ...] = msgspec.field(name="os.features", default=())
    variant: str = ""

    def __str__(self) -> str:
        """As Docker spells it, the version of the system in brackets."""
        if not self.os:
            return "unknown"
        system = f"{self.os}({self.os_version})" if self.os_version else self.os
        return "/".join(part for part in (system, self.architecture, self.variant) if part)


class IndexEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The descriptor of one manifest of an index."""

    media_type: str = ""
    size: int = 0
    digest: Digest
    platform: Platform | None = None
    annotations: dict[str, str] | None = None

    def __post_init__(self) -> None:
        """Raises: ValueError, which msgspec makes a ValidationError of."""
        check_digest(self.digest, others=True)


class Index(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """image-spec image-index.md."""

    schema_version: int = 2
    media_type: str = ""
    manifests: tuple[IndexEntry, ...] = ()
    annotations: dict[str, str] | None = None


def decode_index(raw: bytes) -> Index:
    """Parse an index. Raises: msgspec.DecodeError, msgspec.ValidationError."""
    return msgspec.json.decode(raw, type=Index)


def kind_of_index(entries: Sequence[IndexEntry]) -> str:
    """Return the media type: Docker's while every manifest is Docker's, else OCI's."""
    docker = all(entry.media_type == MediaType.DOCKER_MANIFEST for entry in entries)
    return MediaType.DOCKER_INDEX if docker and entries else MediaType.OCI_INDEX


def encode_index(entries: Sequence[IndexEntry]) -> bytes:
    """Return the bytes of an index of `entries`: the same entries give the same bytes, laid out
    as Docker's client lays them out, so that both give the same digest."""
    tree = {
        "schemaVersion": 2,
        "mediaType": kind_of_index(entries),
        "manifests": [_tree(entry) for entry in entries],
    }
    return msgspec.json.format(msgspec.json.encode(tree), indent=3)


def _tree(entry: IndexEntry) -> dict[str, object]:
    tree: dict[str, object] = {
        "mediaType": entry.media_type,
        "size": entry.size,
        "digest": entry.digest,
    }
    if entry.annotations:
        tree["annotations"] = entry.annotations
    if entry.platform is not None:
        kept = msgspec.to_builtins(entry.platform)
        always = ("architecture", "os")
        tree["platform"] = {key: kept[key] for key in kept if kept[key] or key in always}
    return tree
