"""Edge: overlayfs mounts as data, and the mount itself."""

from __future__ import annotations

import errno
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pogu.crash_point import crash_point
from pogu.errors import SystemFailure
from pogu.host_failure import host_failure
from pogu.linux import mount as kernel

__all__ = ["OverlayMount", "mount_overlay", "unmount"]

_OPTIONS = (("redirect_dir", "off"), ("metacopy", "off"), ("index", "off"), ("xino", "off"))


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayMount:
    """Everything needed to mount: `lower` is top layer first; no upper means read-only."""

    lower: tuple[Path, ...]
    upper: Path | None = None
    work: Path | None = None
    volatile: bool = False
    """fsync inside does nothing: for what is synced as a whole later, or thrown away."""


def mount_overlay(mount: OverlayMount, target: Path) -> None:
    """Mount at `target` (exists). 127 lower layers must work. An empty `lower` is allowed.

    Raises: SystemFailure with a hint when the kernel refuses.
    """
    lower = mount.lower or (_empty_beside(target),)
    if mount.upper is None and len(lower) == 1:
        lower = (*lower, _empty_beside(target, "empty-below"))
    try:
        try:
            kernel.fs_mount("overlay", _new_api_options(mount, lower), target)
        except OSError as err:
            if err.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            _mount_by_program(mount, lower, target)
    except OSError as err:
        doing = f"error creating overlay mount to {target}"
        raise host_failure(err, doing) or SystemFailure(
            f"{doing}: {err.strerror}", hint=_hint(err)
        ) from err
    crash_point()


def _hint(err: OSError) -> str:
    if err.errno == errno.ENOENT:
        return "a layer or the container's own directory is gone: `pogu system check` says which"
    return "`pogu doctor` tests overlayfs on this storage root"


def _empty_beside(target: Path, name: str = "empty") -> Path:
    """Return an empty directory to stand as a missing lower layer; overlayfs takes each once."""
    empty = target.parent / name
    empty.mkdir(exist_ok=True)
    return empty


def _new_api_options(mount: OverlayMount, lower: tuple[Path, ...]) -> list[tuple[str, str | None]]:
    options: list[tuple[str, str | None]] = [("lowerdir+", str(path)) for path in lower]
    if mount.upper is not None:
        options += [("upperdir", str(mount.upper)), ("workdir", str(mount.work))]
        options += _OPTIONS
        if mount.volatile:
            options.append(("volatile", None))
    return options


def _mount_by_program(mount: OverlayMount, lower: tuple[Path, ...], target: Path) -> None:
    """Kernels before 6.5 have no `lowerdir+`: one page of options, so paths are relative.

    mount(8) is the small child that may change its directory.
    """
    base = Path(os.path.commonpath([str(path) for path in lower]))
    base = base if len(lower) > 1 else base.parent
    words = ["lowerdir=" + ":".join(str(path.relative_to(base)) for path in lower)]
    if mount.upper is not None:
        words += [f"upperdir={mount.upper}", f"workdir={mount.work}"]
        words += [f"{key}={value}" for key, value in _OPTIONS]
        words += ["volatile"] if mount.volatile else []
    done = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", ",".join(words), str(target)],
        cwd=base,
        env=os.environ | {"LIBMOUNT_FORCE_MOUNT2": "always"},
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        text = done.stderr.decode(errors="replace").strip()
        raise OSError(errno.EINVAL, text or "mount failed", str(target))


def unmount(target: Path) -> None:
    """Unmount `target` and whatever is mounted below it. Idempotent."""
    try:
        kernel.umount2(target)
        crash_point()
        return
    except OSError as err:
        if err.errno in (errno.EINVAL, errno.ENOENT):
            return
    for point in kernel.mounts_below(target):
        try:
            kernel.umount2(point, kernel.MNT_DETACH)
        except OSError as err:
            if err.errno not in (errno.EINVAL, errno.ENOENT):
                raise SystemFailure(f"cannot unmount {point}: {err.strerror}") from err
