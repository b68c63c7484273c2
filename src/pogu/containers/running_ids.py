"""Edge: how the IDs of a running container are those of the host, and who owns its streams."""

from __future__ import annotations

import contextlib
import os
import stat

from pogu.containers.entry import Entry
from pogu.linux.idmap import IdMapping
from pogu.linux.userns import mapping_of_process

__all__ = ["give_streams", "ids_of", "owner_of_streams"]


def ids_of(entry: Entry) -> IdMapping | None:
    """How the files of a container are shifted where it has them mounted; what is mounted of one
    that does not run, and what lies on disk, is not.
    """
    return mapping_of_process(entry.state.pid) if entry.active else None


def owner_of_streams(pid: int, uid: int, gid: int) -> tuple[int, int] | None:
    """Who on the host must own a process's pipes, so that it may open /dev/stdout anew; None in
    the host's user namespace, where the runtime sees to it, and for an ID that it does not have.
    """
    mapping = mapping_of_process(pid)
    with contextlib.suppress(ValueError):
        return mapping.outside(uid, gid) if mapping else None
    return None


def give_streams(pid: int, uid: int, gid: int) -> None:
    """Let a created process own its pipes: runc leaves them the host's root's."""
    owner = owner_of_streams(pid, uid, gid)
    for fd in (0, 1, 2):
        path = f"/proc/{pid}/fd/{fd}"
        with contextlib.suppress(OSError):
            if owner is not None and stat.S_ISFIFO(os.stat(path).st_mode):
                os.chown(path, *owner)
