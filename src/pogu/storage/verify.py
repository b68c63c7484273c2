"""Edge: is an unpacked layer still what its diff ID says?

Its tar is written again (by the journal of the tar it came from, or as `diff.py` writes layers) and
hashed. A journal holds the headers, so there the directory is also compared with what they say:
owner, mode, size, time, link, extended attributes, and nothing more or less.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from pogu.linux.openat2 import openat2_in_root
from pogu.storage.diff import write_layer_tar
from pogu.storage.journal import Content, read_journal
from pogu.storage.layers import Layer
from pogu.storage.rooted import clean_path
from pogu.storage.tarheader import Entry
from pogu.storage.tarstream import TarStream
from pogu.storage.tarwriter import TarDigest
from pogu.storage.whiteout import OPAQUE_NAME, RESERVED, WHITEOUT, is_opaque, is_whiteout

__all__ = ["layer_damage"]

_CHUNK = 1 << 20
_KINDS = {
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}
_GONE = b"whiteout"
_NOT_OURS = ("trusted.overlay.", "security.selinux", "system.posix_acl")


def layer_damage(layer: Layer, *, most: int = 3) -> list[str]:
    """Return what is wrong with it, at most so many lines; empty for a whole layer. Slow."""
    if not layer.path.is_dir():
        return ["its directory is missing"]
    journal = layer.path.parent / "journal"
    try:
        if journal.exists():
            return _Journaled(layer, journal).damage()[:most]
        hashed = TarDigest()
        write_layer_tar(layer.path, hashed)
        if hashed.diff_id != layer.diff_id:
            return [f"its content is {hashed.diff_id[:19]}…, not {layer.diff_id[:19]}…"]
    except Exception as err:  # a damaged journal or file system may fail in any way
        return [f"it cannot be read: {err}"]
    return []


def _has_acl(entry: Entry) -> bool:
    """An access control list writes its own view of the group into the mode (acl(5))."""
    return "system.posix_acl_access" in entry.xattrs


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


class _Chunks:
    """A file that reads what an iterator yields."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while not self._rest:
            found = next(self._chunks, None)
            if found is None:
                return b""
            self._rest = found
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


