"""Format: volumes as the API shows them."""

from __future__ import annotations

from pogu.storage.tree import tree_bytes
from pogu.volumes.service import Volume

__all__ = ["measured", "summary"]


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
    usage = {"Size": tree_bytes(volume.path), "RefCount": ref_count}
    return summary(volume) | {"UsageData": usage}
