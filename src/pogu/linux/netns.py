"""Edge: network namespaces as files: a thread of its own moves into one, bound to a path."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pogu.crash_point import crash_point
from pogu.linux.blocking import in_passing_thread
from pogu.linux.libc import last_error, libc
from pogu.linux.mount import MNT_DETACH, bind_mount, umount2

__all__ = ["is_netns", "make_netns", "remove_netns"]

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000


def _unshare_network() -> None:
    if libc.unshare(_CLONE_NEWNET) < 0:
        raise last_error("unshare(CLONE_NEWNET)")


def _join_network(of: Path) -> None:
    fd = os.open(of, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(fd, _CLONE_NEWNET) < 0:
            raise last_error(f"setns({of})")
    finally:
        os.close(fd)


def make_netns(path: Path, inside: Callable[[], T], *, of: Path | None = None) -> T:
    """Make a network namespace, bind it to `path` and return what `inside` returns, run in it.

    `of`: the file of one that is there already and belongs to another user namespace.

    The thread that moves into the namespace ends with this call, so none is ever left in it.
    A failure leaves no file. Raises: OSError, and whatever `inside` raises.
    """

    def body() -> T:
        _unshare_network() if of is None else _join_network(of)
        remove_netns(path)
        path.touch()
        bind_mount("/proc/thread-self/ns/net", path)
        return inside()

    try:
        result = in_passing_thread(body)
    except BaseException:
        remove_netns(path)
        raise
    crash_point()
    return result


def remove_netns(path: Path) -> None:
    """Take the file away; the kernel ends the namespace when no process is in it. Idempotent."""
    with contextlib.suppress(OSError):  # EINVAL: not mounted, ENOENT: no file
        umount2(path, MNT_DETACH)
    path.unlink(missing_ok=True)
    crash_point()


def is_netns(path: Path) -> bool:
    """True when a namespace is bound there (after a reboot there is none)."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except FileNotFoundError:
        return False