class _Journaled:
    """One comparison. What is expected is collected from the headers, then looked for."""

    def __init__(self, layer: Layer, journal: Path) -> None:
        self._layer = layer
        self._journal = journal
        self._expected: dict[str, Entry] = {}
        self._place: dict[str, int] = {}
        self._opaque: set[str] = set()
        self._count = 0
        self._real_parents: dict[str, str] = {}
        self._problems: dict[str, None] = {}

    def damage(self) -> list[str]:
        root_fd = os.open(self._layer.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            chunks = _Chunks(self._tar(root_fd, read_journal(self._journal)))
            digest = self._headers(root_fd, cast(BinaryIO, chunks))
            self._compare(root_fd)
        finally:
            os.close(root_fd)
        if not self._problems and digest != self._layer.diff_id:
            return [f"the content of a file differs: {digest[:19]}…, not its diff ID"]
        return list(self._problems)

    def _note(self, path: str, what: str) -> None:
        self._problems.setdefault(f"{path}: {what}")

    # ---- the tar, as far as it can be read ------------------------------------------------

    def _tar(self, root_fd: int, items: Iterable[bytes | Content]) -> Iterator[bytes]:
        for item in items:
            if isinstance(item, bytes):
                yield item
            else:
                yield from self._content(root_fd, item)

    def _content(self, root_fd: int, item: Content) -> Iterator[bytes]:
        """Yield the bytes of a file; where there are none, zeros, so that reading goes on."""
        left = item.size
        try:
            fd = openat2_in_root(root_fd, item.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as err:
            self._note(item.path, "is missing" if err.errno == 2 else str(err.strerror))
        else:
            try:
                os.lseek(fd, item.offset, os.SEEK_SET)
                while left and (data := os.read(fd, min(left, _CHUNK))):
                    left -= len(data)
                    yield data
            except OSError as err:
                self._note(item.path, f"cannot be read: {err.strerror}")
            finally:
                os.close(fd)
        while left:
            gap = bytes(min(left, _CHUNK))
            left -= len(gap)
            yield gap

    def _headers(self, root_fd: int, tar: BinaryIO) -> str:
        stream = TarStream(tar)
        try:
            for entry in stream.entries():
                self._expect(root_fd, entry)
            return f"sha256:{stream.finish()}"
        finally:
            stream.close()

    def _expect(self, root_fd: int, entry: Entry) -> None:
        path = clean_path(entry.name)
        if path == ".":
            return
        parent, _, name = path.rpartition("/")
        real = self._real_parent(root_fd, parent)
        if name.startswith(WHITEOUT):
            if name == OPAQUE_NAME:
                self._opaque.add(real)
            if name.startswith(RESERVED):
                return
            entry, name = entry._replace(kind=_GONE), name.removeprefix(WHITEOUT)
        path = f"{real}/{name}" if real else name
        before = self._expected.get(path)
        if before is not None and entry.kind == _GONE and before.kind != _GONE:
            return  # the layer has its own
        if before is not None and before.kind == tarfile.DIRTYPE and entry.kind != tarfile.DIRTYPE:
            for one in [one for one in self._expected if one.startswith(f"{path}/")]:
                del self._expected[one]
        if entry.kind == tarfile.LNKTYPE and clean_path(entry.link) == clean_path(entry.name):
            return
        self._expected[path] = entry
        self._count += 1
        self._place[path] = self._count

    def _real_parent(self, root_fd: int, parent: str) -> str:
        """Where a directory lies, without links on the way."""
        if parent not in self._real_parents:
            real = parent
            try:
                fd = openat2_in_root(root_fd, parent or ".", os.O_PATH | os.O_DIRECTORY)
            except OSError:
                pass
            else:
                root = os.readlink(f"/proc/self/fd/{root_fd}")
                real = os.readlink(f"/proc/self/fd/{fd}")[len(root) :].lstrip("/")
                os.close(fd)
            self._real_parents[parent] = real
        return self._real_parents[parent]

    # ---- the directory --------------------------------------------------------------------

    def _compare(self, root_fd: int) -> None:
        for path, entry in self._expected.items():
            try:
                info = os.lstat(path, dir_fd=root_fd)
            except OSError:
                self._note(path, "is missing")
                continue
            what = self._difference(root_fd, path, entry, info)
            if what:
                self._note(path, what)
        for path in self._opaque:
            if not is_opaque(os.fspath(self._layer.path / path)):
                self._note(path or "/", "hides no more what lies below it")
        self._look_for_more()

    def _difference(self, root_fd: int, path: str, entry: Entry, info: os.stat_result) -> str:
        if entry.kind == _GONE:
            hides = is_whiteout(info) or stat.S_ISDIR(info.st_mode)
            return "" if hides else "is not the whiteout it was"
        if entry.kind == tarfile.LNKTYPE:
            return self._link_difference(root_fd, path, entry, info)
        kind = _KINDS.get(entry.kind, stat.S_IFREG)
        if stat.S_IFMT(info.st_mode) != kind:
            return "is of another kind"
        if kind == stat.S_IFLNK:
            if os.readlink(path, dir_fd=root_fd) != entry.link:
                return "leads elsewhere"
        elif stat.S_IMODE(info.st_mode) != entry.mode and not _has_acl(entry):
            return f"has the mode {stat.S_IMODE(info.st_mode):04o}, not {entry.mode:04o}"
        if (info.st_uid, info.st_gid) != (entry.uid, entry.gid):
            return f"belongs to {info.st_uid}:{info.st_gid}, not {entry.uid}:{entry.gid}"
        if kind == stat.S_IFREG and info.st_size != entry.size:
            return f"has {info.st_size} bytes, not {entry.size}"
        if info.st_mtime_ns != entry.time_ns:
            return "was changed later"
        return "" if kind == stat.S_IFLNK else self._xattr_difference(path, entry)

    def _link_difference(self, root_fd: int, path: str, entry: Entry, info: os.stat_result) -> str:
        link = clean_path(entry.link)
        if self._place.get(link, 0) > self._place[path]:
            return ""  # the name was given to another file later
        try:
            target = os.lstat(link, dir_fd=root_fd)
        except OSError:
            return ""  # missed by itself
        return "" if target.st_ino == info.st_ino else f"is no hard link to {link} any more"

    def _xattr_difference(self, path: str, entry: Entry) -> str:
        full = self._layer.path / path
        for name, value in entry.xattrs.items():
            if name.startswith(_NOT_OURS):
                continue
            try:
                if os.getxattr(full, name, follow_symlinks=False) != _bytes(value):
                    return f"has another {name}"
            except OSError:
                continue  # the file system takes none, or not this one
        return ""

    def _look_for_more(self) -> None:
        """What no header names was put there by somebody else; parents are made unasked."""
        known = set(self._expected) | self._opaque
        for path in list(known):
            while "/" in path:
                path = path.rpartition("/")[0]
                if path in known:
                    break
                known.add(path)
        top = os.fspath(self._layer.path)
        for directory, names, files in os.walk(top):
            relative = directory[len(top) :].lstrip("/")
            for name in (*names, *files):
                path = f"{relative}/{name}" if relative else name
                if path not in known:
                    self._note(path, "does not belong here")
