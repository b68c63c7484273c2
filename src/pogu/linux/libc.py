"""Edge: the C library, for the system calls that Python has no name for."""

from __future__ import annotations

import ctypes
import os

__all__ = ["last_error", "libc"]

libc = ctypes.CDLL(None, use_errno=True)


def last_error(what: object) -> OSError:
    """Return the error of this thread's last call that failed; `what` stands for its file."""
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), str(what))
