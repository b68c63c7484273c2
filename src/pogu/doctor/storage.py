"""Service: checks of the storage root's file system."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from pogu.doctor.finding import ERROR, OK, WARNING, Finding
from pogu.doctor.host import Host

__all__ = ["check_disk", "check_storage"]

_FEW_BYTES = 2 << 30
_FEW_PERCENT = 5
_NO_BYTES = 100 << 20
_NOT_UPPER = frozenset(
    {"overlay", "aufs", "ecryptfs", "nfs", "nfs4", "cifs", "smb3", "9p", "fuse", "fuseblk"}
    | {"vfat", "exfat", "ntfs", "ntfs3"}
)


def check_storage(host: Host, root: Path) -> Finding:
    """Check that the storage root's file system can be an overlay's upper layer."""
    base = os.path.realpath(host.prefix).rstrip("/")
    path = os.path.realpath(host.at(root)).removeprefix(base) or "/"
    on = [mounted for mounted in host.mounts() if mounted.holds(path)]
    if not on:
        return Finding(check="storage", level=OK, text=f"{root}: file system unknown")
    mounted = max(reversed(on), key=lambda each: len(each.point))
    where = f"{root} is on {mounted.kind} ({mounted.point})"
    quoted = shlex.quote(str(root))
    if mounted.kind.partition(".")[0] in _NOT_UPPER:
        image = shlex.quote(f"{root}.img")
        mend = (
            f"mkdir -p {quoted} && truncate -s 20G {image} && mkfs.ext4 -q {image}"
            f" && mount -o loop {image} {quoted}"
        )
        text = f"{where}, which overlayfs cannot write to"
        return Finding(check="storage", level=ERROR, text=text, mend=mend)
    if mounted.read_only:
        mend = f"mount -o remount,rw {shlex.quote(mounted.point)}"
        return Finding(check="storage", level=ERROR, text=f"{where}, read-only", mend=mend)
    if mounted.kind in ("tmpfs", "ramfs"):
        mend = f"mount /dev/YOUR-DISK {quoted}"
        text = f"{where}: images and volumes are lost at the next boot"
        return Finding(check="storage", level=WARNING, text=text, mend=mend)
    return Finding(check="storage", level=OK, text=where)


def check_disk(host: Host, root: Path) -> list[Finding]:
    """Check free bytes and inodes where the root is or will be."""
    there = host.at(root)
    while not os.path.exists(there) and there != there.parent:
        there = there.parent
    try:
        space = host.statvfs(there)
    except OSError as err:
        text = f"{root}: {err.strerror}"
        mend = f"ls -ld {shlex.quote(str(root))}"
        return [Finding(check="disk", level=ERROR, text=text, mend=mend)]
    free, size = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize
    text = f"{free / 1e9:.1f} GB of {size / 1e9:.1f} GB free"
    few = free < _FEW_BYTES or free * 100 < size * _FEW_PERCENT
    level = ERROR if free < _NO_BYTES else WARNING if few else OK
    found = [_space("disk", level, text)]
    if space.f_files:
        percent = 100 * space.f_favail // space.f_files
        level = ERROR if not space.f_favail else WARNING if percent < _FEW_PERCENT else OK
        found.append(_space("inodes", level, f"{percent} % free"))
    return found


def _space(check: str, level: str, text: str) -> Finding:
    mend = "" if level == OK else "pogu system prune"
    return Finding(check=check, level=level, text=text, mend=mend)
