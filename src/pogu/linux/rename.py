"""Edge: renameat2(2), for exchanging two paths in one step."""

from __future__ import annotations

import os
from pathlib import Path

from pogu.linux.libc import last_error, libc

__all__ = ["exchange"]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def exchange(one: Path, other: Path) -> None:
    """Let two existing paths of one file system change places. Raises: OSError."""
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        raise last_error(other)
