"""Edge: unpack a tar into a directory of a tree that somebody else may change meanwhile.

As `apply_tar` does it: no name and no link of the archive or of the tree leads out of the tree. The
archive's names count from the directory; links on the way are those of the tree.
"""

from __future__ import annotations

import os
import stat
import tarfile
from typing import BinaryIO

from pogu.errors import InvalidParameter, SystemFailure
from pogu.linux.idmap import IdMapping
from pogu.storage.apply import Unpacker
from pogu.storage.failure import write_failure
from pogu.storage.metadata import Metadata
from pogu.storage.rooted import RootedTree, clean_path
from pogu.storage.tarheader import Entry
from pogu.storage.tarstream import TarStream, archive_errors

__all__ = ["extract_tar"]


def extract_tar(
    tar: BinaryIO,
    root_fd: int,
    directory: str,
    *,
    owner: tuple[int, int] | None = None,
    keep_kinds: bool = False,
    ids: IdMapping | None = None,
) -> None:
    """Unpack `tar` (any compression) at `directory`, which is there, inside `root_fd`.

    `owner` is everything's instead of the archive's. With `keep_kinds` a directory never replaces
    anything else, nor the reverse. `ids` is the mapping of the container whose tree it is: owners
    are meant as it has them. What was unpacked before an error stays.

    Raises: BadArchive; InvalidParameter in Docker's words; SystemFailure.
    """
    try:
        with archive_errors(), RootedTree(f"/proc/self/fd/{root_fd}") as tree:
            stream = TarStream(tar, None)
            try:
                extractor = _Extractor(stream, tree, directory.strip("/"), owner, keep_kinds, ids)
                for entry in stream.entries():
                    extractor.unpack(entry)
                extractor.finish()
                stream.finish()
            finally:
                stream.close()
    except OSError as err:
        raise _refused(err) from err


def _refused(err: OSError) -> SystemFailure | InvalidParameter:
    words = (err.strerror or "").lower()
    if err.errno in (30, 16):  # EROFS, EBUSY
        hint = "it is mounted read-only there" if err.errno == 30 else "something is mounted on it"
        return InvalidParameter(f"{err.filename}: {words}", hint=hint)
    failure = write_failure(err)
    assert isinstance(failure, SystemFailure)
    return failure


class _Extractor(Unpacker):
    def __init__(
        self,
        stream: TarStream,
        tree: RootedTree,
        base: str,
        owner: tuple[int, int] | None,
        keep_kinds: bool,
        ids: IdMapping | None,
    ) -> None:
        metadata = Metadata(tree, always=True)
        super().__init__(stream, tree, None, metadata=metadata, whiteouts=False)
        self._base = base
        self._owner = owner
        self._keep_kinds = keep_kinds
        self._ids = ids

    def unpack(self, entry: Entry) -> None:
        name = clean_path(entry.name)
        if name == ".":
            return  # the directory itself stays as it is
        link = entry.link
        if entry.kind == tarfile.LNKTYPE:
            link = self._inside(clean_path(link))
        entry = entry._replace(name=self._inside(name), link=link)
        if self._owner is not None:
            entry = entry._replace(uid=self._owner[0], gid=self._owner[1])
        if self._ids is not None:
            entry = self._shifted(entry, self._ids)
        if self._keep_kinds:
            self._check_kind(entry)
        super().unpack(entry)

    def _shifted(self, entry: Entry, ids: IdMapping) -> Entry:
        try:
            uid, gid = ids.outside(entry.uid, entry.gid)
        except ValueError as err:
            raise InvalidParameter(str(err), hint=f"{entry.name} belongs to it") from err
        return entry._replace(uid=uid, gid=gid)

    def _inside(self, name: str) -> str:
        return f"{self._base}/{name}" if self._base else name

    def _check_kind(self, entry: Entry) -> None:
        place = self._tree.place_of_name(entry.name)
        try:
            info = os.lstat(place.name, dir_fd=place.parent)
        except FileNotFoundError:
            return
        there, comes = stat.S_ISDIR(info.st_mode), entry.kind == tarfile.DIRTYPE
        if there != comes:
            kinds = ("directory", "non-directory") if there else ("non-directory", "directory")
            raise InvalidParameter(
                f'cannot overwrite {kinds[0]} "/{entry.name}" with {kinds[1]} "/{self._base}"'
            )
