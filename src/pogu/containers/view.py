"""Service: a container's tree, mounted for as long as somebody looks into it.

<run_root>/views/<random>/root    for that time; what a killed engine left is swept at start
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pogu.config import Paths
from pogu.containers.model import MountPoint
from pogu.errors import SystemFailure
from pogu.linux import mount as kernel
from pogu.linux.openat2 import openat2_in_root
from pogu.storage.overlay import OverlayMount, mount_overlay, unmount
from pogu.storage.rooted import RootedTree
from pogu.storage.tarstream import BadArchive

__all__ = [
    "make_mount_points",
    "mount_volumes",
    "mounted_view",
    "opened_directory",
    "sweep_views",
]


@contextmanager
def opened_directory(path: Path | str) -> Iterator[int]:
    """Give a descriptor of a directory."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def mounted_view(paths: Paths, overlay: OverlayMount) -> Iterator[Path]:
    """Mount an overlay at a place of its own; afterwards nothing of it is left. Slow."""
    directory = paths.run_root / "views" / secrets.token_hex(8)
    target = directory / "root"
    target.mkdir(mode=0o700, parents=True)
    try:
        mount_overlay(overlay, target)
        yield target
    finally:
        _let_go(directory)


def make_mount_points(target: Path, mounts: Sequence[MountPoint]) -> None:
    """Make what is missing of the directories (and files) that mounts need. Idempotent."""
    for mount in mounts:
        with opened_directory(target) as root:
            try:
                os.close(openat2_in_root(root, mount.destination, os.O_PATH))
            except OSError:
                _make(target, mount)


def _make(target: Path, mount: MountPoint) -> None:
    with RootedTree(target) as tree, contextlib.suppress(OSError, BadArchive):
        place = tree.place(mount.destination.strip("/"))
        if mount.type != "tmpfs" and _is_no_directory(mount.source):
            os.close(os.open(place.name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, dir_fd=place.parent))
        else:
            os.mkdir(place.name, 0o755, dir_fd=place.parent)


def _is_no_directory(path: str) -> bool:
    """True for a file or a socket that is there."""
    return os.path.exists(path) and not os.path.isdir(path)


def mount_volumes(target: Path, mounts: Sequence[MountPoint]) -> None:
    """Mount volumes and host directories into a view, which takes them away with itself.

    A tmpfs of a stopped container holds nothing. Raises: SystemFailure.
    """
    for mount in mounts:
        if mount.type != "tmpfs":
            _bind(mount, target)


def _bind(mount: MountPoint, target: Path) -> None:
    """A place or a source that is not there is left out, as nothing can be in it."""
    with opened_directory(target) as root:
        try:
            fd = openat2_in_root(root, mount.destination, os.O_PATH)
        except OSError:
            return
        try:
            place = f"/proc/self/fd/{fd}"
            kernel.bind_private(mount.source, place, read_only=not mount.rw)
        except FileNotFoundError:
            return
        except OSError as err:
            raise SystemFailure(f"cannot mount {mount.source}: {err.strerror}") from err
        finally:
            os.close(fd)


def _let_go(directory: Path) -> None:
    """Never deletes below a mount: what is still mounted stays."""
    unmount(directory / "root")
    if not os.path.ismount(directory / "root"):
        for name in ("root", "empty", "empty-below"):
            with contextlib.suppress(OSError):
                (directory / name).rmdir()
        with contextlib.suppress(OSError):
            directory.rmdir()


def sweep_views(paths: Paths) -> None:
    """At start: let go of what a killed engine held."""
    with contextlib.suppress(FileNotFoundError):
        for entry in list(os.scandir(paths.run_root / "views")):
            _let_go(Path(entry.path))
