"""Edge: COPY and ADD: files into a tree, by the Dockerfile reference's rules.

The destination is resolved inside the tree, whatever links lie on the way. What comes from the
build context belongs to 0:0; what comes from another stage keeps its owner.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pogu.build.context import Context, SourceEntry
from pogu.build.reuse import Links, PreviousLayer
from pogu.errors import EngineError, InvalidParameter
from pogu.storage.failure import write_failure
from pogu.storage.rooted import Place, RootedTree
from pogu.storage.tarstream import BadArchive

__all__ = ["CopyJob", "Source", "copy_into", "make_directory"]

_CHUNK = 1 << 20
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_NOT_AT_CREATION = 0o7000 | 0o022
"""Mode bits that open(2) does not set by itself: special ones, and those of the engine's umask."""
_MOST_LINKS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One thing that a source names, in the context it was found in."""

    context: Context
    entry: SourceEntry
    name: str
    """What it is called in a directory: the last part of what was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyJob:
    """One COPY. `owner` None keeps the sources' owners; `mode` None their modes."""

    sources: Sequence[Source]
    destination: str
    """Absolute; a slash at the end makes it a directory."""
    owner: tuple[int, int] | None
    mode: int | None
    previous: PreviousLayer | None = None
    """Files that are the same there are not copied but noted in the returned `Links`."""


def copy_into(root: Path, job: CopyJob) -> Links:
    """Copy below `root`, and return what is still to be linked there. Slow.

    Raises: InvalidParameter when the destination does not fit; SystemFailure on a full disk.
    """
    to_directory = job.destination.endswith("/") or len(job.sources) > 1
    if len(job.sources) > 1 and not job.destination.endswith("/"):
        raise InvalidParameter(
            "When using COPY with more than one source file, the destination must be a directory"
            " and end with a /",
            hint=f"write {job.destination}/",
        )
    try:
        with RootedTree(root) as tree:
            copier = _Copier(tree, job)
            for source in job.sources:
                copier.copy(source, to_directory=to_directory)
            copier.finish()
            return copier.links
    except BadArchive as err:
        words = err.message.removeprefix("invalid tar archive: ")
        raise InvalidParameter(f"COPY failed: {words}") from err
    except OSError as err:
        raise _copy_error(err) from err


def make_directory(root: Path, path: str) -> None:
    """Make a directory and its parents below `root` (WORKDIR). Raises: as `copy_into`."""
    job = CopyJob(sources=(), destination=path, owner=(0, 0), mode=None)
    try:
        with RootedTree(root) as tree:
            _Copier(tree, job).make_directory(posixpath.normpath(path).lstrip("/") or ".")
    except BadArchive as err:
        raise InvalidParameter(f"cannot create directory {path}: {err.message}") from err
    except OSError as err:
        raise _copy_error(err) from err


def _copy_error(err: OSError) -> EngineError:
    if err.errno in (errno.ENOTDIR, errno.EISDIR):
        return InvalidParameter(
            f"COPY failed: cannot copy to non-directory: {err.filename}",
            hint="something of another kind stands at the destination",
        )
    if err.errno in (errno.EACCES, errno.EPERM, errno.EIO):
        return InvalidParameter(
            f"COPY failed: open {err.filename}: {(err.strerror or '').lower()}",
            hint="the engine cannot read it; leave it out by .dockerignore or mend its mode",
        )
    return write_failure(err)


