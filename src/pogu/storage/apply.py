"""Edge: unpack a layer tar into a directory in overlayfs' own form (image-spec layer.md).

Whiteouts become character devices 0:0, opaque directories the xattr trusted.overlay.opaque=y.
No entry is written outside the root (`rooted.py`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pogu.errors import EngineError, SystemFailure
from pogu.storage.journal import JournalWriter
from pogu.storage.rooted import Place, RootedTree, clean_path
from pogu.storage.tarheader import Entry
from pogu.storage.tarstream import BadArchive, TarStream, archive_errors

__all__ = ["Applied", "Unpacker", "apply_tar", "no_space"]

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_OPAQUE_XATTR = "trusted.overlay.opaque"
_DEFAULT_ACL = "system.posix_acl_default"
_HOLE_BYTES = 1 << 16
_ZEROS = bytes(_HOLE_BYTES)
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
    """`diff_id_hex` and `tar_bytes`: digest and length of the uncompressed tar; `size_bytes` of its
    regular files."""

    diff_id_hex: str
    size_bytes: int
    tar_bytes: int


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
            stream = TarStream(tar, writer)
            try:
                unpacker = Unpacker(stream, tree, writer, whiteouts=whiteouts)
                for entry in stream.entries():
                    unpacker.unpack(entry)
                unpacker.finish()
                diff_id_hex = stream.finish()
            finally:
                stream.close()
            if writer:
                writer.finish()
        return Applied(
            diff_id_hex=diff_id_hex, size_bytes=unpacker.size_bytes, tar_bytes=stream.tell()
        )
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


class _Journaled(NamedTuple):
    """One content in the journal: its number there, its place in its file."""

    number: int
    offset: int
    size: int


class Unpacker:
    """State of one unpacking: what is set at the end, where journaled contents lie."""

    def __init__(
        self, stream: TarStream, tree: RootedTree, journal: JournalWriter | None, *, whiteouts: bool
    ) -> None:
        self._stream = stream
        self._tree = tree
        self._journal = journal
        self._whiteouts = whiteouts
        self._directory_times: dict[str, int] = {}
        self._contents: dict[str, list[_Journaled]] = {}
        """Real path of a file → its contents in the journal."""
        self._given = _modes_given_exactly(tree.root_fd)
        self._passing_on: set[str] = set()
        """Directories whose group (set-group-ID) goes to what is made in them."""
        self.size_bytes = 0

    def unpack(self, entry: Entry) -> None:
        place = self._tree.place_of_name(entry.name)
        if place.name == ".":
            if entry.kind == tarfile.DIRTYPE:
                self._set_metadata(self._tree.root_fd, entry, place)
                self._directory_times["."] = entry.time_ns
        elif self._whiteouts and place.name.startswith(_WHITEOUT):
            self._whiteout(place)
        else:
            self._make(entry, place)

    def _make(self, entry: Entry, place: Place) -> None:
        kind = entry.kind
        if kind == tarfile.REGTYPE:
            self._regular(entry, place)
        elif kind == tarfile.DIRTYPE:
            self._directory(entry, place)
        elif kind == tarfile.SYMTYPE:
            if not entry.link:
                raise BadArchive(f"invalid tar archive: the link {entry.name} leads to nothing")
            self._create(place, lambda: os.symlink(entry.link, place.name, dir_fd=place.parent))
            self._set_link_metadata(place, entry)
        elif kind == tarfile.LNKTYPE:
            self._hard_link(entry, place)
        elif kind in _SPECIAL:
            self._special(entry, place)
        else:
            raise BadArchive(f"invalid tar archive: {entry.name} has the unknown type {kind!r}")

    def _create(self, place: Place, make: Callable[[], object]) -> None:
        """Call `make`; where something stands in its place, remove that and call again."""
        try:
            make()
        except FileExistsError:
            self._tree.remove(place, self._save_content)
            make()

    def _save_content(self, place: Place, _info: os.stat_result) -> None:
        """A file goes away again: what the journal wants from it moves into the journal."""
        contents = self._contents.pop(place.real_path, ())
        if not contents or self._journal is None:
            return
        fd = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=place.parent)
        try:
            for content in contents:
                self._journal.replace(content.number, os.pread(fd, content.size, content.offset))
        finally:
            os.close(fd)

    # ---- the kinds of entries -----------------------------------------------------------

    def _directory(self, entry: Entry, place: Place) -> None:
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
            self._set_metadata(fd, entry, place)
            if opaque:
                os.setxattr(fd, _OPAQUE_XATTR, b"y")
        finally:
            os.close(fd)
        self._directory_times[place.real_path] = entry.time_ns

    def _regular(self, entry: Entry, place: Place) -> None:
        try:
            fd = self._open_new(entry, place)
        except FileExistsError:
            self._tree.remove(place, self._save_content)
            fd = self._open_new(entry, place)
        try:
            if entry.size:
                self._content(fd, entry, place)
            self.size_bytes += entry.size
            if (
                entry.mode & ~self._given
                or entry.uid
                or entry.gid
                or entry.xattrs
                or (place.real in self._passing_on)
            ):
                self._set_metadata(fd, entry, place)
            os.utime(fd, ns=(entry.time_ns, entry.time_ns))
        except OSError as err:
            raise OSError(err.errno, err.strerror, entry.name) from err
        finally:
            os.close(fd)

    def _open_new(self, entry: Entry, place: Place) -> int:
        return os.open(place.name, _FILE_FLAGS, entry.mode & self._given, dir_fd=place.parent)

    def _content(self, fd: int, entry: Entry, place: Place) -> None:
        if entry.sparse is None:
            self._segment(fd, place, 0, entry.size)
            return
        os.ftruncate(fd, entry.size)
        for offset, size in entry.sparse:
            if size:
                os.lseek(fd, offset, os.SEEK_SET)
                self._segment(fd, place, offset, size)

    def _segment(self, fd: int, place: Place, offset: int, size: int) -> None:
        left = size
        while left:
            data = self._stream.read_content(left)
            if not data:
                raise BadArchive("invalid tar archive: a sparse file lacks content")
            left -= len(data)
            if data[0] or len(data) < _HOLE_BYTES:  # most files: no second look
                _write_all(fd, data)
            else:
                _write_with_holes(fd, data)
        if self._journal is not None:
            path = place.real_path
            number = self._journal.content(path, offset, size)
            self._contents.setdefault(path, []).append(_Journaled(number, offset, size))

    def _hard_link(self, entry: Entry, place: Place) -> None:
        target = clean_path(entry.link)
        if target == clean_path(entry.name):
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

    def _special(self, entry: Entry, place: Place) -> None:
        kind = _SPECIAL[entry.kind] | entry.mode
        self._create(place, lambda: os.mknod(place.name, kind, entry.device, dir_fd=place.parent))
        self._set_link_metadata(place, entry)
        fd = os.open(place.name, os.O_PATH | os.O_NOFOLLOW, dir_fd=place.parent)
        try:  # by its descriptor: chmod(2) would follow a link that took its place meanwhile
            os.chmod(f"/proc/self/fd/{fd}", entry.mode)
        finally:
            os.close(fd)

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

    def _set_metadata(self, fd: int, entry: Entry, place: Place) -> None:
        """Owner, mode (in this order: a change of owner takes set-user-ID away), xattrs."""
        if entry.uid or entry.gid or place.real in self._passing_on:
            os.fchown(fd, entry.uid, entry.gid)
        os.fchmod(fd, entry.mode)
        if entry.kind == tarfile.DIRTYPE and entry.mode & stat.S_ISGID:
            self._passing_on.add(place.real_path)
        for name, value in entry.xattrs.items():
            if name == _DEFAULT_ACL:
                self._given = 0
            _set_xattr(fd, name, value)

    def _set_link_metadata(self, place: Place, entry: Entry) -> None:
        if entry.uid or entry.gid or place.real in self._passing_on:
            os.chown(place.name, entry.uid, entry.gid, dir_fd=place.parent, follow_symlinks=False)
        times = (entry.time_ns, entry.time_ns)
        os.utime(place.name, ns=times, dir_fd=place.parent, follow_symlinks=False)

    def finish(self) -> None:
        """Set the directories' times, after everything in them was made."""
        for path, time_ns in self._directory_times.items():
            try:
                fd = self._tree.open_directory(path, links=False)
            except OSError:
                continue  # replaced by a later entry
            try:
                os.utime(fd, ns=(time_ns, time_ns))
            finally:
                os.close(fd)


