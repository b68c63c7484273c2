"""Edge: write a layer directory (overlayfs' own form) as a layer tar, always the same bytes.

Entries are sorted; times are whole seconds; PAX records stand only where a plain header cannot say
it (long or non-ASCII names, large numbers, xattrs).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from pogu.linux.openat2 import openat2_in_root
from pogu.storage.journal import Content
from pogu.storage.tarwriter import TarSink, TarWriter, kept_xattrs
from pogu.storage.whiteout import OPAQUE_NAME, is_opaque, is_whiteout, whiteout_name

__all__ = ["TarSink", "write_journaled_tar", "write_layer_tar"]

_CHUNK = 1 << 20


def write_layer_tar(root: Path, out: TarSink) -> int:
    """Write the directory's tar; return the bytes of its regular files."""
    writer = _LayerWriter(os.fspath(root), out)
    writer.write()
    out.write(bytes(1024))
    return writer.size_bytes


def write_journaled_tar(root: Path, journal: Iterable[bytes | Content], out: TarSink) -> None:
    """Write again the tar that a layer was unpacked from, byte for byte."""
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for item in journal:
            if isinstance(item, bytes):
                out.write(item)
                continue
            fd = openat2_in_root(root_fd, item.path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                if item.offset:
                    os.lseek(fd, item.offset, os.SEEK_SET)
                _copy(fd, out, item.size)
            finally:
                os.close(fd)
    finally:
        os.close(root_fd)


class _LayerWriter:
    def __init__(self, root: str, out: TarSink) -> None:
        self._root = root
        self._out = out
        self._tar = TarWriter(out)
        self._links: dict[tuple[int, int], str] = {}
        self.size_bytes = 0

    def write(self) -> None:
        """Write everything, depth first, names in byte order; trees may be deeper than a stack."""
        levels = [self._directory("")]
        while levels:
            for child, path in levels[-1]:
                self._entry(child, path)
                if child.is_dir(follow_symlinks=False):
                    levels.append(self._directory(path))
                    break
            else:
                levels.pop()

    def _directory(self, relative: str) -> Iterator[tuple[os.DirEntry[str], str]]:
        """Return what is in a directory, after writing that it is opaque."""
        where = os.path.join(self._root, relative) if relative else self._root
        with os.scandir(where) as entries:
            children = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        if relative and is_opaque(where):
            self._tar.header(f"{relative}/{OPAQUE_NAME}", mode=0, type_flag=b"0")
        above = f"{relative}/" if relative else ""
        return iter([(child, above + child.name) for child in children])

    def _entry(self, child: os.DirEntry[str], path: str) -> None:
        info = child.stat(follow_symlinks=False)
        mode = info.st_mode
        if is_whiteout(info):
            self._tar.header(whiteout_name(path), mode=0)
            return
        if info.st_nlink > 1 and not stat.S_ISDIR(mode):
            first = self._links.setdefault((info.st_dev, info.st_ino), path)
            if first != path:
                self._tar.known(path, info, b"1", link=first)
                return
        self._plain(child.path, path, info)

    def _plain(self, full: str, path: str, info: os.stat_result) -> None:
        mode = info.st_mode
        xattrs = kept_xattrs(full)
        if stat.S_ISREG(mode):
            self._tar.known(path, info, b"0", size=info.st_size, xattrs=xattrs)
            self._content(full, info.st_size)
        elif stat.S_ISDIR(mode):
            self._tar.known(path + "/", info, b"5", xattrs=xattrs)
        elif stat.S_ISLNK(mode):
            self._tar.known(path, info, b"2", link=os.readlink(full), xattrs=xattrs)
        elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            kind = b"3" if stat.S_ISCHR(mode) else b"4"
            self._tar.known(path, info, kind, device=info.st_rdev, xattrs=xattrs)
        elif stat.S_ISFIFO(mode):
            self._tar.known(path, info, b"6", xattrs=xattrs)
        # Sockets have no place in a tar; Docker leaves them out as well.

    def _content(self, full: str, size: int) -> None:
        if size:
            fd = os.open(full, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                _copy(fd, self._out, size)
            finally:
                os.close(fd)
            self._tar.pad(size)
        self.size_bytes += size


def _copy(fd: int, out: TarSink, size: int) -> None:
    left = size
    while left:
        data = os.read(fd, min(left, _CHUNK))
        if not data:
            raise OSError(5, "file became shorter while it was read")
        out.write(data)
        left -= len(data)