class _Copier:
    def __init__(self, tree: RootedTree, job: CopyJob) -> None:
        self._tree = tree
        self._job = job
        self._times: list[tuple[str, os.stat_result]] = []
        self.links = Links()
        self._fresh: set[str] = set()
        self._copied_up: set[str] = set()
        self._last_real = "\0"
        self._last_owner = (-1, -1)

    def copy(self, source: Source, *, to_directory: bool) -> None:
        """Copy one source: a directory's contents, or a file under its name."""
        destination = posixpath.normpath(self._job.destination).lstrip("/") or "."
        if source.entry.is_directory:
            self._directory(destination, source.entry.info)
            prefix = "" if source.entry.path == "." else source.entry.path + "/"
            for below in source.context.walk(source.entry):
                self._entry(posixpath.join(destination, below.path[len(prefix) :]), below)
            return
        if to_directory or self._is_directory(destination):
            self._directory(destination, None)
            destination = posixpath.join(destination, source.name)
        else:
            self._directory(posixpath.dirname(destination) or ".", None)
            destination = self._followed(destination)
        self._entry(destination, source.entry)

    def _followed(self, path: str) -> str:
        """Where a link that stands at the destination itself leads, inside the root."""
        for _ in range(_MOST_LINKS):
            place = self._tree.place(path)
            try:
                target = os.readlink(place.name, dir_fd=place.parent)
            except OSError:
                return path
            path = posixpath.join("/", place.real, target).strip("/")
        raise InvalidParameter(f"COPY failed: too many links at {self._job.destination}")

    def make_directory(self, path: str) -> None:
        self._directory(path, None)

    def _is_directory(self, path: str) -> bool:
        try:
            os.close(self._tree.open_directory(path))
        except OSError:
            return False
        return True

    def _directory(
        self, path: str, info: os.stat_result | None, *, overwrite: bool = False
    ) -> None:
        """Make a directory and its missing parents; one that is there keeps what it is, unless
        the source has one of the same path below its top (`overwrite`).
        """
        if path in ("", "."):
            return
        if not self._is_directory(path):
            self._directory(posixpath.dirname(path), None)
            place = self._tree.place(path)
            try:
                os.mkdir(place.name, 0o755, dir_fd=place.parent)
                self._fresh.add(place.real_path)
            except FileExistsError as err:
                raise NotADirectoryError(errno.ENOTDIR, "not a directory", f"/{path}") from err
        elif not overwrite:
            return
        self._set_directory(path, info)

    def _set_directory(self, path: str, info: os.stat_result | None) -> None:
        fd = self._tree.open_directory(path)
        try:
            owner = self._job.owner or ((info.st_uid, info.st_gid) if info else (0, 0))
            os.fchown(fd, *owner)
            mode = self._job.mode if self._job.mode is not None and info else None
            if info is not None or mode is not None:
                os.fchmod(fd, mode if mode is not None else stat.S_IMODE(info.st_mode))  # type: ignore[union-attr]
        finally:
            os.close(fd)
        if info is not None:
            self._times.append((path, info))

    def _entry(self, path: str, entry: SourceEntry) -> None:
        info = entry.info
        if stat.S_ISDIR(info.st_mode):
            self._directory(path, info, overwrite=True)
            return
        if stat.S_ISSOCK(info.st_mode):
            return  # as tar leaves them out
        place = self._tree.place(path)
        if stat.S_ISREG(info.st_mode):
            if self._job.previous is None or not self._linked(place, path, entry):
                self._regular(place, path, entry)
            return
        self._make_room(place, path)
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(entry.full), place.name, dir_fd=place.parent)
            owner = self._job.owner or (info.st_uid, info.st_gid)
            os.chown(place.name, *owner, dir_fd=place.parent, follow_symlinks=False)
            times = (info.st_atime_ns, info.st_mtime_ns)
            os.utime(place.name, ns=times, dir_fd=place.parent, follow_symlinks=False)
        else:
            os.mknod(place.name, info.st_mode, info.st_rdev, dir_fd=place.parent)
            owner = self._job.owner or (info.st_uid, info.st_gid)
            os.chown(place.name, *owner, dir_fd=place.parent, follow_symlinks=False)

    def _make_room(self, place: Place, path: str) -> None:
        try:
            found = os.lstat(place.name, dir_fd=place.parent)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "is a directory", f"/{path}")
        os.unlink(place.name, dir_fd=place.parent)

    def _linked(self, place: Place, path: str, entry: SourceEntry) -> bool:
        """Note the file for linking when the step's previous layer has the same one."""
        assert self._job.previous is not None
        info = entry.info
        source = self._job.previous.has(
            place.real_path,
            entry.path,
            info,
            mode=stat.S_IMODE(info.st_mode) if self._job.mode is None else self._job.mode,
            owner=self._job.owner or (info.st_uid, info.st_gid),
        )
        if source is None:
            return False
        if place.real not in self._fresh:
            self._make_room(place, path)
            self._copy_up(place)
        self.links.files.append((place.real_path, source))
        return True

    def _copy_up(self, place: Place) -> None:
        """The directory must be in the layer itself for a link to go there."""
        if place.real not in self._copied_up:
            self._copied_up.add(place.real)
            os.fchmod(place.parent, stat.S_IMODE(os.fstat(place.parent).st_mode))

    def _regular(self, place: Place, path: str, entry: SourceEntry) -> None:
        """Every call counts: there may be a hundred thousand files."""
        info = entry.info
        source = os.open(entry.full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            owner = self._job.owner or (info.st_uid, info.st_gid)
            mode = stat.S_IMODE(info.st_mode) if self._job.mode is None else self._job.mode
            made_as = 0o600 if mode & _NOT_AT_CREATION else mode
            try:
                target = os.open(place.name, _NEW_FILE, made_as, dir_fd=place.parent)
            except FileExistsError:
                self._make_room(place, path)
                target = os.open(place.name, _NEW_FILE, made_as, dir_fd=place.parent)
            try:
                _copy_content(source, target, info.st_size)
                if owner != self._created_as(place):
                    os.fchown(target, *owner)
                if made_as != mode:
                    os.fchmod(target, mode)
                _copy_xattrs(source, target)
                os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _created_as(self, place: Place) -> tuple[int, int]:
        """The owner of what is made in a directory: ours, or the group of a setgid one."""
        if place.real != self._last_real:
            info = os.fstat(place.parent)
            group = info.st_gid if info.st_mode & stat.S_ISGID else os.getegid()
            self._last_real, self._last_owner = place.real, (os.geteuid(), group)
        return self._last_owner

    def finish(self) -> None:
        """Times of directories last: every file in them has changed them."""
        for path, info in reversed(self._times):
            fd = self._tree.open_directory(path)
            try:
                os.utime(fd, ns=(info.st_atime_ns, info.st_mtime_ns))
                real = self._tree.real_path(fd)
                self.links.times.append((real, info.st_atime_ns, info.st_mtime_ns))
            finally:
                os.close(fd)


def _copy_content(source: int, target: int, size: int) -> None:
    """Small files by one read and one write, large ones inside the kernel."""
    if size <= _CHUNK:
        while data := os.read(source, _CHUNK):
            view = memoryview(data)
            while view:
                view = view[os.write(target, view) :]
        return
    while os.sendfile(target, source, None, 1 << 28):
        pass


def _copy_xattrs(source: int, target: int) -> None:
    for name in os.listxattr(source):
        if name.startswith(("user.", "security.capability")):
            with contextlib.suppress(OSError):
                os.setxattr(target, name, os.getxattr(source, name))
