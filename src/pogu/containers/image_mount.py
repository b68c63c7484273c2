"""Edge: an image's tree in a container (`--mount type=image`), read-only.

The tree is mounted as a view only while the runtime makes its own mount of it (`view.py`), so that
nothing is left to release when the container ends, and to a killed engine nothing but the view.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from pogu.config import Paths
from pogu.containers.model import MountPoint
from pogu.containers.subpath import pinned
from pogu.containers.view import mounted_view, opened_directory
from pogu.errors import InvalidParameter
from pogu.linux.openat2 import openat2_in_root
from pogu.storage.layers import LayerStore
from pogu.storage.overlay import OverlayMount

__all__ = ["MountSources"]


class MountSources:
    """Where the kernel finds what a container has mounted."""

    def __init__(self, paths: Paths, layers: LayerStore) -> None:
        self._paths = paths
        self._layers = layers

    def held(self, mount: MountPoint, held: contextlib.ExitStack) -> MountPoint:
        """Return the mount with a source that is there, and the same, while `held` is open. Slow.

        Raises: InvalidParameter when a volume or an image has no such part.
        """
        if mount.type != "image":
            return pinned(mount, self._paths, held)
        lower = self._layers.lower_directories(mount.layer)
        overlay = OverlayMount(lower=(*lower, *self._empty(2 - len(lower))))
        root = held.enter_context(mounted_view(self._paths, overlay))
        source = str(root)
        if mount.subpath:
            source = _inside(source, mount)
        return msgspec.structs.replace(mount, source=source)

    def _empty(self, count: int) -> list[Path]:
        """Directories to fill up with: overlayfs wants two, and they outlive the view."""
        found = [self._paths.run_root / "empty" / str(number) for number in range(count)]
        for path in found:
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
        return found


def _inside(root: str, mount: MountPoint) -> str:
    """Nobody writes in the tree: what the links on the way say now, they say later."""
    try:
        with opened_directory(root) as root_fd:
            fd = openat2_in_root(root_fd, mount.subpath, os.O_PATH)
    except OSError as err:
        raise InvalidParameter(
            f"cannot access path {mount.subpath}: {(err.strerror or '').lower()}",
            hint=f"`pogu image tree {mount.name}` says what each layer of the image has",
        ) from err
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
