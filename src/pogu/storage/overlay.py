"""Edge: overlayfs mounts as data, and the mount itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["OverlayMount", "mount_overlay", "unmount"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayMount:
    """Everything needed to mount: `lower` is top layer first; no upper means read-only."""

    lower: tuple[Path, ...]
    upper: Path | None = None
    work: Path | None = None


def mount_overlay(mount: OverlayMount, target: Path) -> None:
    """Mount at `target` (exists). 127 lower layers must work. An empty `lower` is allowed.

    Raises: SystemFailure with a hint when the kernel refuses.
    """
    raise NotImplementedError


def unmount(target: Path) -> None:
    """Unmount `target` and whatever is mounted below it. Idempotent."""
    raise NotImplementedError
