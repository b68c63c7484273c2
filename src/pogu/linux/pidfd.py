"""Edge: pidfd_getfd(2): a descriptor of another process."""

from __future__ import annotations

import ctypes
import os

__all__ = ["descriptor_of"]

_libc = ctypes.CDLL(None, use_errno=True)
_SYS_PIDFD_GETFD = 438


def descriptor_of(pid: int, number: int) -> int:
    """Return a duplicate (close-on-exec) of that process's descriptor `number`.

    Raises: OSError; EPERM where ptrace is forbidden, ESRCH when the process has ended.
    """
    pidfd = os.pidfd_open(pid)
    try:
        fd: int = _libc.syscall(_SYS_PIDFD_GETFD, pidfd, number, 0)
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), f"/proc/{pid}/fd/{number}")
    finally:
        os.close(pidfd)
    return fd
