"""Format: Docker's `user[:group]` against a root file system's passwd and group files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pogu.errors import InvalidParameter
from pogu.linux.openat2 import openat2_in_root
from pogu.runtime.workload import UserIds

__all__ = ["resolve_user"]

_HIGHEST_ID = 2**31 - 1


def resolve_user(rootfs: Path, user: str, *, group_add: tuple[str, ...] = ()) -> UserIds:
    """Resolve `user[:group]` to numbers, with home and supplementary groups.

    Never follows a link out of `rootfs`. Raises: InvalidParameter in Docker's words ("unable to
    find user x: no matching entries in passwd file").
    """
    name, _, group = user.partition(":")
    name = name or "0"
    groups = list(_table(rootfs, "etc/group", 3))
    uid, gid, home, login = _find_user(rootfs, name)
    if group:
        gid = _find_group(groups, group)
        extra: list[int] = []
    else:
        extra = [int(row[2]) for row in groups if login in row[3].split(",")]
    extra += [_find_group(groups, one) for one in group_add]
    kept = tuple(dict.fromkeys(number for number in extra if number != gid or not group))
    return UserIds(uid=uid, gid=gid, additional_gids=kept, home=home or "/")


def _table(rootfs: Path, path: str, number_at: int) -> Iterator[list[str]]:
    """Yield the rows of passwd or group whose ID is a number."""
    try:
        root_fd = os.open(rootfs, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fd = openat2_in_root(root_fd, path, os.O_RDONLY | os.O_NONBLOCK)
        finally:
            os.close(root_fd)
    except OSError:
        return
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)  # an image may put a device or a directory there
        return
    with os.fdopen(fd, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            row = line.strip().split(":")
            if len(row) > number_at and row[2].isdecimal():
                yield row


def _find_user(rootfs: Path, name: str) -> tuple[int, int, str, str]:
    for row in _table(rootfs, "etc/passwd", 5):
        if (row[0] == name or row[2] == name) and row[3].isdecimal():
            return int(row[2]), int(row[3]), row[5], row[0]
    if name.isdecimal() and int(name) <= _HIGHEST_ID:
        return int(name), 0, "/root" if name == "0" else "/", name
    raise InvalidParameter(
        f"unable to find user {name}: no matching entries in passwd file",
        hint="make the user in the image (RUN useradd …) or give a number",
    )


def _find_group(groups: list[list[str]], name: str) -> int:
    for row in groups:
        if row[0] == name:
            return int(row[2])
    if name.isdecimal() and int(name) <= _HIGHEST_ID:
        return int(name)
    raise InvalidParameter(
        f"unable to find group {name}: no matching entries in group file",
        hint="make the group in the image (RUN groupadd …) or give a number",
    )
