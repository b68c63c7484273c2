"""Format: the default seccomp profile, of Docker's strength, and profiles that users bring.

A profile lists what is allowed; everything else fails with EPERM. Some calls are allowed only with
a capability, some only with certain arguments. The result is the `linux.seccomp` object of the
runtime spec (config-linux.md, "Seccomp").
"""

from __future__ import annotations

import functools
import json
import platform
from collections.abc import Collection
from pathlib import Path

from pogu.errors import InvalidParameter

__all__ = ["seccomp_for"]

Json = dict[str, object]

_ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],  # x32: a third of the compile time, no user
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    "ppc64le": ["SCMP_ARCH_PPC64LE"],
    "s390x": ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
    "riscv64": ["SCMP_ARCH_RISCV64"],
}
_GOARCH = {"x86_64": "amd64", "aarch64": "arm64"}


@functools.cache
def _default_profile() -> Json:
    text = (Path(__file__).parent / "seccomp_default.json").read_text()
    profile: Json = json.loads(text)
    return profile


def seccomp_for(profile: str, capabilities: Collection[str]) -> Json | None:
    """Return the spec's object for `default`, `unconfined` or a profile's JSON text.

    Raises: InvalidParameter when the text is no profile.
    """
    if profile == "unconfined":
        return None
    if profile in ("", "default", "builtin"):
        return _resolve_own(_default_profile(), frozenset(capabilities))
    try:
        parsed = json.loads(profile)
        if not isinstance(parsed, dict) or "defaultAction" not in parsed:
            raise ValueError("no defaultAction")
        return _resolve_docker(parsed, frozenset(capabilities))
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise InvalidParameter(f"Decoding seccomp profile failed: {err}") from err


def _architectures() -> list[str]:
    return _ARCHITECTURES.get(platform.machine(), [])


def _resolve_own(profile: Json, capabilities: frozenset[str]) -> Json:
    """Our own file: `allow`, `with` (by capability), `rules` (with arguments)."""
    names = set(_words(profile["allow"]))
    by_capability = profile["with"]
    assert isinstance(by_capability, dict)
    for capability, words in by_capability.items():
        if capability in capabilities:
            names |= set(_words(words))
    names |= set(_words(_of(profile, "architecture").get(platform.machine(), "")))
    calls: list[Json] = [{"names": sorted(names), "action": "SCMP_ACT_ALLOW"}]
    rules = profile["rules"]
    assert isinstance(rules, list)
    for rule in rules:
        if rule.get("without") in capabilities:
            continue
        calls.append({key: value for key, value in rule.items() if key != "without"})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": _architectures(),
        "syscalls": calls,
    }


def _of(profile: Json, key: str) -> dict[str, str]:
    value = profile[key]
    assert isinstance(value, dict)
    return value


def _words(value: object) -> list[str]:
    return str(value).split()


def _resolve_docker(profile: Json, capabilities: frozenset[str]) -> Json:
    """Docker's format: conditions on capability and architecture are decided here."""
    arch = _GOARCH.get(platform.machine(), platform.machine())
    calls: list[Json] = []
    syscalls = profile.get("syscalls") or []
    if not isinstance(syscalls, list):
        raise TypeError("syscalls is no list")
    for rule in syscalls:
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        if not set(includes.get("caps") or ()) <= capabilities:
            continue
        if includes.get("arches") and arch not in includes["arches"]:
            continue
        if set(excludes.get("caps") or ()) & capabilities or arch in (excludes.get("arches") or ()):
            continue
        kept: Json = {"names": rule.get("names") or [rule["name"]], "action": rule["action"]}
        if rule.get("args"):
            kept["args"] = rule["args"]
        if rule.get("errnoRet") is not None:
            kept["errnoRet"] = rule["errnoRet"]
        calls.append(kept)
    result: Json = {
        "defaultAction": profile["defaultAction"],
        "architectures": profile.get("architectures") or _architectures(),
        "syscalls": calls,
    }
    if profile.get("defaultErrnoRet") is not None:
        result["defaultErrnoRet"] = profile["defaultErrnoRet"]
    return result
