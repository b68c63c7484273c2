"""Format: one image as the engine sees it, and pure questions about its config."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from pogu.oci.digest import ChainId, Digest
from pogu.oci.image import ImageConfig
from pogu.oci.reference import Reference

__all__ = ["Image", "Removed", "host_architecture", "rfc3339", "short_id"]

_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "i686": "386",
    "loongarch64": "loong64",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image. `raw_config` hashes to `id`; `config` is its parsed view."""

    id: Digest
    raw_config: bytes
    config: ImageConfig
    top_layer: ChainId | None
    size_bytes: int
    parent: Digest | None
    """The image this was built on by a build on this machine (Docker's Parent)."""
    tags: tuple[Reference, ...]
    repo_digests: tuple[Reference, ...]
    last_tagged_at: str = ""

    @property
    def familiar_tags(self) -> list[str]:
        return [tag.familiar for tag in self.tags]

    @property
    def references(self) -> tuple[Reference, ...]:
        """Every name it has: tags, then digests."""
        return self.tags + self.repo_digests


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """One line of the answer to `rmi`: exactly one of the two is set."""

    untagged: str | None = None
    deleted: Digest | None = None


def short_id(image_id: str) -> str:
    """Return the 12 hex digits that people are shown."""
    return image_id.removeprefix("sha256:")[:12]


def host_architecture() -> str:
    """Return the host's CPU in the image-spec's words (Go's GOARCH)."""
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


def rfc3339(time_ns: int) -> str:
    """Return a UTC time with nanoseconds, as image configs spell it."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
