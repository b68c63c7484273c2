"""Builders: tars as bytes, entry by entry, with whatever a test wants in their headers."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable

__all__ = ["Entry", "a_directory", "a_file", "a_link", "a_symlink", "a_tar", "an_entry"]

Entry = tuple[tarfile.TarInfo, bytes]


def an_entry(
    name: str,
    *,
    type: bytes = tarfile.REGTYPE,
    content: bytes = b"",
    mode: int = 0o644,
    link: str = "",
    owner: tuple[int, int] = (0, 0),
    mtime: int = 1_000_000_000,
    device: tuple[int, int] = (0, 0),
    pax: dict[str, str] | None = None,
) -> Entry:
    """Return one entry; owner 0:0 is what a user without rights can unpack too."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname, entry.mtime = type, mode, link, mtime
    entry.uid, entry.gid = owner
    entry.devmajor, entry.devminor = device
    entry.size = len(content)
    entry.pax_headers = pax or {}
    return entry, content


def a_file(name: str, content: bytes = b"", *, mode: int = 0o644) -> Entry:
    return an_entry(name, content=content, mode=mode)


def a_directory(name: str, *, mode: int = 0o755) -> Entry:
    return an_entry(name, type=tarfile.DIRTYPE, mode=mode)


def a_symlink(name: str, target: str) -> Entry:
    return an_entry(name, type=tarfile.SYMTYPE, link=target, mode=0o777)


def a_link(name: str, target: str) -> Entry:
    return an_entry(name, type=tarfile.LNKTYPE, link=target)


def a_tar(entries: Iterable[Entry] = (), *, format: int = tarfile.PAX_FORMAT) -> io.BytesIO:
    """Return the tar as a file at its start."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, errors="surrogateescape") as tar:
        for entry, content in entries:
            tar.addfile(entry, io.BytesIO(content))
    out.seek(0)
    return out
