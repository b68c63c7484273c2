"""Edge: unpack a layer tar into a directory in overlayfs' own form (image-spec layer.md).

Whiteouts become character devices 0:0, opaque directories the xattr trusted.overlay.opaque=y.
No entry is written outside the root (`rooted.py`).
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pogu.errors import EngineError, SystemFailure
from pogu.storage.compression import decompressed
from pogu.storage.journal import JournalWriter
from pogu.storage.rooted import Place, RootedTree, clean_path
from pogu.storage.tarstream import BadArchive, TarStream, archive_errors

__all__ = ["Applied", "apply_tar", "no_space"]

_CHUNK = 1 << 20
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_OPAQUE_XATTR = "trusted.overlay.opaque"
_XATTR = "SCHILY.xattr."
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_SPECIAL = {
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}
_FAULTS_OF_THE_ARCHIVE = frozenset(
    {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EMLINK, errno.E2BIG}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """`diff_id_hex` is the digest of the uncompressed tar; `size_bytes` of its regular files."""

    diff_id_hex: str
    size_bytes: int


def apply_tar(
    tar: BinaryIO, root: Path, *, whiteouts: bool = True, journal: Path | None = None
) -> Applied:
    """Unpack `tar` (any compression) below `root`; write its journal where one is asked for.

    With `whiteouts` false, `.wh.` names are ordinary files (a build context, ADD).
    Raises: BadArchive; SystemFailure when the disk is full or the kernel refuses.
    """
    writer = JournalWriter(journal) if journal else None
    try:
        with archive_errors(), RootedTree(root) as tree:
            stream = TarStream(decompressed(tar), writer)
            try:
                unpacker = _Unpacker(stream, tree, writer, whiteouts=whiteouts)
                for entry in stream.entries():
                    unpacker.unpack(entry)
                unpacker.finish()
                diff_id_hex = stream.finish()
            finally:
                stream.close()
            if writer:
                writer.finish()
        return Applied(diff_id_hex=diff_id_hex, size_bytes=unpacker.size_bytes)
    except OSError as err:
        if err.errno in _FAULTS_OF_THE_ARCHIVE:
            raise BadArchive(f"invalid tar archive: {err.strerror}: {err.filename}") from err
        raise no_space(err) from err
    finally:
        if writer:
            writer.close()


def no_space(err: OSError) -> EngineError:
    """Turn an OSError while writing layers into ours; a full disk gets its hint."""
    where = f" {err.filename}" if err.filename else ""
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return SystemFailure(
            f"write{where}: no space left on device",
            hint="`pogu image prune` and `pogu container prune` free space; `df -h` shows the disk",
        )
    return SystemFailure(f"cannot write layer{where}: {err.strerror}")


class _Unpacker:
    """State of one unpacking: what is set at the end, where journaled contents lie."""

    def __init__(
        self, stream: TarStream, tree: RootedTree, journal: JournalWriter | None, *, whiteouts: bool
    ) -> None:
        self._stream = stream
        self._tree = tree
        self._journal = journal
        self._whiteouts = whiteouts
        self._directory_times: dict[str, int] = {}
        self._contents: dict[int, list[int]] = {}
        """Inode → numbers of its contents in the journal."""
        self.size_bytes = 0

    def unpack(self, entry: tarfile.TarInfo) -> None:
        path = clean_path(entry.name)
        if path == ".":
            if entry.isdir():
                self._set_metadata(self._tree.root_fd, entry, path)
            return
        place = self._tree.place(path)
        if self._whiteouts and place.name.startswith(_WHITEOUT):
            self._whiteout(place)
        else:
            self._make(entry, path, place)

    def _make(self, entry: tarfile.TarInfo, path: str, place: Place) -> None:
        if entry.isreg():
            self._regular(entry, path, place)
        elif entry.isdir():
            self._directory(entry, path, place)
        elif entry.issym():
            if not entry.linkname:
                raise BadArchive(f"invalid tar archive: the link {path} leads to nothing")
            self._create(place, lambda: os.symlink(entry.linkname, place.name, dir_fd=place.parent))
            _set_link_metadata(place, entry)
        elif entry.islnk():
            self._hard_link(entry, path, place)
        elif entry.type in _SPECIAL:
            self._special(entry, place)
        else:
            raise BadArchive(f"invalid tar archive: {path} has the unknown type {entry.type!r}")

    def _create(self, place: Place, make: Callable[[], object]) -> None:
        """Call `make`; where something stands in its place, remove that and call again."""
        try:
            make()
        except FileExistsError:
            self._tree.remove(place, self._save_content)
            make()

    def _save_content(self, place: Place, info: os.stat_result) -> None:
        """A file goes away again: what the journal wants from it moves into the journal."""
        numbers = self._contents.pop(info.st_ino, ())
        if not numbers or self._journal is None:
            return
        fd = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=place.parent)
        try:
            for number in numbers:
                content = self._journal.place(number)
                self._journal.replace(number, os.pread(fd, content.size, content.offset))
        finally:
            os.close(fd)

    # ---- the kinds of entries -----------------------------------------------------------

    def _directory(self, entry: tarfile.TarInfo, path: str, place: Place) -> None:
        opaque = False
        try:
            os.mkdir(place.name, 0o755, dir_fd=place.parent)
        except FileExistsError:
            there = os.lstat(place.name, dir_fd=place.parent)
            if not stat.S_ISDIR(there.st_mode):
                opaque = self._whiteouts and _is_whiteout(there)
                self._tree.remove(place, self._save_content)
                os.mkdir(place.name, 0o755, dir_fd=place.parent)
        fd = os.open(place.name, _DIRECTORY_FLAGS, dir_fd=place.parent)
        try:
            self._set_metadata(fd, entry, path)
            if opaque:
                os.setxattr(fd, _OPAQUE_XATTR, b"y")
        finally:
            os.close(fd)

    def _regular(self, entry: tarfile.TarInfo, path: str, place: Place) -> None:
        try:
            fd = os.open(place.name, _FILE_FLAGS, 0o600, dir_fd=place.parent)
        except FileExistsError:
            self._tree.remove(place, self._save_content)
            fd = os.open(place.name, _FILE_FLAGS, 0o600, dir_fd=place.parent)
        try:
            if entry.size:
                self._content(fd, entry, place)
            self.size_bytes += entry.size
            self._set_metadata(fd, entry, path)
        except OSError as err:
            raise OSError(err.errno, err.strerror, path) from err
        finally:
            os.close(fd)

    def _content(self, fd: int, entry: tarfile.TarInfo, place: Place) -> None:
        sparse = cast("Iterable[tuple[int, int]] | None", entry.sparse)
        if sparse is None:
            segments = [(0, entry.size)]
        else:
            os.ftruncate(fd, entry.size)
            segments = [segment for segment in sparse if segment[1]]
        numbers = []
        for offset, size in segments:
            if offset:
                os.lseek(fd, offset, os.SEEK_SET)
            self._copy(fd, size)
            if self._journal is not None:
                numbers.append(self._journal.content(place.real_path, offset, size))
        if numbers:
            self._contents[os.fstat(fd).st_ino] = numbers

    def _copy(self, fd: int, size: int) -> None:
        left = size
        while left:
            data = self._stream.read_content(min(left, _CHUNK))
            if not data:
                raise BadArchive("invalid tar archive: a sparse file lacks content")
            left -= len(data)
            written = os.write(fd, data)
            while written < len(data):
                written += os.write(fd, data[written:])

    def _hard_link(self, entry: tarfile.TarInfo, path: str, place: Place) -> None:
        target = clean_path(entry.linkname)
        if target == path:
            return
        directory, _, name = target.rpartition("/")
        try:
            parent = self._tree.open_directory(directory)
        except OSError as err:
            raise _missing_link_target(entry) from err

        def link() -> None:
            os.link(
                name,
                place.name,
                src_dir_fd=parent,
                dst_dir_fd=place.parent,
                follow_symlinks=False,
            )

        try:
            self._create(place, link)
        except (FileNotFoundError, PermissionError) as err:
            raise _missing_link_target(entry) from err
        finally:
            os.close(parent)

    def _special(self, entry: tarfile.TarInfo, place: Place) -> None:
        mode = entry.mode & 0o7777
        device = 0 if entry.isfifo() else os.makedev(entry.devmajor, entry.devminor)
        kind = _SPECIAL[entry.type] | mode
        self._create(place, lambda: os.mknod(place.name, kind, device, dir_fd=place.parent))
        _set_link_metadata(place, entry)
        os.chmod(place.name, mode, dir_fd=place.parent)

    def _whiteout(self, place: Place) -> None:
        if place.name == _OPAQUE:
            os.setxattr(place.parent, _OPAQUE_XATTR, b"y")
        elif not place.name.startswith(".wh..wh."):
            hidden = place.name.removeprefix(_WHITEOUT)
            if hidden in ("", ".", ".."):
                raise BadArchive(f"invalid tar archive: whiteout {place.name!r}")
            try:
                os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=place.parent)
            except FileExistsError:
                _hide_below(hidden, place.parent)

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

    def finish(self) -> None:
        """Set the directories' times, after everything in them was made."""
        for path, time_ns in self._directory_times.items():
            try:
                fd = self._tree.open_directory(path, os.O_NOFOLLOW)
            except OSError:
                continue  # replaced by a later entry
            try:
                os.utime(fd, ns=(time_ns, time_ns))
            finally:
                os.close(fd)


