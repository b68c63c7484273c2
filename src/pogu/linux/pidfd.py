"""Edge: pidfd_getfd(2): a descriptor of another process."""

from __future__ import annotations

import os

from pogu.linux.libc import last_error, libc

__all__ = ["descriptor_of"]

_SYS_PIDFD_GETFD = 438


def descriptor_of(pid: int, number: int) -> int:
    """Return a duplicate (close-on-exec) of that process's descriptor `number`.

    Raises: OSError; EPERM where ptrace is forbidden, ESRCH when the process has ended.
    """
    pidfd = os.pidfd_open(pid)
    try:
        fd: int = libc.syscall(_SYS_PIDFD_GETFD, pidfd, number, 0)
        if fd < 0:
            raise last_error(f"/proc/{pid}/fd/{number}")
    finally:
        os.close(pidfd)
    return fd
