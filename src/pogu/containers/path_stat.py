"""Format: what a path in a container is, as X-Docker-Container-Path-Stat says it. Pure."""

from __future__ import annotations

import base64
import os
import posixpath
import stat

import msgspec

from pogu.images.image import rfc3339

__all__ = ["PathStat", "absolute", "base_name", "encode_path_stat", "go_file_mode", "path_stat"]

_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
}
_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


class PathStat(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`mode` has the bits of Go's os.FileMode."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str = ""


def go_file_mode(mode: int) -> int:
    """st_mode → os.FileMode."""
    bits = sum(go for unix, go in _BITS if mode & unix)
    return _KINDS.get(stat.S_IFMT(mode), 0) | bits | mode & 0o777


def absolute(path: str) -> str:
    """Clean a path as Docker does: by its text, keeping a `/` or `/.` at its end."""
    clean = posixpath.normpath("/" + path.lstrip("/"))
    if clean == "/":
        return "/." if posixpath.basename(path) == "." else "/"
    if posixpath.basename(path) == ".":
        return clean + "/."
    return clean + "/" if path.endswith("/") else clean


def base_name(path: str) -> str:
    """Go's filepath.Base: `.` for `/dir/.`, `dir` for `/dir/`, `/` for the root."""
    return posixpath.basename(path.rstrip("/")) or "/"


def path_stat(path: str, info: os.stat_result, *, link_target: str) -> PathStat:
    return PathStat(
        name=base_name(path),
        size=info.st_size,
        mode=go_file_mode(info.st_mode),
        mtime=rfc3339(info.st_mtime_ns),
        link_target=link_target,
    )


def encode_path_stat(value: PathStat) -> str:
    """Return the header's text: standard base64 of JSON."""
    return base64.b64encode(msgspec.json.encode(value)).decode()
