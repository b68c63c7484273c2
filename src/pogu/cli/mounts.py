"""Format: `-v` and `--mount` → Binds, Volumes and Mounts of the Docker API."""

from __future__ import annotations

import os

from pogu.cli.failure import UsageError
from pogu.cli.flags import Values
from pogu.cli.limits import size_bytes

__all__ = ["mounts", "volumes"]

Json = dict[str, object]


def volumes(values: Values) -> tuple[list[str], dict[str, object]]:
    """`-v` → (Binds, Volumes).

    Relative host paths become absolute, as Docker's client makes them.
    """
    binds: list[str] = []
    anonymous: dict[str, object] = {}
    for spec in values.texts("volume"):
        source, colon, rest = spec.partition(":")
        if not colon:
            anonymous[spec] = {}
            continue
        if source.startswith((".", "~")):
            source = os.path.abspath(os.path.expanduser(source))
        binds.append(f"{source}:{rest}")
    return binds, anonymous


def mounts(values: Values) -> list[Json]:
    """`--mount` → Mounts. Raises: UsageError for a key that there is not."""
    return [_mount(text) for text in values.texts("mount")]


def _mount(text: str) -> Json:
    mount: Json = {"Type": "volume"}
    options: dict[str, Json] = {}
    for field in text.split(","):
        key, equals, value = field.strip().partition("=")
        key = key.lower()
        if key == "type":
            mount["Type"] = value.lower()
        elif key in ("source", "src"):
            mount["Source"] = value
        elif key in ("target", "destination", "dst"):
            mount["Target"] = value
        elif key in ("readonly", "ro"):
            mount["ReadOnly"] = not equals or value.lower() in ("true", "1")
        elif key == "consistency":
            mount["Consistency"] = value
        elif key == "bind-propagation":
            options.setdefault("BindOptions", {})["Propagation"] = value
        elif key == "bind-create-src":
            options.setdefault("BindOptions", {})["CreateMountpoint"] = value.lower() != "false"
        elif key == "volume-nocopy":
            on = not equals or value.lower() in ("true", "1")
            options.setdefault("VolumeOptions", {})["NoCopy"] = on
        elif key == "volume-subpath":
            options.setdefault("VolumeOptions", {})["Subpath"] = value
        elif key == "tmpfs-size":
            size = size_bytes(value, "mount")
            options.setdefault("TmpfsOptions", {})["SizeBytes"] = size
        elif key == "tmpfs-mode":
            options.setdefault("TmpfsOptions", {})["Mode"] = _octal(value, text)
        else:
            raise UsageError(
                f'invalid argument "{text}" for "--mount" flag: unexpected key \'{key}\' in'
                f" '{field}'",
                hint="type=bind,source=/host,target=/inside[,readonly]",
            )
    if "Target" not in mount:
        raise UsageError(
            f'invalid argument "{text}" for "--mount" flag: target is required',
            hint="type=bind,source=/host,target=/inside",
        )
    source = mount.get("Source")
    if mount["Type"] == "bind" and isinstance(source, str) and source.startswith((".", "~")):
        mount["Source"] = os.path.abspath(os.path.expanduser(source))
    return {**mount, **options}


def _octal(value: str, text: str) -> int:
    try:
        return int(value, 8)
    except ValueError as err:
        raise UsageError(f'invalid argument "{text}" for "--mount" flag: bad mode') from err
