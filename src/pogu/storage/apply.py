"""Edge: unpack a layer tar into a directory in overlayfs' own form (image-spec layer.md).

Whiteouts become character devices 0:0, opaque directories the xattr trusted.overlay.opaque=y.
No entry is written outside the root: parents are resolved with the root as `/` by the kernel
(openat2), the last component is never followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pogu.errors import EngineError, SystemFailure
from pogu.linux.openat2 import openat2_in_root
from pogu.storage.compression import decompressed
from pogu.storage.tarstream import BadArchive, JournalEntry, TarStream

__all__ = ["Applied", "apply_tar", "no_space"]

_CHUNK = 1 << 20
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY
_XATTR = "SCHILY.xattr."


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """`diff_id_hex` is the digest of the uncompressed tar; `size_bytes` of its regular files."""

    diff_id_hex: str
    size_bytes: int
    journal: list[JournalEntry]


def apply_tar(tar: BinaryIO, root: Path, *, whiteouts: bool = True) -> Applied:
    """Unpack `tar` (any compression) below `root`.

    With `whiteouts` false, `.wh.` names are ordinary files (a build context, ADD).
    Raises: BadArchive; SystemFailure when the disk is full or the kernel refuses.
    """
    stream = TarStream(decompressed(tar))
    root_fd = os.open(root, _DIRECTORY_FLAGS)
    try:
        unpacker = _Unpacker(stream, root_fd, whiteouts=whiteouts)
        for entry in stream.entries():
            unpacker.unpack(entry)
        unpacker.finish()
        return Applied(
            diff_id_hex=stream.finish(),
            size_bytes=unpacker.size_bytes,
            journal=stream.journal,
        )
    except OSError as err:
        raise no_space(err) from err
    finally:
        stream.close()
        os.close(root_fd)


def no_space(err: OSError) -> EngineError:
    """Turn an OSError while writing layers into ours; a full disk gets its hint."""
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return SystemFailure(
            f"write {err.filename or ''}: no space left on device".replace(" :", ":"),
            hint="`pogu image prune` and `pogu container prune` free space; `df -h` shows the disk",
        )
    return SystemFailure(f"cannot write layer: {err.strerror} {err.filename or ''}".rstrip())


class _Unpacker:
    """State of one unpacking: open parent directories, times to set at the end."""

    def __init__(self, stream: TarStream, root_fd: int, *, whiteouts: bool) -> None:
        self._stream = stream
        self._root_fd = root_fd
        self._whiteouts = whiteouts
        self._parents: dict[str, int] = {}
        self._directory_times: dict[str, int] = {}
        self._places: dict[str, int] = {}
        self.size_bytes = 0

    def unpack(self, entry: tarfile.TarInfo) -> None:
        path = _clean(entry.name)
        if path == ".":
            if entry.isdir():
                self._set_metadata(self._root_fd, entry, ".")
            return
        directory, name = posixpath.split(path)
        parent = self._parent(directory)
        if self._whiteouts and name.startswith(_WHITEOUT):
            self._whiteout(parent, name)
            return
        self._make(entry, path, parent, name)

    def _make(self, entry: tarfile.TarInfo, path: str, parent: int, name: str) -> None:
        if entry.isdir():
            self._directory(entry, path, parent, name)
        elif entry.isreg() or entry.sparse is not None:
            self._regular(entry, path, parent, name)
        elif entry.islnk():
            self._hard_link(entry, parent, name)
        elif entry.issym():
            self._create(lambda: os.symlink(entry.linkname, name, dir_fd=parent), path, parent)
            self._set_link_metadata(parent, name, entry)
        elif entry.ischr() or entry.isblk() or entry.isfifo():
            self._special(entry, path, parent, name)
        else:
            raise BadArchive(f"invalid tar archive: {path} has the unknown type {entry.type!r}")

    # ---- parents ------------------------------------------------------------------------

    def _parent(self, directory: str) -> int:
        fd = self._parents.get(directory)
        if fd is not None:
            return fd
        if len(self._parents) >= 64:
            self._forget_parents()
        try:
            fd = openat2_in_root(self._root_fd, directory or ".", _DIRECTORY_FLAGS)
        except OSError as err:
            if err.errno == errno.ENOENT:
                self._make_parents(directory)
                fd = openat2_in_root(self._root_fd, directory, _DIRECTORY_FLAGS)
            elif err.errno in (errno.ENOTDIR, errno.ELOOP):
                raise BadArchive(
                    f"invalid tar archive: {directory} is not a directory, yet holds entries"
                ) from err
            else:
                raise
        self._parents[directory] = fd
        return fd

    def _make_parents(self, directory: str) -> None:
        """Make missing parents, 0755 and root's, as Docker does."""
        above = posixpath.dirname(directory)
        parent = self._parent(above)
        name = posixpath.basename(directory)
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
        except FileExistsError as err:
            raise BadArchive(
                f"invalid tar archive: {directory} is a broken link, yet holds entries"
            ) from err

    def _forget_parents(self) -> None:
        for fd in self._parents.values():
            os.close(fd)
        self._parents.clear()

    # ---- the kinds of entries -----------------------------------------------------------

    def _create(self, make: Callable[[], object], path: str, parent: int) -> None:
        """Call `make`; where something stands in its place, remove that and call again."""
        try:
            make()
        except FileExistsError:
            self._remove(path, parent)
            make()

    def _remove(self, path: str, parent: int) -> None:
        name = posixpath.basename(path)
        info = os.lstat(name, dir_fd=parent)
        if stat.S_ISDIR(info.st_mode):
            self._forget_parents_below(path)
            _remove_tree(parent, name)
            return
        self._inline(path, parent, name)
        os.unlink(name, dir_fd=parent)
        if stat.S_ISLNK(info.st_mode):
            self._forget_parents_below("")

    def _forget_parents_below(self, path: str) -> None:
        """Close what was opened at or below `path` (all but the root for an empty one)."""
        keep = {}
        for directory, fd in self._parents.items():
            below = not path or directory == path or directory.startswith(path + "/")
            if below and directory != posixpath.dirname(path):
                os.close(fd)
            else:
                keep[directory] = fd
        self._parents = keep

    def _inline(self, path: str, parent: int, name: str) -> None:
        """A file is about to be replaced: its content moves into the journal."""
        place = self._places.pop(path, None)
        if place is not None:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent)
            with open(fd, "rb") as file:
                self._stream.journal[place] = file.read()

    def _directory(self, entry: tarfile.TarInfo, path: str, parent: int, name: str) -> None:
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                self._remove(path, parent)
                os.mkdir(name, 0o755, dir_fd=parent)
        fd = os.open(name, _DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
        try:
            self._set_metadata(fd, entry, path)
        finally:
            os.close(fd)

    def _regular(self, entry: tarfile.TarInfo, path: str, parent: int, name: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            fd = os.open(name, flags, 0o600, dir_fd=parent)
        except FileExistsError:
            self._remove(path, parent)
            fd = os.open(name, flags, 0o600, dir_fd=parent)
        try:
            if entry.sparse is not None:
                self._write_sparse(fd, entry)
            else:
                self._write_content(fd, entry.size)
                if entry.size:
                    self._places[path] = self._stream.reference(path, entry.size)
            self.size_bytes += entry.size
            self._set_metadata(fd, entry, path)
        except OSError as err:
            raise OSError(err.errno, err.strerror, path) from err
        finally:
            os.close(fd)

    def _write_content(self, fd: int, size: int) -> None:
        left = size
        while left:
            data = self._stream.read_content(min(left, _CHUNK))
            _write_all(fd, data)
            left -= len(data)

    def _write_sparse(self, fd: int, entry: tarfile.TarInfo) -> None:
        raw = self._stream.read_raw()
        position = 0
        for offset, size in cast(list[tuple[int, int]], entry.sparse):
            os.lseek(fd, offset, os.SEEK_SET)
            _write_all(fd, raw[position : position + size])
            position += size
        os.ftruncate(fd, entry.size)

    def _hard_link(self, entry: tarfile.TarInfo, parent: int, name: str) -> None:
        target = _clean(entry.linkname)
        path = _clean(entry.name)
        if target == path:
            return
        directory, target_name = posixpath.split(target)
        try:
            target_parent = openat2_in_root(self._root_fd, directory or ".", _DIRECTORY_FLAGS)
        except OSError as err:
            raise _missing_link_target(entry) from err

        def link() -> None:
            os.link(
                target_name,
                name,
                src_dir_fd=target_parent,
                dst_dir_fd=parent,
                follow_symlinks=False,
            )

        try:
            self._create(link, path, parent)
        except FileNotFoundError as err:
            raise _missing_link_target(entry) from err
        finally:
            os.close(target_parent)

    def _special(self, entry: tarfile.TarInfo, path: str, parent: int, name: str) -> None:
        kind = {
            tarfile.CHRTYPE: stat.S_IFCHR,
            tarfile.BLKTYPE: stat.S_IFBLK,
            tarfile.FIFOTYPE: stat.S_IFIFO,
        }[entry.type]
        device = 0 if entry.isfifo() else os.makedev(entry.devmajor, entry.devminor)
        self._create(
            lambda: os.mknod(name, kind | (entry.mode & 0o7777), device, dir_fd=parent),
            path,
            parent,
        )
        self._set_link_metadata(parent, name, entry)
        os.chmod(name, entry.mode & 0o7777, dir_fd=parent)

    def _whiteout(self, parent: int, name: str) -> None:
        if name == _OPAQUE:
            os.setxattr(parent, "trusted.overlay.opaque", b"y")
        elif not name.startswith(".wh..wh."):
            hidden = name.removeprefix(_WHITEOUT)
            if hidden in ("", ".", ".."):
                raise BadArchive(f"invalid tar archive: whiteout {name!r}")
            with contextlib.suppress(FileExistsError):
                os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=parent)

    # ---- metadata -----------------------------------------------------------------------

    def _set_metadata(self, fd: int, entry: tarfile.TarInfo, path: str) -> None:
        if entry.uid or entry.gid:
            os.fchown(fd, entry.uid, entry.gid)
        os.fchmod(fd, entry.mode & 0o7777)
        for key, value in entry.pax_headers.items():
            if key.startswith(_XATTR):
                _set_xattr(fd, key.removeprefix(_XATTR), value)
        time_ns = _time_ns(entry)
        if entry.isdir():
            self._directory_times[path] = time_ns
        else:
            os.utime(fd, ns=(time_ns, time_ns))

    def _set_link_metadata(self, parent: int, name: str, entry: tarfile.TarInfo) -> None:
        if entry.uid or entry.gid:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        time_ns = _time_ns(entry)
        os.utime(name, ns=(time_ns, time_ns), dir_fd=parent, follow_symlinks=False)

    def finish(self) -> None:
        """Set the directories' times, after everything in them was made."""
        self._forget_parents()
        for path, time_ns in self._directory_times.items():
            try:
                fd = openat2_in_root(self._root_fd, path, _DIRECTORY_FLAGS | os.O_NOFOLLOW)
            except OSError:
                continue  # replaced by a later entry
            try:
                os.utime(fd, ns=(time_ns, time_ns))
            finally:
                os.close(fd)


def _clean(name: str) -> str:
    """Return the path below the root. Raises: BadArchive when it would leave it."""
    if "\0" in name:
        raise BadArchive("invalid tar archive: a name holds a NUL byte")
    path = posixpath.normpath(name.lstrip("/") or ".")
    if path == ".." or path.startswith("../"):
        raise BadArchive(
            f"invalid tar archive: {name!r} leaves the root of the archive",
            hint="do not use this archive: it tries to write outside its own directory",
        )
    return path


def _missing_link_target(entry: tarfile.TarInfo) -> BadArchive:
    return BadArchive(
        f"invalid tar archive: hard link {entry.name} to {entry.linkname}, which is not in it"
    )


def _time_ns(entry: tarfile.TarInfo) -> int:
    text = entry.pax_headers.get("mtime")
    if text is None:
        return int(entry.mtime) * 1_000_000_000
    whole, _, fraction = text.partition(".")
    return int(whole) * 1_000_000_000 + int((fraction + "000000000")[:9])


def _set_xattr(fd: int, name: str, value: str) -> None:
    """Set what the file system takes; SELinux labels and overlay's own marks are not ours."""
    if name.startswith(("trusted.overlay.", "security.selinux")):
        return
    try:
        os.setxattr(fd, name, value.encode("utf-8", "surrogateescape"))
    except OSError as err:
        if err.errno not in (errno.ENOTSUP, errno.EPERM):
            raise


def _write_all(fd: int, data: bytes) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, data[written:])


def _remove_tree(parent: int, name: str) -> None:
    fd = os.open(name, _DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
    try:
        for child in os.listdir(fd):
            if stat.S_ISDIR(os.lstat(child, dir_fd=fd).st_mode):
                _remove_tree(fd, child)
            else:
                os.unlink(child, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent)
