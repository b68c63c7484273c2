"""Format: the documents of an image archive, Docker's and OCI's, which one tar may hold together.

manifest.json         docker-archive: a list of images: config, tags, layers as paths
repositories          docker-archive, older: name → tag → top layer
oci-layout index.json image-spec image-layout.md
blobs/sha256/<hex>    image-spec image-layout.md; Docker's manifest.json names them since 25
"""

from __future__ import annotations

import re

import msgspec

from pogu.oci.digest import Digest

__all__ = [
    "BLOBS",
    "CONTAINERD_NAME",
    "INDEX",
    "LAYOUT",
    "LAYOUT_TEXT",
    "MANIFEST",
    "REF_NAME",
    "REPOSITORIES",
    "REPO_DIGESTS",
    "SINCE",
    "DockerImage",
    "blob_path",
    "digest_in",
]

MANIFEST = "manifest.json"
REPOSITORIES = "repositories"
LAYOUT = "oci-layout"
LAYOUT_TEXT = b'{"imageLayoutVersion":"1.0.0"}'
INDEX = "index.json"
BLOBS = "blobs/sha256"

REF_NAME = "org.opencontainers.image.ref.name"
"""A tag (Docker) or a whole name (Podman, skopeo)."""

CONTAINERD_NAME = "io.containerd.image.name"
"""The whole name (containerd, Docker)."""

REPO_DIGESTS = "io.pogu.repo-digests"
"""Ours: under which digests registries know the image; their manifests lie in the archive."""

SINCE = "io.pogu.since"
"""Ours, of the index: what the reader must have, because its layers were left out."""

_HEX_NAME = re.compile(r"(?:.*/)?(?:sha256:)?([0-9a-f]{64})(?:/layer\.tar|\.tar|\.tar\.gz|\.json)?")


class DockerImage(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One image of manifest.json; paths are those of the archive."""

    config: str
    repo_tags: tuple[str, ...] | None = None
    layers: tuple[str, ...] | None = None


def blob_path(digest: Digest) -> str:
    """Where an OCI layout keeps a blob."""
    return f"{BLOBS}/{digest.removeprefix('sha256:')}"


def digest_in(path: str) -> Digest | None:
    """The digest that an entry's name holds: certain below blobs/, a mere hint elsewhere."""
    match = _HEX_NAME.fullmatch(path)
    return Digest(f"sha256:{match[1]}") if match else None
