"""Edge: a directory tree that names of an archive cannot leave, whatever links lie in it.

Parents are resolved by the kernel with the tree's root as `/` (openat2); the last component of a
path is never followed.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pogu.linux.openat2 import openat2_in_root
from pogu.storage.tarstream import BadArchive

__all__ = ["Place", "RootedTree", "clean_path"]

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY
_OPEN_LIMIT = 64
_NO_NAMES = frozenset({"", ".", ".."})


class Place(NamedTuple):
    """A name in an open directory; `real` is that directory's path from the root, without links."""

    parent: int
    name: str
    real: str

    @property
    def real_path(self) -> str:
        return f"{self.real}/{self.name}" if self.real else self.name


def clean_path(name: str) -> str:
    """Return the path below the root, `.` for the root. Raises: BadArchive when it would leave."""
    if "\0" in name:
        raise BadArchive("invalid tar archive: a name holds a NUL byte")
    path = posixpath.normpath(name.lstrip("/") or ".")
    if path == ".." or path.startswith("../"):
        raise BadArchive(
            f"invalid tar archive: {name!r} leaves the root of the archive",
            hint="do not use this archive: it tries to write outside its own directory",
        )
    return path


class RootedTree:
    """Keeps parent directories open between entries. A context manager."""

    def __init__(self, root: Path | str) -> None:
        self.root_fd = os.open(root, _DIRECTORY_FLAGS)
        self._root_path = os.readlink(f"/proc/self/fd/{self.root_fd}")
        self._open: dict[str, Place] = {}
        self._spelled: dict[str, Place] = {}
        """The same by the names that archives write: `./usr/bin` for `usr/bin`."""

    def __enter__(self) -> RootedTree:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._forget(keep=None)
        os.close(self.root_fd)

    def place(self, path: str) -> Place:
        """Return where the last component of `path` stands; missing parents are made (0755)."""
        directory, name = posixpath.split(path)
        known = self._open.get(directory) or self._open_parent(directory)
        return Place(known.parent, name, known.real)

    def place_of_name(self, name: str) -> Place:
        """As `place`, for a name as an archive writes it; the root itself is `.` in itself.

        Raises: BadArchive when the name leaves the root.
        """
        spelled, _, last = name.rpartition("/")
        known = self._spelled.get(spelled)
        if known is not None and last not in _NO_NAMES:
            return Place(known.parent, last, known.real)
        path = clean_path(name)
        if path == ".":
            return Place(self.root_fd, ".", "")
        place = self.place(path)
        if last == place.name:
            self._spelled[spelled] = place
        return place

    def real_path(self, fd: int) -> str:
        """Where an open directory of the tree lies, from the root, without links."""
        return os.readlink(f"/proc/self/fd/{fd}")[len(self._root_path) :].lstrip("/")

    def open_directory(self, path: str, *, links: bool = True) -> int:
        """Open a directory inside the root; the caller closes it. Raises: OSError."""
        return openat2_in_root(self.root_fd, path or ".", _DIRECTORY_FLAGS, links=links)

    def _open_parent(self, directory: str) -> Place:
        if len(self._open) >= _OPEN_LIMIT:
            self._forget(keep=None)
        found = self._open_plain(directory) or self._open_linked(directory)
        self._open[directory] = found
        return found

    def _open_plain(self, directory: str) -> Place | None:
        """None unless every part of the path is a directory that is there."""
        clean = posixpath.normpath(directory) if directory else ""
        if directory != clean or directory.startswith(("/", "..")):
            return None
        try:
            return Place(self.open_directory(directory, links=False), "", directory)
        except OSError:
            return None

    def _open_linked(self, directory: str) -> Place:
        try:
            fd = self.open_directory(directory)
        except OSError as err:
            if err.errno in (errno.ENOTDIR, errno.ELOOP):
                raise BadArchive(
                    f"invalid tar archive: {directory} is not a directory, yet holds entries"
                ) from err
            if err.errno != errno.ENOENT:
                raise
            self._make_parents(directory)
            fd = self.open_directory(directory)
        return Place(fd, "", self.real_path(fd))

    def _make_parents(self, directory: str) -> None:
        """From the top down, without recursion: a path may have two thousand parts."""
        missing = []
        while directory and not self._is_there(directory):
            missing.append(directory)
            directory = posixpath.dirname(directory)
        for path in reversed(missing):
            place = self.place(path)
            try:
                os.mkdir(place.name, 0o755, dir_fd=place.parent)
            except FileExistsError as err:
                raise BadArchive(
                    f"invalid tar archive: {path} is a broken link, yet holds entries"
                ) from err

    def _is_there(self, directory: str) -> bool:
        try:
            os.close(self.open_directory(directory))
        except FileNotFoundError:
            return False
        return True

    def remove(self, place: Place, on_file: Callable[[Place, os.stat_result], None]) -> None:
        """Remove what stands at `place`, whole; `on_file` sees every regular file before."""
        info = os.lstat(place.name, dir_fd=place.parent)
        if stat.S_ISDIR(info.st_mode):
            _remove_tree(place, on_file)
        else:
            if stat.S_ISREG(info.st_mode):
                on_file(place, info)
            os.unlink(place.name, dir_fd=place.parent)
        if not stat.S_ISREG(info.st_mode):
            self._forget(keep=place.parent)

    def _forget(self, keep: int | None) -> None:
        """Close parents: a link or a directory went away, paths may now lead elsewhere."""
        kept = {path: place for path, place in self._open.items() if place.parent == keep}
        for path, place in self._open.items():
            if path not in kept:
                os.close(place.parent)
        self._open = kept
        self._spelled = {}


def _remove_tree(place: Place, on_file: Callable[[Place, os.stat_result], None]) -> None:
    fd = os.open(place.name, _DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=place.parent)
    try:
        for name in os.listdir(fd):
            child = Place(fd, name, place.real_path)
            info = os.lstat(name, dir_fd=fd)
            if stat.S_ISDIR(info.st_mode):
                _remove_tree(child, on_file)
                continue
            if stat.S_ISREG(info.st_mode):
                on_file(child, info)
            os.unlink(name, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(place.name, dir_fd=place.parent)