def _write_all(fd: int, data: memoryview) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, data[written:])


def _write_with_holes(fd: int, data: memoryview) -> None:
    """Write `data` where the file stands; a block of zeros takes no space on disk."""
    for at in range(0, len(data), _HOLE_BYTES):
        block = data[at : at + _HOLE_BYTES]
        if block[0] or len(block) < _HOLE_BYTES or bytes(block) != _ZEROS:
            _write_all(fd, block)
        else:
            end = os.lseek(fd, _HOLE_BYTES, os.SEEK_CUR)
            if os.fstat(fd).st_size < end:
                os.ftruncate(fd, end)


def _modes_given_exactly(root_fd: int) -> int:
    """Return the mode bits that a new file gets as they are asked for, without chmod.

    Those that the umask leaves; none where a default ACL decides (acl(5)).
    """
    with contextlib.suppress(OSError):
        if _DEFAULT_ACL in os.listxattr(root_fd):
            return 0
    with open("/proc/self/status") as status:
        umask = next((line for line in status if line.startswith("Umask:")), "Umask: 777")
    return 0o777 & ~int(umask.split()[1], 8)


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


def _missing_link_target(entry: Entry) -> BadArchive:
    return BadArchive(
        f"invalid tar archive: hard link {entry.name} to {entry.link}, "
        "which is no file of this archive"
    )


def _set_xattr(fd: int, name: str, value: str) -> None:
    """Set what the file system takes; SELinux labels and overlay's own marks are not ours."""
    if name.startswith(("trusted.overlay.", "security.selinux")):
        return
    try:
        os.setxattr(fd, name, value.encode("utf-8", "surrogateescape"))
    except OSError as err:
        if err.errno not in (errno.ENOTSUP, errno.EPERM):
            raise
