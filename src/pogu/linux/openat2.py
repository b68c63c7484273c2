"""Edge: openat2(2), for paths that must not leave a directory whatever links lie on the way."""

from __future__ import annotations

import ctypes
import os

__all__ = ["openat2_in_root"]

_libc = ctypes.CDLL(None, use_errno=True)
_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def openat2_in_root(root_fd: int, path: str, flags: int, mode: int = 0) -> int:
    """Open `path` with `root_fd` as its `/`: links and `..` are resolved, never out of it."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    while True:
        fd: int = _libc.syscall(
            _SYS_OPENAT2, root_fd, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)
        )
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        if code not in (4, 11):  # EINTR, EAGAIN: a rename happened meanwhile
            raise OSError(code, os.strerror(code), path)
