"""Format: volumes as the API shows them, and who uses them."""

from __future__ import annotations

import os
from collections.abc import Iterable

from pogu.containers.model import Container
from pogu.volumes import Volume

__all__ = ["measured", "summary", "users"]


def summary(volume: Volume) -> dict[str, object]:
    return {
        "CreatedAt": volume.created,
        "Driver": "local",
        "Labels": dict(volume.labels) or None,
        "Mountpoint": str(volume.path),
        "Name": volume.name,
        "Options": dict(volume.options) or None,
        "Scope": "local",
    }


def measured(volume: Volume, ref_count: int) -> dict[str, object]:
    """Add the size. Slow: it looks at every file."""
    usage = {"Size": size_bytes(volume), "RefCount": ref_count}
    return summary(volume) | {"UsageData": usage}


def size_bytes(volume: Volume) -> int:
    """Sum of the files' sizes. Slow."""
    total = 0
    for directory, _, names in os.walk(volume.path):
        for name in names:
            try:
                total += os.lstat(os.path.join(directory, name)).st_size
            except OSError:
                continue
    return total


def users(containers: Iterable[Container]) -> dict[str, list[str]]:
    """Return the IDs of the containers that use each volume, by the volume's name."""
    found: dict[str, list[str]] = {}
    for container in containers:
        for mount in container.record.mounts:
            if mount.type == "volume":
                found.setdefault(mount.name, []).append(container.id)
    return found
