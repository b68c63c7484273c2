"""Format: platforms as people write them (`linux/arm64/v8`), what runs on what, and which entry of
an index fits. The rules are those of containerd's platforms package, which Docker uses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec
from msgspec.structs import replace

from pogu.errors import InvalidParameter, NotFound
from pogu.images.image import host_architecture
from pogu.oci.image import ImageConfig
from pogu.oci.index import IndexEntry, Platform, decode_index

__all__ = [
    "IndexEntry",
    "Platform",
    "amd64_variant",
    "choose",
    "fits",
    "host_platform",
    "is_known",
    "normalized",
    "parse_platform",
    "platform_of",
    "runs_as",
]

# fmt: off
_SYSTEMS = frozenset((
    "aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux",
    "nacl", "netbsd", "openbsd", "plan9", "solaris", "windows", "zos",
))
_PROCESSORS = frozenset((
    "386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "ppc64", "ppc64le", "loong64",
    "mips", "mipsle", "mips64", "mips64le", "mips64p32", "mips64p32le", "ppc", "riscv", "riscv64",
    "s390", "s390x", "sparc", "sparc64", "wasm",
))
# fmt: on
_ALIASES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386"}
_COMPONENT = re.compile(r"[A-Za-z0-9_.-]+")
_SYSTEM = re.compile(r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)\))?")

_V2 = frozenset(("cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"))
_V3 = _V2 | {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


# ---- reading ---------------------------------------------------------------------------------


def parse_platform(text: str) -> Platform:
    """`arm64`, `linux/arm/v7`, `windows(10.0)/amd64`; empty = this host.

    Raises: InvalidParameter in containerd's words.
    """
    if not text:
        return host_platform()
    parts = text.split("/")
    if len(parts) > 3:
        raise _unreadable(f'"{text}": cannot parse platform specifier')
    system = _SYSTEM.fullmatch(parts[0])
    for at, part in enumerate(parts):
        if not (system if at == 0 else _COMPONENT.fullmatch(part)):
            raise _unreadable(
                f'"{part}" is an invalid component of "{text}": platform specifier component must'
                f' match "^{_COMPONENT.pattern}$"'
            )
    assert system is not None
    found = _system(system[1]), system[2] or ""
    if len(parts) == 1:
        return _of_one_word(text, *found)
    architecture, variant = _processor(parts[1], parts[2] if len(parts) > 2 else "")
    if len(parts) == 2 and (architecture, variant) == ("arm", "v7"):
        variant = ""
    if len(parts) == 3 and architecture == "arm64":
        variant = variant or "v8"
    return Platform(os=found[0], os_version=found[1], architecture=architecture, variant=variant)


def _of_one_word(text: str, system: str, version: str) -> Platform:
    """A system (of this host's processor) or a processor (under Linux)."""
    if system in _SYSTEMS:
        return Platform(os=system, os_version=version, architecture=host_architecture())
    architecture, variant = _processor(text, "")
    if architecture not in _PROCESSORS:
        raise _unreadable(f'"{text}": unknown operating system or architecture')
    variant = "" if (architecture, variant) == ("arm", "v7") else variant
    return Platform(os="linux", architecture=architecture, variant=variant)


def _unreadable(words: str) -> InvalidParameter:
    return InvalidParameter(
        f"{words}: invalid argument", hint="os/architecture[/variant], for example linux/arm64"
    )


def _system(name: str) -> str:
    lower = name.lower()
    return "darwin" if lower == "macos" else lower or "linux"


def _processor(name: str, variant: str) -> tuple[str, str]:
    """Return the processor and its variant in their canonical spelling."""
    lower, variant = name.lower(), variant.lower()
    match _ALIASES.get(lower, lower):
        case "386" if lower == "i386":
            return "386", ""
        case "amd64":
            return "amd64", "" if variant == "v1" else variant
        case "arm64":
            return "arm64", "" if variant in ("8", "v8") else variant
        case "armhf":
            return "arm", "v7"
        case "armel":
            return "arm", "v6"
        case "arm":
            return "arm", f"v{variant or 7}" if variant in ("", "5", "6", "7", "8") else variant
        case other:
            return other, variant


def normalized(platform: Platform) -> Platform:
    """Return the canonical spelling: `x86_64` is `amd64`, `arm` is `arm/v7`, `arm64/v8` `arm64`."""
    architecture, variant = _processor(platform.architecture, platform.variant)
    return replace(platform, os=_system(platform.os), architecture=architecture, variant=variant)


def is_known(platform: Platform) -> bool:
    """True when system and processor are Go's words for them."""
    return platform.os in _SYSTEMS and platform.architecture in _PROCESSORS


def platform_of(config: ImageConfig) -> Platform:
    """What an image says of itself."""
    return Platform(
        os=config.os,
        architecture=config.architecture,
        variant=config.variant,
        os_version=config.os_version,
    )


# ---- this host -------------------------------------------------------------------------------


@cache
def host_platform() -> Platform:
    """What this host runs, with the level of its processor: `linux/amd64/v3`."""
    architecture = host_architecture()
    variant = {"arm64": "v8", "arm": "v7"}.get(architecture, "")
    if architecture == "amd64":
        variant = amd64_variant(Path("/proc/cpuinfo").read_text(errors="replace"))
    return Platform(os="linux", architecture=architecture, variant=variant)


def amd64_variant(cpuinfo: str) -> str:
    """The level of the x86-64 psABI that the flags of /proc/cpuinfo reach; v1 is the empty one."""
    match = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    flags = frozenset(match[1].split()) if match else frozenset()
    levels = (("v4", _V4), ("v3", _V3), ("v2", _V2))
    return next((level for level, needed in levels if needed <= flags), "v1")


# ---- what fits -------------------------------------------------------------------------------


def runs_as(wanted: Platform) -> list[Platform]:
    """What a machine of that platform runs, best first: a v3 also v2 and v1, an arm64 also arm."""
    own = normalized(wanted)
    found = [own]
    if own.architecture == "amd64":
        found += [replace(own, variant=f"v{level}") for level in _below(own.variant, 1)]
        found.append(replace(own, architecture="386", variant=""))
    elif own.architecture == "arm":
        found += [replace(own, variant=f"v{level}") for level in _below(own.variant, 5)]
    elif own.architecture == "arm64":
        found += [replace(own, variant=variant) for variant in _arm64_below(own.variant or "v8")]
        found += runs_as(replace(own, architecture="arm", variant="v8"))
    return list(dict.fromkeys(normalized(one) for one in found))


def _below(variant: str, least: int) -> list[int]:
    level = variant.removeprefix("v")
    return list(range(int(level) - 1, least - 1, -1)) if level.isdecimal() else []


def _arm64_below(variant: str) -> list[str]:
    """v9.x runs what v8.(x+5) runs (Arm Architecture Reference Manual, A2.1)."""
    major, _, minor = variant.removeprefix("v").partition(".")
    if major not in ("8", "9") or not (minor or "0").isdecimal():
        return []
    at = int(minor or 0)
    found = [f"v{major}.{one}" if one else f"v{major}" for one in range(at - 1, -1, -1)]
    if major == "9":
        found += [f"v8.{one}" if one else "v8" for one in range(at + 5, -1, -1)]
    return found


def fits(found: Platform, wanted: Platform) -> bool:
    """True when an image for `found` runs where `wanted` is asked for."""
    if _rank(found, wanted) is not None:
        return True
    return not found.variant and _rank(replace(found, variant=wanted.variant), wanted) is not None


def _rank(found: Platform, wanted: Platform) -> int | None:
    own = normalized(found)
    for rank, one in enumerate(runs_as(wanted)):
        if (one.os, one.architecture, one.variant) == (own.os, own.architecture, own.variant):
            return rank
    return None


def choose(raw_index: bytes, wanted: Platform, what: str) -> IndexEntry:
    """Return the entry that fits best. Raises: NotFound, listing what the index offers."""
    try:
        entries = decode_index(raw_index).manifests
    except msgspec.MsgspecError as err:
        raise InvalidParameter(f"the index of {what} cannot be read: {err}") from err
    ranked = [(_rank(one.platform, wanted), one) for one in entries if one.platform is not None]
    fitting = [(rank, at, one) for at, (rank, one) in enumerate(ranked) if rank is not None]
    if fitting:
        return min(fitting, key=lambda pair: pair[:2])[2]
    silent = [entry for entry in entries if entry.platform is None]
    if silent:
        return silent[0]
    asked = replace(wanted, variant="") if wanted.architecture == "amd64" else wanted
    raise NotFound(
        f"no matching manifest for {asked} in the manifest list entries",
        hint=f"{what} is offered for: {', '.join(_offered(entries)) or 'nothing'}",
    )


def _offered(entries: Sequence[IndexEntry]) -> list[str]:
    platforms = (entry.platform for entry in entries)
    return sorted({str(one) for one in platforms if one is not None and one.os != "unknown"})
