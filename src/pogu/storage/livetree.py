"""Edge: write a directory tree that others change meanwhile as a tar.

Every step goes from an open directory to a name in it and never follows a link, so that nobody in
the tree can lead the reader out of it. Pipes and devices are described, never opened.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from pogu.linux.idmap import IdMapping
from pogu.storage.tarwriter import TarSink, TarWriter, kept_xattrs
from pogu.storage.whiteout import OPAQUE_NAME, is_opaque, is_whiteout, whiteout_name

__all__ = ["opened_child", "write_live_tar"]

_CHUNK = 1 << 20


class _Level(NamedTuple):
    """A directory on the way: its descriptor, its name in the tar, its path, what is to come."""

    fd: int
    name: str
    path: str
    rest: Iterator[str]


def write_live_tar(
    fd: int,
    out: TarSink,
    *,
    name: str = "",
    layer: bool = False,
    hidden: frozenset[str] = frozenset(),
    ids: IdMapping | None = None,
) -> None:
    """Write what `fd` (opened with O_PATH) stands for, under `name`; empty: what is in it.

    A directory's name may end in a slash or be `.`. With `layer`, overlayfs' marks become those of
    a layer tar. `hidden` paths, from `fd` on and without a slash in front, are left out. `ids`
    is the mapping of the container whose tree it is, as the host sees it. What
    vanishes meanwhile is left out; a file that became shorter is filled up with zeros.
    """
    writer = _LiveWriter(out, layer=layer, hidden=hidden, ids=ids)
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        writer.directory(fd, name)
    else:
        writer.entry(fd, name)
    out.write(bytes(1024))


@contextmanager
def opened_child(parent: int, name: str) -> Iterator[int]:
    """Give the thing itself, without opening it: no link is followed, no device touched."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)


class _LiveWriter:
    def __init__(
        self, out: TarSink, *, layer: bool, hidden: frozenset[str], ids: IdMapping | None
    ) -> None:
        self._out = out
        self._tar = TarWriter(out, ids=ids)
        self._layer = layer
        self._hidden = hidden
        self._links: dict[tuple[int, int], str] = {}

    def directory(self, fd: int, name: str) -> None:
        """Write a directory and all below it, names in byte order, depth first."""
        if name:
            self.entry(fd, name)
        levels = [self._level(fd, name, "")]
        try:
            while levels:
                child = next(levels[-1].rest, None)
                if child is None:
                    os.close(levels.pop().fd)
                elif (below := self._child(levels[-1], child)) is not None:
                    levels.append(below)
        finally:
            for level in levels:
                os.close(level.fd)

    def _level(self, fd: int, name: str, path: str) -> _Level:
        own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_DIRECTORY)
        return _Level(own, name, path, iter(sorted(os.listdir(own), key=os.fsencode)))

    def _child(self, level: _Level, child: str) -> _Level | None:
        """Write one entry; return the level below when it is a directory."""
        path = f"{level.path}/{child}" if level.path else child
        name = f"{level.name.rstrip('/')}/{child}" if level.name else child
        if path in self._hidden:
            return None
        try:
            with opened_child(level.fd, child) as fd:
                return self._found(fd, name, path)
        except FileNotFoundError:
            return None

    def _found(self, fd: int, name: str, path: str) -> _Level | None:
        info = os.fstat(fd)
        if self._layer and is_whiteout(info):
            self._tar.header(whiteout_name(name), mode=0)
            return None
        self.entry(fd, name)
        if not stat.S_ISDIR(info.st_mode):
            return None
        if self._layer and is_opaque(fd):
            self._tar.header(f"{name}/{OPAQUE_NAME}", mode=0)
        return self._level(fd, name, path)

    def entry(self, fd: int, name: str) -> None:
        """Write the header of one thing, and the content of a regular file."""
        info = os.fstat(fd)
        mode = info.st_mode
        if info.st_nlink > 1 and not stat.S_ISDIR(mode):
            first = self._links.setdefault((info.st_dev, info.st_ino), name)
            if first != name:
                self._tar.known(name, info, b"1", link=first)
                return
        xattrs = kept_xattrs(f"/proc/self/fd/{fd}", follow=True)
        if stat.S_ISREG(mode):
            self._file(fd, name, info, xattrs)
        elif stat.S_ISDIR(mode):
            self._tar.known(name.rstrip("/") + "/", info, b"5", xattrs=xattrs)
        elif stat.S_ISLNK(mode):
            self._tar.known(name, info, b"2", link=os.readlink("", dir_fd=fd), xattrs=xattrs)
        elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            kind = b"3" if stat.S_ISCHR(mode) else b"4"
            self._tar.known(name, info, kind, device=info.st_rdev, xattrs=xattrs)
        elif stat.S_ISFIFO(mode):
            self._tar.known(name, info, b"6", xattrs=xattrs)

    def _file(self, fd: int, name: str, info: os.stat_result, xattrs: dict[str, str]) -> None:
        content = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._tar.known(name, info, b"0", size=info.st_size, xattrs=xattrs)
            left = info.st_size
            while left:
                data = os.read(content, min(left, _CHUNK)) or bytes(min(left, _CHUNK))
                self._out.write(data)
                left -= len(data)
        finally:
            os.close(content)
        self._tar.pad(info.st_size)
