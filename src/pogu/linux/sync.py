"""Edge: making things durable."""

from __future__ import annotations

import os
from pathlib import Path

from pogu.crash_point import crash_point
from pogu.linux.libc import last_error, libc

__all__ = ["fsync_directory", "fsync_file", "syncfs"]


def syncfs(path: Path) -> None:
    """Write back the whole file system that `path` lies on: once per layer, not once per file."""
    fd = os.open(path, os.O_RDONLY)
    try:
        if libc.syncfs(fd) < 0:
            raise last_error(path)
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
