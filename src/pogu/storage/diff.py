"""Edge: write a layer directory (overlayfs' own form) as a layer tar, always the same bytes.

Entries are sorted; times are whole seconds; PAX records stand only where a plain header cannot say
it (long or non-ASCII names, large numbers, xattrs).
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from pogu.linux.openat2 import openat2_in_root
from pogu.storage.journal import Content

__all__ = ["TarSink", "is_opaque", "write_journaled_tar", "write_layer_tar"]

_CHUNK = 1 << 20
_ZEROS = bytes(512)


class TarSink(Protocol):
    """Anything with write: a file, a hash with `update` wrapped, a socket's pipe."""

    def write(self, data: bytes, /) -> object: ...


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
            self._header(f"{relative}/.wh..wh..opq", mode=0, type_flag=b"0")
        above = f"{relative}/" if relative else ""
        return iter([(child, above + child.name) for child in children])

    def _entry(self, child: os.DirEntry[str], path: str) -> None:
        info = child.stat(follow_symlinks=False)
        mode = info.st_mode
        if stat.S_ISCHR(mode) and info.st_rdev == 0:
            above, _, name = path.rpartition("/")
            self._header(f"{above}/.wh.{name}" if above else f".wh.{name}", mode=0)
            return
        if info.st_nlink > 1 and not stat.S_ISDIR(mode):
            first = self._links.setdefault((info.st_dev, info.st_ino), path)
            if first != path:
                self._known(path, info, b"1", link=first)
                return
        self._plain(child.path, path, info)

    def _plain(self, full: str, path: str, info: os.stat_result) -> None:
        mode = info.st_mode
        xattrs = _xattrs(full)
        if stat.S_ISREG(mode):
            self._known(path, info, b"0", size=info.st_size, xattrs=xattrs)
            self._content(full, info.st_size)
        elif stat.S_ISDIR(mode):
            self._known(path + "/", info, b"5", xattrs=xattrs)
        elif stat.S_ISLNK(mode):
            self._known(path, info, b"2", link=os.readlink(full), xattrs=xattrs)
        elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            kind = b"3" if stat.S_ISCHR(mode) else b"4"
            self._known(path, info, kind, device=info.st_rdev, xattrs=xattrs)
        elif stat.S_ISFIFO(mode):
            self._known(path, info, b"6", xattrs=xattrs)
        # Sockets have no place in a tar; Docker leaves them out as well.

    def _content(self, full: str, size: int) -> None:
        if size:
            fd = os.open(full, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                _copy(fd, self._out, size)
            finally:
                os.close(fd)
            if size % 512:
                self._out.write(_ZEROS[: 512 - size % 512])
        self.size_bytes += size

    def _known(
        self,
        path: str,
        info: os.stat_result,
        type_flag: bytes,
        *,
        size: int = 0,
        link: str = "",
        device: int = 0,
        xattrs: dict[str, str] | None = None,
    ) -> None:
        self._header(
            path,
            mode=stat.S_IMODE(info.st_mode),
            type_flag=type_flag,
            uid=info.st_uid,
            gid=info.st_gid,
            mtime=int(info.st_mtime_ns // 1_000_000_000),
            size=size,
            link=link,
            device=device,
            xattrs=xattrs,
        )

    def _header(
        self,
        path: str,
        *,
        mode: int,
        type_flag: bytes = b"0",
        uid: int = 0,
        gid: int = 0,
        mtime: int = 0,
        size: int = 0,
        link: str = "",
        device: int = 0,
        xattrs: dict[str, str] | None = None,
    ) -> None:
        name, target = os.fsencode(path), os.fsencode(link)
        simple = (
            not xattrs
            and len(name) <= 100
            and len(target) <= 100
            and path.isascii()
            and link.isascii()
            and uid <= 0o7777777
            and gid <= 0o7777777
            and size <= 0o77777777777
            and 0 <= mtime <= 0o77777777777
        )
        if simple:
            self._out.write(_ustar(name, mode, uid, gid, size, mtime, type_flag, target, device))
            return
        entry = tarfile.TarInfo(path)
        entry.mode, entry.uid, entry.gid, entry.size = mode, uid, gid, size
        entry.mtime, entry.type, entry.linkname = mtime, type_flag, link
        entry.devmajor, entry.devminor = os.major(device), os.minor(device)
        entry.pax_headers = {f"SCHILY.xattr.{key}": value for key, value in (xattrs or {}).items()}
        self._out.write(entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))


def _ustar(
    name: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    type_flag: bytes,
    link: bytes,
    device: int,
) -> bytes:
    """Return one 512-byte ustar header (POSIX.1-1988)."""
    head = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0        %s%s" % (
        name.ljust(100, b"\0"),
        mode,
        uid,
        gid,
        size,
        mtime,
        type_flag,
        link.ljust(100, b"\0"),
    )
    tail = b"ustar\x0000" + bytes(64) + b"%07o\0%07o\0" % (os.major(device), os.minor(device))
    block = (head + tail).ljust(512, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _copy(fd: int, out: TarSink, size: int) -> None:
    left = size
    while left:
        data = os.read(fd, min(left, _CHUNK))
        if not data:
            raise OSError(5, "file became shorter while it was read")
        out.write(data)
        left -= len(data)


def is_opaque(path: str) -> bool:
    """True for a directory that hides what lower layers have in it."""
    try:
        return os.getxattr(path, "trusted.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False


def _xattrs(path: str) -> dict[str, str]:
    """Return what belongs into a layer: not overlayfs' own marks, not SELinux labels."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    return {
        name: os.getxattr(path, name, follow_symlinks=False).decode("utf-8", "surrogateescape")
        for name in sorted(names)
        if not name.startswith(("trusted.overlay.", "security.selinux"))
    }
