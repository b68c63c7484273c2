"""Format: what a layer hides of those below it, as a layer tar and as overlayfs spell it.

In a tar (image-spec layer.md, "Whiteouts") an empty file `.wh.NAME` hides NAME, `.wh..wh..opq`
everything in its directory. In overlayfs' own form the first is a character device 0:0 under NAME,
the second an extended attribute of the directory.
"""

from __future__ import annotations

import os
import stat

__all__ = [
    "OPAQUE_NAME",
    "RESERVED",
    "WHITEOUT",
    "is_opaque",
    "is_whiteout",
    "make_opaque",
    "make_whiteout",
    "whiteout_name",
]

WHITEOUT = ".wh."
"""What a whiteout's name begins with."""

RESERVED = ".wh..wh."
"""Names that begin so hide nothing by themselves (aufs kept its own files there)."""

OPAQUE_NAME = ".wh..wh..opq"
_OPAQUE_XATTR = "trusted.overlay.opaque"


def whiteout_name(path: str) -> str:
    """Return the name in a tar that hides `path`."""
    above, slash, name = path.rpartition("/")
    return f"{above}{slash}{WHITEOUT}{name}"


def is_whiteout(info: os.stat_result) -> bool:
    """True for overlayfs' mark that hides a name of a lower layer."""
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def make_whiteout(name: str, parent: int) -> None:
    """Hide `name` in the open directory `parent`. Raises: FileExistsError."""
    os.mknod(name, stat.S_IFCHR, 0, dir_fd=parent)


def is_opaque(directory: str | int) -> bool:
    """True for a directory that hides what lower layers have in it.

    `directory` is a path, whose last part is no link, or a descriptor (O_PATH will do).
    """
    path = f"/proc/self/fd/{directory}" if isinstance(directory, int) else directory
    try:
        return os.getxattr(path, _OPAQUE_XATTR) == b"y"
    except OSError:
        return False


def make_opaque(directory: int) -> None:
    """Let an open directory hide what lower layers have in it. Idempotent."""
    os.setxattr(directory, _OPAQUE_XATTR, b"y")
