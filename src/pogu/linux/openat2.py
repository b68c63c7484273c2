"""Edge: openat2(2), for paths that must not leave a directory whatever links lie on the way."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from pathlib import Path

from pogu.linux.libc import last_error, libc

__all__ = ["openat2_in_root", "read_in_root"]

_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_IN_ROOT = 0x10


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def openat2_in_root(
    root_fd: int, path: str, flags: int, mode: int = 0, *, links: bool = True
) -> int:
    """Open `path` with `root_fd` as its `/`: links and `..` are resolved, never out of it.

    Raises: OSError; with `links` false ELOOP when a part of the path is a symbolic link.
    """
    resolve = _RESOLVE_IN_ROOT | (_RESOLVE_NO_MAGICLINKS if links else _RESOLVE_NO_SYMLINKS)
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    while True:
        fd: int = libc.syscall(
            _SYS_OPENAT2, root_fd, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)
        )
        if fd >= 0:
            return fd
        error = last_error(path)
        if error.errno not in (errno.EINTR, errno.EAGAIN):  # a rename happened meanwhile
            raise error


def read_in_root(root: Path, path: str, limit: int) -> bytes:
    """Read a small regular file below `root`, which no link on the way leaves.

    Raises: OSError; EISDIR, EINVAL for a pipe or a device, EFBIG above `limit` bytes.
    """
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        fd = openat2_in_root(root_fd, path, os.O_RDONLY | os.O_NONBLOCK)
    finally:
        os.close(root_fd)
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            code = errno.EISDIR if stat.S_ISDIR(info.st_mode) else errno.EINVAL
            raise OSError(code, os.strerror(code), path)
        data = b""
        while part := os.read(fd, limit + 1 - len(data)):
            data += part
        if len(data) > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return data
    finally:
        os.close(fd)
