"""Edge: mounting, by the new mount API (fsopen, fsconfig, fsmount, move_mount) and umount2.

The numbers of these system calls are the same on every architecture (they came after the
numbers were unified).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from pogu.linux.libc import last_error, libc

__all__ = [
    "bind_mount",
    "bind_private",
    "fs_mount",
    "is_mounted",
    "mount",
    "mounts_below",
    "umount2",
]


_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_FSOPEN = 430
_SYS_FSCONFIG = 431
_SYS_FSMOUNT = 432
_SYS_MOUNT_SETATTR = 442

_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_CMD_CREATE = 6
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOVE_MOUNT_T_SYMLINKS = 0x10
_OPEN_TREE_CLONE = 1
_AT_EMPTY_PATH = 0x1000
_MOUNT_ATTR_RDONLY = 1
_MOUNT_ATTR_IDMAP = 0x100000
_AT_FDCWD = -100

MS_RDONLY = 1
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2


def fs_mount(
    fs_type: str, options: Sequence[tuple[str, str | None]], target: Path, *, source: str = ""
) -> None:
    """Mount a new file system at `target`; options may repeat (`lowerdir+`), None = a flag.

    Raises: OSError, with what the kernel logged about it as the text where it did.
    """
    context = libc.syscall(_SYS_FSOPEN, fs_type.encode(), _FSOPEN_CLOEXEC)
    if context < 0:
        raise last_error(fs_type)
    try:
        for key, value in (("source", source or fs_type), *options):
            command = _FSCONFIG_SET_FLAG if value is None else _FSCONFIG_SET_STRING
            text = None if value is None else os.fsencode(value)
            if libc.syscall(_SYS_FSCONFIG, context, command, key.encode(), text, 0) < 0:
                _raise_with_log(context, f"{key}={value}")
        if libc.syscall(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0) < 0:
            _raise_with_log(context, target)
        mount_fd = libc.syscall(_SYS_FSMOUNT, context, _FSMOUNT_CLOEXEC, 0)
        if mount_fd < 0:
            _raise_with_log(context, target)
        try:
            moved = libc.syscall(
                _SYS_MOVE_MOUNT,
                mount_fd,
                b"",
                _AT_FDCWD,
                os.fsencode(target),
                _MOVE_MOUNT_F_EMPTY_PATH,
            )
            if moved < 0:
                raise last_error(target)
        finally:
            os.close(mount_fd)
    finally:
        os.close(context)


def _raise_with_log(context: int, path: object) -> None:
    """Raise the last error with the message that the file system left in its context."""
    error = last_error(path)
    try:
        said = os.read(context, 4096).decode(errors="replace").strip()
    except OSError:
        said = ""
    raise OSError(error.errno, said.removeprefix("e ") or error.strerror, str(path))


def mount(source: str, target: Path, fs_type: str, flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    result = libc.mount(
        os.fsencode(source), os.fsencode(target), fs_type.encode(), flags, data.encode() or None
    )
    if result < 0:
        raise last_error(target)


def bind_mount(source: Path | str, target: Path | str) -> None:
    """Bind `source` at `target`, both exist."""
    mount(os.fspath(source), Path(target), "none", MS_BIND)


def bind_private(
    source: Path | str, target: Path | str, *, read_only: bool, userns_fd: int = -1
) -> None:
    """Attach a copy of the mount at `source` (without what is mounted below it) at `target`.

    It is private and, if asked for, read-only before anybody can see it. Owners are shown through
    the user namespace `userns_fd`: its IDs are those on disk. Raises: OSError.
    """
    fd = libc.syscall(
        _SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(source), _OPEN_TREE_CLONE | os.O_CLOEXEC
    )
    if fd < 0:
        raise last_error(source)
    try:
        wanted = _MOUNT_ATTR_RDONLY if read_only else 0
        wanted |= _MOUNT_ATTR_IDMAP if userns_fd >= 0 else 0
        attributes = struct.pack("4Q", wanted, 0, MS_PRIVATE, max(userns_fd, 0))
        if (
            libc.syscall(_SYS_MOUNT_SETATTR, fd, b"", _AT_EMPTY_PATH, attributes, len(attributes))
            < 0
        ):
            raise last_error(source)
        flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_SYMLINKS
        if libc.syscall(_SYS_MOVE_MOUNT, fd, b"", _AT_FDCWD, os.fsencode(target), flags) < 0:
            raise last_error(target)
    finally:
        os.close(fd)


def umount2(target: Path, flags: int = 0) -> None:
    """umount2(2)."""
    if libc.umount2(os.fsencode(target), flags) < 0:
        raise last_error(target)


def is_mounted(path: Path) -> bool:
    """True when something is mounted at `path`, be it a directory of the same file system."""
    return Path(os.path.realpath(path)) in mounts_below(path)


def mounts_below(directory: Path) -> list[Path]:
    """Return the mount points at or below `directory`, innermost first."""
    prefix = os.path.realpath(directory)
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            point = line.split(" ", 5)[4]
            if "\\" in point:
                point = point.encode("latin-1", "surrogateescape").decode("unicode_escape")
            if point == prefix or point.startswith(prefix + "/"):
                found.append(Path(point))
    return found[::-1]
