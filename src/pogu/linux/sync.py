"""Edge: making things durable."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from pogu.crash_point import crash_point

__all__ = ["fsync_directory", "fsync_file", "syncfs"]

_libc = ctypes.CDLL(None, use_errno=True)


def syncfs(path: Path) -> None:
    """Write back the whole file system that `path` lies on: once per layer, not once per file."""
    fd = os.open(path, os.O_RDONLY)
    try:
        if _libc.syncfs(fd) < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(fd)
    crash_point()


def fsync_file(path: Path) -> None:
    """Make a file's content durable, its name not yet."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    crash_point()


def fsync_directory(path: Path) -> None:
    """Make renames into `path` durable."""
    crash_point()
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
