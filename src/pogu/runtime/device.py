"""Format: devices of a container: the spec's nodes, and the rules of its cgroup.

Pure except `stat_device`, which asks the host (runtime-spec config-linux.md, "Devices" and
"Allowed Device list").
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import replace

from pogu.errors import InvalidParameter
from pogu.runtime.workload import Device, Workload

__all__ = ["device_node", "device_rules", "devices_below", "io_limit", "spec_device", "stat_device"]

Json = dict[str, object]

_DEVICE_RULE = re.compile(r"([abc]) ([0-9]{1,10}|\*):([0-9]{1,10}|\*) ([rwm]{1,3})")


def device_node(path_on_host: str, path: str, info: tuple[str, int, int, int]) -> Json:
    """Return the spec's device: `info` is (c|b|p, major, minor, mode)."""
    kind, major, minor, mode = info
    return {
        "path": path or path_on_host,
        "type": kind,
        "major": major,
        "minor": minor,
        "fileMode": mode,
        "uid": 0,
        "gid": 0,
    }


def stat_device(path: str) -> tuple[str, int, int, int]:
    """Raises: InvalidParameter in Docker's words when it is no device."""
    try:
        info = os.stat(path)
    except OSError as err:
        raise InvalidParameter(
            f'error gathering device information while adding custom device "{path}":'
            f" {(err.strerror or '').lower()}"
        ) from err
    kinds = ((stat.S_ISCHR, "c"), (stat.S_ISBLK, "b"), (stat.S_ISFIFO, "p"))
    for is_kind, letter in kinds:
        if is_kind(info.st_mode):
            return letter, os.major(info.st_rdev), os.minor(info.st_rdev), info.st_mode & 0o7777
    raise InvalidParameter(
        f'error gathering device information while adding custom device "{path}": not a device node'
    )


def spec_device(device: Device) -> Json:
    """Return the node of a host's device. Raises: InvalidParameter when it is none."""
    node = device_node(device.path_on_host, device.path, stat_device(device.path_on_host))
    node |= {"uid": device.uid, "gid": device.gid}
    return node if device.file_mode is None else node | {"fileMode": device.file_mode}


def io_limit(path: str, kind: str, value: int) -> Json:
    """Return one entry of the spec's `blockIO`. Raises: InvalidParameter in Docker's words."""
    try:
        info = os.stat(path)
    except OSError as err:
        raise InvalidParameter(f"stat {path}: {(err.strerror or '').lower()}") from err
    key = "weight" if kind == "weightDevice" else "rate"
    return {"major": os.major(info.st_rdev), "minor": os.minor(info.st_rdev), key: value}


def devices_below(device: Device) -> tuple[Device, ...]:
    """Return the device itself, or those below it when it is a directory, as Docker does.

    Raises: InvalidParameter when there is nothing to give.
    """
    if not os.path.isdir(device.path_on_host):
        return (device,)
    found = []
    for directory, _, names in os.walk(device.path_on_host):
        for name in sorted(names):
            path = os.path.join(directory, name)
            info = os.lstat(path)
            if stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
                inside = device.path + path.removeprefix(device.path_on_host)
                found.append(replace(device, path_on_host=path, path=inside))
    if not found:
        raise InvalidParameter(
            "error gathering device information while adding custom device"
            f' "{device.path_on_host}": no such device nodes'
        )
    return tuple(found)


def device_rules(workload: Workload) -> list[Json]:
    """Return what the cgroup allows, in the order it is applied.

    Raises: InvalidParameter for a device that is none and a rule that cannot be read.
    """
    if workload.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[Json] = [{"allow": False, "access": "rwm"}]
    # The kernel's harmless ones (null, zero, full, random, tty, pts) and mknod of any.
    for kind, major, minor, access in (
        ("c", None, None, "m"),
        ("b", None, None, "m"),
        ("c", 1, 3, "rwm"),
        ("c", 1, 5, "rwm"),
        ("c", 1, 7, "rwm"),
        ("c", 1, 8, "rwm"),
        ("c", 1, 9, "rwm"),
        ("c", 5, 0, "rwm"),
        ("c", 5, 2, "rwm"),
        ("c", 136, None, "rwm"),
    ):
        rules.append(_rule(kind, major, minor, access))
    for device in workload.devices:
        letter, major_number, minor_number, _ = stat_device(device.path_on_host)
        if letter in "cb":
            rules.append(_rule(letter, major_number, minor_number, device.permissions))
    rules += [_parsed_rule(text) for text in workload.resources.device_rules]
    return rules


def _rule(kind: str, major: int | None, minor: int | None, access: str) -> Json:
    rule: Json = {"allow": True, "type": kind, "access": access}
    if major is not None:
        rule["major"] = major
    if minor is not None:
        rule["minor"] = minor
    return rule


def _parsed_rule(text: str) -> Json:
    """`c 1:3 rwm`, with `*` for any. Raises: InvalidParameter."""
    match = _DEVICE_RULE.fullmatch(text)
    if not match:
        raise InvalidParameter(
            f"invalid device cgroup rule format: '{text}'", hint="for example 'c 42:* rwm'"
        )
    major, minor = (None if part == "*" else int(part) for part in match.group(2, 3))
    return _rule(match[1], major, minor, match[4])
