"""Edge: measuring and removing directory trees that others made, however deep they are."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["TreeMeter", "TreeSize", "remove_tree", "set_aside", "trash_name", "tree_bytes"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_BLOCK_BYTES = 512
_LONGEST_PATH = 3000


@dataclass(frozen=True, slots=True)
class TreeSize:
    """`content_bytes` is Docker's size of a layer: of everything but directories, hard links once.

    `disk_bytes` is what `du` says: the blocks of everything, directories too.
    """

    content_bytes: int = 0
    disk_bytes: int = 0

    def __add__(self, other: TreeSize) -> TreeSize:
        return TreeSize(
            self.content_bytes + other.content_bytes, self.disk_bytes + other.disk_bytes
        )


def tree_bytes(root: Path) -> int:
    """Return Docker's size of a directory tree; 0 for none. Slow."""
    return TreeMeter().measure(root).content_bytes


class TreeMeter:
    """Measures trees; what has hard links in several of them counts in the first.

    Nothing on another file system than `device` counts; None stands for that of each tree.
    """

    def __init__(self, device: int | None = None) -> None:
        self._device = device
        self._seen: set[tuple[int, int]] = set()

    def measure(self, path: Path) -> TreeSize:
        """Return the size of a file, or of a directory and all below it. Slow.

        Other file systems mounted below are not entered; what vanishes meanwhile is left out.
        """
        try:
            info = os.lstat(path)
        except OSError:
            return TreeSize()
        if self._device not in (None, info.st_dev):
            return TreeSize()
        if not stat.S_ISDIR(info.st_mode):
            return self._entry(info)
        try:
            fd = os.open(path, _DIRECTORY)
        except OSError:
            return self._entry(info)
        return self._entry(info) + self._below(fd, info.st_dev)

    def own_bytes(self, path: Path) -> int:
        """Return the disk bytes of the file or directory itself, without what is in it."""
        try:
            return self._entry(os.lstat(path)).disk_bytes
        except OSError:
            return 0

    def _entry(self, info: os.stat_result) -> TreeSize:
        is_directory = stat.S_ISDIR(info.st_mode)
        if info.st_nlink > 1 and not is_directory:
            key = (info.st_dev, info.st_ino)
            if key in self._seen:
                return TreeSize()
            self._seen.add(key)
        return TreeSize(0 if is_directory else info.st_size, info.st_blocks * _BLOCK_BYTES)

    def _below(self, top_fd: int, device: int) -> TreeSize:
        """Measure what is in a directory; its descriptor is consumed."""
        content, disk = 0, 0
        waiting = ["."]
        try:
            while waiting:
                path = waiting.pop()
                for name, info in _listed(top_fd, path):
                    if info.st_dev != device:
                        continue
                    size = self._entry(info)
                    if stat.S_ISDIR(info.st_mode):
                        size += self._descend(top_fd, f"{path}/{name}", device, waiting)
                    content += size.content_bytes
                    disk += size.disk_bytes
        finally:
            os.close(top_fd)
        return TreeSize(content, disk)

    def _descend(self, top_fd: int, path: str, device: int, waiting: list[str]) -> TreeSize:
        """Put a directory on the list; one whose path has become long is a top of its own."""
        if len(path) < _LONGEST_PATH:
            waiting.append(path)
            return TreeSize()
        try:
            fd = os.open(path, _DIRECTORY, dir_fd=top_fd)
        except OSError:
            return TreeSize()
        return self._below(fd, device)


def _listed(top_fd: int, path: str) -> list[tuple[str, os.stat_result]]:
    try:
        fd = os.open(path, _DIRECTORY, dir_fd=top_fd)
    except OSError:
        return []
    found = []
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    found.append((entry.name, entry.stat(follow_symlinks=False)))
    finally:
        os.close(fd)
    return found


def trash_name(tmp: Path) -> Path:
    """A free name in tmp/ that is swept at start."""
    return tmp / f"removed-{secrets.token_hex(8)}"


def set_aside(path: Path, tmp: Path) -> Path:
    """Rename into tmp/: gone at once, for `remove_tree` later, swept after a kill. Idempotent.

    Nothing is made for it: it works on a disk without a free block or inode.
    """
    trash = trash_name(tmp)
    with contextlib.suppress(FileNotFoundError):
        path.rename(trash)
    return trash


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
