"""Edge: unpack a layer tar into a directory in overlayfs' own form (image-spec layer.md).

Whiteouts are made as overlayfs has them (`whiteout.py`). No entry is written outside the root
(`rooted.py`).
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pogu.storage.contents import Contents
from pogu.storage.failure import write_failure
from pogu.storage.journal import JournalWriter
from pogu.storage.metadata import Metadata
from pogu.storage.rooted import Place, RootedTree, clean_path
from pogu.storage.tarheader import Entry
from pogu.storage.tarstream import BadArchive, TarStream, archive_errors
from pogu.storage.whiteout import (
    OPAQUE_NAME,
    RESERVED,
    WHITEOUT,
    is_whiteout,
    make_opaque,
    make_whiteout,
)

__all__ = ["Applied", "Unpacker", "apply_tar"]

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
                metadata = Metadata(tree)
                unpacker = Unpacker(stream, tree, writer, metadata=metadata, whiteouts=whiteouts)
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
        raise write_failure(err) from err
    finally:
        if writer:
            writer.close()


class Unpacker:
    """State of one unpacking: each entry is made in its place, over what stood there before."""

    def __init__(
        self,
        stream: TarStream,
        tree: RootedTree,
        journal: JournalWriter | None,
        *,
        metadata: Metadata,
        whiteouts: bool,
    ) -> None:
        self._tree = tree
        self._whiteouts = whiteouts
        self._metadata = metadata
        self._contents = Contents(stream, journal)
        self.size_bytes = 0

    def unpack(self, entry: Entry) -> None:
        place = self._tree.place_of_name(entry.name)
        if place.name == ".":
            if entry.kind == tarfile.DIRTYPE:
                self._metadata.set(self._tree.root_fd, entry, place)
                self._metadata.set_time_at_end(".", entry.time_ns)
        elif self._whiteouts and place.name.startswith(WHITEOUT):
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
            self._metadata.set_of_link(entry, place)
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
            self._tree.remove(place, self._contents.keep)
            make()

    # ---- the kinds of entries -----------------------------------------------------------

    def _directory(self, entry: Entry, place: Place) -> None:
        opaque = False
        try:
            os.mkdir(place.name, 0o755, dir_fd=place.parent)
        except FileExistsError:
            there = os.lstat(place.name, dir_fd=place.parent)
            if not stat.S_ISDIR(there.st_mode):
                opaque = self._whiteouts and is_whiteout(there)
                self._tree.remove(place, self._contents.keep)
                os.mkdir(place.name, 0o755, dir_fd=place.parent)
        fd = os.open(place.name, _DIRECTORY_FLAGS, dir_fd=place.parent)
        try:
            self._metadata.set(fd, entry, place)
            if opaque:
                make_opaque(fd)
        finally:
            os.close(fd)
        self._metadata.set_time_at_end(place.real_path, entry.time_ns)

    def _regular(self, entry: Entry, place: Place) -> None:
        try:
            fd = self._open_new(entry, place)
        except FileExistsError:
            self._tree.remove(place, self._contents.keep)
            fd = self._open_new(entry, place)
        try:
            if entry.size:
                self._contents.write(fd, entry, place)
            self.size_bytes += entry.size
            self._metadata.set_of_new_file(fd, entry, place)
        except OSError as err:
            raise OSError(err.errno, err.strerror, entry.name) from err
        finally:
            os.close(fd)

    def _open_new(self, entry: Entry, place: Place) -> int:
        mode = self._metadata.mode_at_creation(entry)
        return os.open(place.name, _FILE_FLAGS, mode, dir_fd=place.parent)

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
        self._metadata.set_of_link(entry, place)
        fd = os.open(place.name, os.O_PATH | os.O_NOFOLLOW, dir_fd=place.parent)
        try:  # by its descriptor: chmod(2) would follow a link that took its place meanwhile
            os.chmod(f"/proc/self/fd/{fd}", entry.mode)
        finally:
            os.close(fd)

    def _whiteout(self, place: Place) -> None:
        if place.name == OPAQUE_NAME:
            make_opaque(place.parent)
        elif not place.name.startswith(RESERVED):
            hidden = place.name.removeprefix(WHITEOUT)
            if hidden in ("", ".", ".."):
                raise BadArchive(f"invalid tar archive: whiteout {place.name!r}")
            try:
                make_whiteout(hidden, place.parent)
            except FileExistsError:
                _hide_below(hidden, place.parent)

    def finish(self) -> None:
        """After the last entry."""
        self._metadata.finish()


def _hide_below(name: str, parent: int) -> None:
    """The layer has its own `name`: a whiteout beside it hides only what lies below."""
    if stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
        fd = os.open(name, _DIRECTORY_FLAGS, dir_fd=parent)
        try:
            make_opaque(fd)
        finally:
            os.close(fd)


def _missing_link_target(entry: Entry) -> BadArchive:
    return BadArchive(
        f"invalid tar archive: hard link {entry.name} to {entry.link}, "
        "which is no file of this archive"
    )
