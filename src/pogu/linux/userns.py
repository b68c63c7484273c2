"""Edge: user namespaces, made by a small child: the engine itself never changes its own.

The child is `cat`, which waits in the new namespaces for the end of its input: it ends with whoever
began it, also when that is killed, and nothing of it lies on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from pogu.errors import SystemFailure
from pogu.linux.idmap import IdMapping, IdRange, for_mounts, map_text, parse_map
from pogu.linux.process import read_some
from pogu.linux.spawn import spawn, wait_child

__all__ = ["held_namespaces", "mapping_of_process", "mount_namespace"]


def holder_argv(joined: str) -> list[str]:
    """The child's command line: a user namespace of its own, or the one of a process."""
    if joined:
        return ["nsenter", f"--user={joined}", "--", "unshare", "--net", "cat"]
    return ["unshare", "--user", "--net", "cat"]


@asynccontextmanager
async def held_namespaces(
    mapping: IdMapping, *, joined: str = "", argv: Sequence[str] = ()
) -> AsyncIterator[int]:
    """Give the pid of a process in a user namespace and a network namespace that this one owns.

    `joined`: the file of a user namespace to take instead of a new one. Raises: SystemFailure.
    """
    ours, its_input, output, its_output = (*reversed(os.pipe()), *os.pipe())
    null = os.open(os.devnull, os.O_RDWR)
    try:
        child = spawn(argv or holder_argv(joined), stdin=its_input, stdout=its_output, stderr=null)
    except BaseException:
        os.close(ours)
        os.close(output)
        raise
    finally:
        for fd in (its_input, its_output, null):
            os.close(fd)
    try:
        os.write(ours, b".")
        if not await read_some(output):  # it answers from inside
            raise _refused()
        if not joined:
            _write_maps(child, mapping.uids, mapping.gids)
        yield child
    finally:
        os.close(ours)
        os.close(output)
        await asyncio.shield(wait_child(child))


def _refused() -> SystemFailure:
    return SystemFailure(
        "this host does not allow user namespaces",
        hint="`sysctl user.max_user_namespaces` must be more than 0, and unshare(1) there;"
        " --userns=host runs the container without one",
    )


def _write_maps(pid: int, uids: Sequence[IdRange], gids: Sequence[IdRange]) -> None:
    try:
        Path(f"/proc/{pid}/gid_map").write_text(map_text(gids))
        Path(f"/proc/{pid}/uid_map").write_text(map_text(uids))
    except OSError as err:
        raise SystemFailure(
            f"cannot map the IDs of a user namespace: {err.strerror}",
            hint="look at the ranges in /etc/subuid and /etc/subgid",
        ) from err


async def mount_namespace(mapping: IdMapping) -> int:
    """Return a descriptor of a user namespace that mounts are idmapped by. The caller closes it.

    Raises: SystemFailure.
    """
    wide = IdMapping(for_mounts(mapping.uids), for_mounts(mapping.gids))
    async with held_namespaces(wide, argv=["unshare", "--user", "cat"]) as pid:
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)


def mapping_of_process(pid: int) -> IdMapping | None:
    """How a process's IDs are mapped; None in the host's user namespace, or when it has ended."""
    with contextlib.suppress(OSError, ValueError):
        uids = parse_map(Path(f"/proc/{pid}/uid_map").read_text())
        gids = parse_map(Path(f"/proc/{pid}/gid_map").read_text())
        if uids and gids:
            return IdMapping(uids, gids)
    return None
