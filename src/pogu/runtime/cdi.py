"""Format and edge: devices of the Container Device Interface (CDI SPEC.md, 0.3 to 1.0).

A vendor's file, JSON or YAML, says what a container needs to use a device: nodes, mounts,
environment, hooks. Later directories win over earlier ones; two files of one directory that both
have a device make it unusable, as the specification wants it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from pogu.errors import InvalidParameter
from pogu.runtime.workload import BindMount, Device, Hook, Workload

__all__ = ["Edits", "Found", "edited", "read_devices"]


class _Camel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Unknown fields of newer versions are let through."""


class _Node(_Camel, frozen=True, kw_only=True):
    path: str
    host_path: str = ""
    permissions: str = "rwm"
    file_mode: int | None = None
    uid: int = 0
    gid: int = 0


class _Mount(_Camel, frozen=True, kw_only=True):
    host_path: str
    container_path: str
    type: str = ""
    options: tuple[str, ...] = ()


class _Hook(_Camel, frozen=True, kw_only=True):
    hook_name: str
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None


class Edits(_Camel, frozen=True, kw_only=True):
    """What a file adds to a container."""

    env: tuple[str, ...] = ()
    device_nodes: tuple[_Node, ...] = ()
    mounts: tuple[_Mount, ...] = ()
    hooks: tuple[_Hook, ...] = ()
    additional_gids: tuple[int, ...] = msgspec.field(name="additionalGids", default=())


class _DeviceEntry(_Camel, frozen=True, kw_only=True):
    name: str
    container_edits: Edits = Edits()


class _Spec(_Camel, frozen=True, kw_only=True):
    cdi_version: str
    kind: str
    devices: tuple[_DeviceEntry, ...] = ()
    container_edits: Edits = Edits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One device; `common` belongs to all devices of its file and is applied once."""

    own: Edits
    common: Edits
    file: Path
    conflict: Path | None = None


def read_devices(directories: Iterable[str]) -> dict[str, Found]:
    """Read every file; return the devices by their full names. Slow.

    Raises: InvalidParameter for a file that is no CDI file.
    """
    devices: dict[str, Found] = {}
    for directory in directories:
        here: dict[str, Found] = {}
        for file in sorted(Path(directory).glob("*")):
            if file.suffix not in (".json", ".yaml", ".yml"):
                continue
            for name, found in _devices_of(file):
                if name in here:
                    found = replace(found, conflict=here[name].file)
                here[name] = found
        devices |= here
    return devices


def _devices_of(file: Path) -> list[tuple[str, Found]]:
    try:
        data = file.read_bytes()
        if file.suffix == ".json":
            spec = msgspec.json.decode(data, type=_Spec)
        else:
            spec = msgspec.yaml.decode(data, type=_Spec)
    except (OSError, ValueError) as err:
        raise InvalidParameter(
            f"CDI device injection failed: failed to read CDI file {file}: {err}",
            hint="its vendor's tool writes it, for example nvidia-ctk cdi generate",
        ) from err
    return [
        (
            f"{spec.kind}={device.name}",
            Found(own=device.container_edits, common=spec.container_edits, file=file),
        )
        for device in spec.devices
    ]


def _edits_of(names: Sequence[str], devices: dict[str, Found]) -> list[Edits]:
    missing = [name for name in names if name not in devices]
    if missing:
        kinds = sorted({name.partition("=")[0] for name in devices})
        raise InvalidParameter(
            f"CDI device injection failed: unresolvable CDI devices {', '.join(missing)}",
            hint=f"here is: {', '.join(sorted(devices)[:8])}"
            if kinds
            else "there is no CDI file in the directories of the key cdi_spec_dirs",
        )
    for name in names:
        if (other := devices[name].conflict) is not None:
            raise InvalidParameter(
                f"CDI device injection failed: conflicting device {name}: {other} and"
                f" {devices[name].file}",
                hint="take one of the two files away",
            )
    edits: list[Edits] = []
    files: set[Path] = set()
    for name in dict.fromkeys(names):
        found = devices[name]
        edits.append(found.own)
        if found.file not in files:
            files.add(found.file)
            edits.append(found.common)
    return edits


def edited(workload: Workload, names: Sequence[str], devices: dict[str, Found]) -> Workload:
    """Return the workload with what the named devices need.

    Raises: InvalidParameter in Docker's words for a device that there is not.
    """
    for edits in _edits_of(names, devices):
        variables = {pair.partition("=")[0] for pair in edits.env}
        kept = tuple(pair for pair in workload.env if pair.partition("=")[0] not in variables)
        gids = (*workload.user.additional_gids, *edits.additional_gids)
        workload = replace(
            workload,
            env=(*kept, *edits.env),
            devices=(*workload.devices, *map(_device, edits.device_nodes)),
            mounts=(*workload.mounts, *map(_bind, edits.mounts)),
            hooks=(*workload.hooks, *map(_hook, edits.hooks)),
            user=replace(workload.user, additional_gids=tuple(dict.fromkeys(gids))),
        )
    return workload


def _device(node: _Node) -> Device:
    return Device(
        path_on_host=node.host_path or node.path,
        path=node.path,
        permissions=node.permissions or "rwm",
        file_mode=node.file_mode,
        uid=node.uid,
        gid=node.gid,
    )


def _bind(mount: _Mount) -> BindMount:
    kind = mount.type or "bind"
    options = mount.options or ("rbind", "rprivate", "ro")
    if kind == "bind" and not {"bind", "rbind"} & set(options):
        options = ("rbind", *options)
    return BindMount(
        destination=os.path.normpath(mount.container_path),
        source=mount.host_path,
        type=kind,
        options=options,
    )


def _hook(hook: _Hook) -> Hook:
    return Hook(
        name=hook.hook_name, path=hook.path, args=hook.args, env=hook.env, timeout_s=hook.timeout
    )