def _is_whiteout(info: os.stat_result) -> bool:
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def _hide_below(name: str, parent: int) -> None:
    """The layer has its own `name`: a whiteout beside it hides only what lies below."""
    if stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
        fd = os.open(name, _DIRECTORY_FLAGS, dir_fd=parent)
        try:
            os.setxattr(fd, _OPAQUE_XATTR, b"y")
        finally:
            os.close(fd)


def _missing_link_target(entry: tarfile.TarInfo) -> BadArchive:
    return BadArchive(
        f"invalid tar archive: hard link {entry.name} to {entry.linkname}, "
        "which is no file of this archive"
    )


def _time_ns(entry: tarfile.TarInfo) -> int:
    text = entry.pax_headers.get("mtime")
    if text is None:
        return int(entry.mtime) * 1_000_000_000
    whole, _, fraction = text.partition(".")
    part = int((fraction + "000000000")[:9])
    return int(whole) * 1_000_000_000 + (-part if whole.startswith("-") else part)


def _set_xattr(fd: int, name: str, value: str) -> None:
    """Set what the file system takes; SELinux labels and overlay's own marks are not ours."""
    if name.startswith(("trusted.overlay.", "security.selinux")):
        return
    try:
        os.setxattr(fd, name, value.encode("utf-8", "surrogateescape"))
    except OSError as err:
        if err.errno not in (errno.ENOTSUP, errno.EPERM):
            raise


def _set_link_metadata(place: Place, entry: tarfile.TarInfo) -> None:
    if entry.uid or entry.gid:
        os.chown(place.name, entry.uid, entry.gid, dir_fd=place.parent, follow_symlinks=False)
    time_ns = _time_ns(entry)
    os.utime(place.name, ns=(time_ns, time_ns), dir_fd=place.parent, follow_symlinks=False)
