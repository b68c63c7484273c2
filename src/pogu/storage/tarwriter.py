"""Format: tar headers as layers have them, always the same bytes for the same file.

Times are whole seconds; PAX records stand only where a plain header cannot say it (long or
non-ASCII names, large numbers, xattrs).
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from typing import Protocol

from pogu.linux.idmap import IdMapping
from pogu.oci.digest import DiffId

__all__ = ["TarDigest", "TarSink", "TarWriter", "kept_xattrs"]


class TarSink(Protocol):
    """Anything with write: a file, a hash with `update` wrapped, a socket's pipe."""

    def write(self, data: bytes, /) -> object: ...


class TarDigest:
    """A sink that keeps only digest and length."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        self.size_bytes += len(data)

    @property
    def diff_id(self) -> DiffId:
        return DiffId(f"sha256:{self._hash.hexdigest()}")


class TarWriter:
    """Writes headers and whole files' padding to a sink."""

    def __init__(self, out: TarSink, *, ids: IdMapping | None = None) -> None:
        """`ids`: whose files are `known`: they are written with the IDs seen from inside."""
        self._out = out
        self._ids = ids

    def known(
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
        owner = (info.st_uid, info.st_gid)
        uid, gid = self._ids.inside(*owner) if self._ids else owner
        self.header(
            path,
            mode=stat.S_IMODE(info.st_mode),
            type_flag=type_flag,
            uid=uid,
            gid=gid,
            mtime=int(info.st_mtime_ns // 1_000_000_000),
            size=size,
            link=link,
            device=device,
            xattrs=xattrs,
        )

    def header(
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

    def pad(self, size: int) -> None:
        """Fill up the last block of a file of `size` bytes."""
        if size % 512:
            self._out.write(bytes(512 - size % 512))


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


def kept_xattrs(path: str, *, follow: bool = False) -> dict[str, str]:
    """Return what belongs into a layer: not overlayfs' own marks, not SELinux labels."""
    try:
        names = os.listxattr(path, follow_symlinks=follow)
    except OSError:
        return {}
    return {
        name: os.getxattr(path, name, follow_symlinks=follow).decode("utf-8", "surrogateescape")
        for name in sorted(names)
        if not name.startswith(("trusted.overlay.", "security.selinux"))
    }
