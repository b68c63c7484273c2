"""Edge: a part of a volume (`volume-subpath=`), mounted so that no link leads out of the volume.

Whoever has the volume may put links on the way at any moment, also after it was looked at. So the
part is opened below the volume and held by a mount of its own while the runtime makes its mount:

    <run_root>/subpaths/<random>    for that moment; nothing is ever removed *below* it
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

import msgspec

from pogu.config import Paths
from pogu.containers.model import MountPoint
from pogu.errors import InvalidParameter
from pogu.linux import mount as kernel
from pogu.linux.openat2 import openat2_in_root

__all__ = ["pinned", "subpath_of", "sweep_subpaths"]


def subpath_of(mount: MountPoint, paths: Paths) -> str:
    """Return the part of the volume that is mounted; empty for the whole, and for no volume."""
    data = paths.volumes / mount.name / "_data"
    if mount.type != "volume" or not Path(mount.source).is_relative_to(data):
        return ""
    subpath = os.path.relpath(mount.source, data)
    return "" if subpath == "." else subpath


def pinned(mount: MountPoint, paths: Paths, held: contextlib.ExitStack) -> MountPoint:
    """Return the mount with a source that cannot change as long as `held` is open.

    Raises: InvalidParameter when there is no such path in the volume.
    """
    subpath = subpath_of(mount, paths)
    if not subpath:
        return mount
    try:
        root_fd = os.open(paths.volumes / mount.name / "_data", os.O_PATH | os.O_DIRECTORY)
        try:
            fd = openat2_in_root(root_fd, subpath, os.O_PATH)
        finally:
            os.close(root_fd)
    except OSError as err:
        raise InvalidParameter(
            f"cannot access path {mount.source}: {(err.strerror or '').lower()}",
            hint=f"make {subpath} in the volume {mount.name} first",
        ) from err
    try:
        target = _target(paths, is_directory=stat.S_ISDIR(os.fstat(fd).st_mode))
        held.callback(_let_go, target)
        kernel.bind_mount(f"/proc/self/fd/{fd}", target)
    finally:
        os.close(fd)
    return msgspec.structs.replace(mount, source=str(target))


def _target(paths: Paths, *, is_directory: bool) -> Path:
    directory = paths.run_root / "subpaths"
    directory.mkdir(mode=0o700, exist_ok=True)
    target = directory / secrets.token_hex(8)
    if is_directory:
        target.mkdir(mode=0o700)
    else:
        target.touch(mode=0o600)
    return target


def _let_go(target: Path) -> None:
    with contextlib.suppress(OSError):
        kernel.umount2(target, kernel.MNT_DETACH)
    with contextlib.suppress(OSError):
        target.rmdir() if target.is_dir() else target.unlink()


def sweep_subpaths(paths: Paths) -> None:
    """At start: let go of what a killed engine held."""
    with contextlib.suppress(FileNotFoundError):
        for entry in list(os.scandir(paths.run_root / "subpaths")):
            _let_go(Path(entry.path))
