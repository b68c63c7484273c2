"""Edge: removing directory trees that others made, however deep they are."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import Any

__all__ = ["remove_tree"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def remove_tree(path: Path) -> None:
    """Remove a directory and all below it. Idempotent; what cannot go stays. Slow.

    shutil.rmtree descends by recursion with one descriptor a level, so a thousand directories in
    each other, which any tar or container can make, defeat it: such a tree is made flat first.
    """
    too_deep = False

    def note(_function: object, _path: object, failure: Any) -> None:
        nonlocal too_deep
        too_deep |= getattr(failure[1], "errno", None) == errno.EMFILE

    try:
        shutil.rmtree(path, onerror=note)
    except RecursionError:
        too_deep = True
    if too_deep:
        _flatten(path)
        shutil.rmtree(path, ignore_errors=True)


def _flatten(top: Path) -> None:
    """Move every directory to the first level."""
    top_fd = os.open(top, _DIRECTORY)
    try:
        waiting = os.listdir(top_fd)
        count = 0
        while waiting:
            try:
                fd = os.open(waiting.pop(), _DIRECTORY, dir_fd=top_fd)
            except OSError:
                continue  # no directory
            try:
                for name in os.listdir(fd):
                    count += 1
                    moved = f".flat-{count}"
                    with contextlib.suppress(OSError):
                        os.rename(name, moved, src_dir_fd=fd, dst_dir_fd=top_fd)
                        waiting.append(moved)
            finally:
                os.close(fd)
    finally:
        os.close(top_fd)
