"""Format: platforms (`linux/arm64/v8`) and which entry of an index fits (image-index.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from pogu.errors import InvalidParameter, NotFound
from pogu.images.image import host_architecture
from pogu.oci.digest import Digest

__all__ = ["IndexEntry", "Platform", "choose", "parse_platform"]

_ALIASES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "i386": ("386", ""),
}
_DEFAULT_VARIANT = {"arm64": "v8", "arm": "v7"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    os: str = "linux"
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class _Platform(msgspec.Struct, frozen=True):
    architecture: str = ""
    os: str = ""
    variant: str = ""


class IndexEntry(msgspec.Struct, frozen=True, rename="camel"):
    """One manifest of an index."""

    digest: Digest
    size: int = 0
    media_type: str = ""
    platform: _Platform | None = None
    annotations: dict[str, str] | None = None


class _Index(msgspec.Struct, frozen=True):
    manifests: tuple[IndexEntry, ...] = ()


def parse_platform(text: str) -> Platform:
    """`arm64`, `linux/arm/v7`; empty = this host. Raises: InvalidParameter."""
    if not text:
        return Platform(architecture=host_architecture())
    parts = text.lower().split("/")
    if len(parts) > 3 or not all(parts):
        raise InvalidParameter(
            f'"{text}": unknown operating system or architecture: invalid argument',
            hint="os/architecture[/variant], for example linux/arm64",
        )
    if len(parts) == 1:
        parts = ["linux", parts[0]]
    architecture, variant = _ALIASES.get(parts[1], (parts[1], ""))
    return Platform(
        os=parts[0],
        architecture=architecture,
        variant=parts[2] if len(parts) > 2 else variant,
    )


def choose(raw_index: bytes, wanted: Platform, what: str) -> IndexEntry:
    """Return the entry that fits best. Raises: NotFound, listing what the index offers."""
    try:
        entries = msgspec.json.decode(raw_index, type=_Index).manifests
    except msgspec.MsgspecError as err:
        raise InvalidParameter(f"the index of {what} cannot be read: {err}") from err
    fitting = [entry for entry in entries if _fits(entry, wanted)]
    if fitting:
        return min(fitting, key=lambda entry: _distance(entry, wanted))
    plain = [entry for entry in entries if entry.platform is None]
    if len(entries) == 1 and plain:
        return plain[0]
    raise NotFound(
        f"no matching manifest for {wanted} in the manifest list entries",
        hint=f"{what} is offered for: {', '.join(_offered(entries)) or 'nothing'}",
    )


def _fits(entry: IndexEntry, wanted: Platform) -> bool:
    found = entry.platform
    if found is None or (found.os, found.architecture) != (wanted.os, wanted.architecture):
        return False
    default = _DEFAULT_VARIANT.get(wanted.architecture, "")
    asked = wanted.variant or default
    has = found.variant or default
    if wanted.architecture == "arm":
        return has <= asked  # an older variant runs on a newer processor
    return has == asked or not wanted.variant


def _distance(entry: IndexEntry, wanted: Platform) -> tuple[bool, str]:
    variant = entry.platform.variant if entry.platform else ""
    return variant != wanted.variant, "".join(chr(255 - ord(char)) for char in variant)


def _offered(entries: Sequence[IndexEntry]) -> list[str]:
    shown = [
        str(Platform(os=one.os, architecture=one.architecture, variant=one.variant))
        for one in (entry.platform for entry in entries)
        if one is not None and one.os != "unknown"
    ]
    return sorted(set(shown))
