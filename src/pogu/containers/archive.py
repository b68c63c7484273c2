"""Service: files in and out of a container, through everything that is mounted in it.

A running container is entered by the root directory of its first process: its own mounts count,
tmpfs too, and no namespace is changed here. A stopped one is mounted as a view with its volumes.
Paths are resolved by the kernel with the container's root as `/`: what a container does to its
links meanwhile leads nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import posixpath
import secrets
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from pogu.config import Paths
from pogu.containers.entry import Entry
from pogu.containers.model import ContainerRecord, MountPoint, Status
from pogu.containers.path_stat import PathStat, absolute, base_name, path_stat
from pogu.containers.rootfs import RootFilesystems
from pogu.containers.running_ids import ids_of
from pogu.containers.states import States
from pogu.containers.view import make_mount_points, mount_volumes, mounted_view, opened_directory
from pogu.errors import Conflict, EngineError, InvalidParameter, NotFound, SystemFailure
from pogu.linux.blocking import in_own_thread, in_thread
from pogu.linux.openat2 import openat2_in_root
from pogu.runtime.user import resolve_user
from pogu.storage.extract import extract_tar
from pogu.storage.livetree import write_live_tar
from pogu.storage.tarwriter import TarSink
from pogu.volumes.service import Volumes

__all__ = ["ContainerArchive", "Upload"]

_THING = os.O_PATH | os.O_NOFOLLOW


_PATIENCE_S = 10.0
"""How long an upload may stand still while somebody waits for its container."""


class Upload(Protocol):
    """A tar on its way here."""

    file: BinaryIO

    @property
    def idle_s(self) -> float:
        """How long its sender has been waited for."""
        ...

    def cut(self) -> None:
        """End the file here."""
        ...


class ContainerArchive:
    """Works on entries; `find` raises NotFound."""

    def __init__(
        self,
        *,
        paths: Paths,
        roots: RootFilesystems,
        states: States,
        volumes: Volumes,
        find: Callable[[str], Entry],
    ) -> None:
        self._paths = paths
        self._roots = roots
        self._states = states
        self._volumes = volumes
        self._find = find

    # ---- out -----------------------------------------------------------------------------

    async def stat(self, name: str, path: str) -> PathStat:
        """Say what is at a path; the last component is not followed.

        Raises: NotFound("Could not find the file …"); InvalidParameter.
        """
        entry, path = self._asked(name, path)
        await self._prepare(entry)
        return await in_thread(self._stat, entry, path, name)

    def _stat(self, entry: Entry, path: str, name: str) -> PathStat:
        with self._root(entry) as root, _opened(root, path, name) as fd:
            info = os.fstat(fd)
            target = _link_target(root, path, fd) if stat.S_ISLNK(info.st_mode) else ""
            return path_stat(path, info, link_target=target)

    async def read(self, name: str, path: str) -> tuple[PathStat, Callable[[TarSink], None]]:
        """Return what is at a path, and what writes it as a tar, in a thread. Raises: as `stat`."""
        found = await self.stat(name, path)
        entry, path = self._asked(name, path)
        self._states.publish(entry, "archive-path")

        def write(sink: TarSink) -> None:
            with self._root(entry) as root, _opened(root, path, name) as fd:
                write_live_tar(fd, sink, name=base_name(path), ids=ids_of(entry))

        return found, write

    # ---- in ------------------------------------------------------------------------------

    async def extract(
        self, name: str, path: str, upload: Upload, *, own: bool, keep_kinds: bool
    ) -> None:
        """Unpack a tar in a directory of the container.

        With `own` everything belongs to the container's user, if it has one. `keep_kinds` as in
        `extract_tar`. Raises: NotFound; InvalidParameter when it is no directory, or read-only;
        Conflict when it stood still while somebody waited for the container.
        """
        entry, path = self._asked(name, path)
        work = partial(self._extract, entry, path, name, own=own, keep_kinds=keep_kinds)
        if entry.active:
            await _to_end(in_own_thread(lambda: work(upload.file)))
        else:
            async with entry.lock:  # two mounts may not write into one layer
                if entry.removed:
                    raise NotFound(f"No such container: {name}")
                await _while_it_comes(entry, upload, work)
        self._states.publish(entry, "extract-to-dir")

    def _extract(
        self, entry: Entry, path: str, name: str, tar: BinaryIO, *, own: bool, keep_kinds: bool
    ) -> None:
        with self._root(entry, write=True) as root:
            with _opened(root, posixpath.join(path, "."), name) as fd:
                if not stat.S_ISDIR(os.fstat(fd).st_mode):
                    raise InvalidParameter("extraction point is not a directory")
                _check_writable(entry.record, _real_path(root, fd))
            owner = None
            if own and entry.record.config.user:
                user = resolve_user(Path(f"/proc/self/fd/{root}"), entry.record.config.user)
                owner = (user.uid, user.gid)
            directory = absolute(path).removesuffix(".").strip("/")
            ids = ids_of(entry)
            extract_tar(tar, root, directory, owner=owner, keep_kinds=keep_kinds, ids=ids)

    # ---- the tree ------------------------------------------------------------------------

    def _asked(self, name: str, path: str) -> tuple[Entry, str]:
        entry = self._find(name)
        if not path:
            raise InvalidParameter("bad parameter: 'path' cannot be empty")
        if "\0" in path:
            raise InvalidParameter("bad parameter: 'path' holds a NUL character")
        if entry.state.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f"container {entry.id} is marked for removal")
        return entry, absolute(path)

    async def _prepare(self, entry: Entry) -> None:
        """A stopped container with volumes gets the directories to mount them on."""
        if entry.active or not entry.record.mounts:
            return
        async with entry.lock:
            if not entry.active and not entry.removed:
                await in_thread(self._make_mount_points, entry.record)

    def _make_mount_points(self, record: ContainerRecord) -> None:
        with (
            self._held_mounts(record) as mounts,
            mounted_view(self._paths, self._roots.writable(record)) as target,
        ):
            make_mount_points(target, mounts)

    @contextmanager
    def _root(self, entry: Entry, *, write: bool = False) -> Iterator[int]:
        """Give the container's root directory."""
        if entry.active:
            with _process_root(entry) as root:
                yield root
            return
        overlay = (self._roots.writable if write else self._roots.readable)(entry.record)
        with (
            self._held_mounts(entry.record) as mounts,
            mounted_view(self._paths, overlay) as target,
        ):
            if write:
                make_mount_points(target, mounts)
            mount_volumes(target, mounts)
            with opened_directory(target) as root:
                yield root

    @contextmanager
    def _held_mounts(self, record: ContainerRecord) -> Iterator[list[MountPoint]]:
        """What volumes' driver options name, and images, are mounted meanwhile."""
        user = f"view-{secrets.token_hex(8)}"
        try:
            for mount in record.mounts:
                if mount.type == "volume":
                    self._volumes.use(mount.name, user)
            with contextlib.ExitStack() as held:
                yield [self._roots.sources.held(mount, held) for mount in record.mounts]
        finally:
            self._volumes.let_go(user)


@contextmanager
def _process_root(entry: Entry) -> Iterator[int]:
    """Open the root of the first process, and be sure that it was that process."""
    try:
        root = os.open(f"/proc/{entry.state.pid}/root", os.O_PATH | os.O_DIRECTORY)
    except OSError as err:
        raise Conflict(f"container {entry.id} is not running") from err
    try:
        if not entry.send_signal(0):
            raise Conflict(f"container {entry.id} is not running", hint="it has just ended")
        yield root
    finally:
        os.close(root)


@contextmanager
def _opened(root: int, path: str, name: str) -> Iterator[int]:
    """Open what is at a path inside the root, as lstat(2) would find it."""
    try:
        fd = openat2_in_root(root, path, _THING)
    except OSError as err:
        raise _not_found(err, path, name) from err
    try:
        yield fd
    finally:
        os.close(fd)


def _not_found(err: OSError, path: str, name: str) -> EngineError:
    if err.errno == errno.ENOENT:
        shown = path.removesuffix("/.") or "/"
        return NotFound(f"Could not find the file {shown} in container {name}")
    words = (err.strerror or "").lower()
    if err.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
        return InvalidParameter(f"lstat {path}: {words}")
    return SystemFailure(f"lstat {path}: {words}")


def _real_path(root: int, fd: int) -> str:
    """Where something lies in the container, without links."""
    top = os.readlink(f"/proc/self/fd/{root}").rstrip("/")
    return "/" + os.readlink(f"/proc/self/fd/{fd}").removeprefix(top).strip("/")


def _link_target(root: int, path: str, fd: int) -> str:
    """Where a link leads in the end; as far as it can be told when that is nowhere."""
    try:
        end = openat2_in_root(root, path, os.O_PATH)
    except OSError:
        above = _real_path(root, fd).rpartition("/")[0]
        return absolute(posixpath.join(above or "/", os.readlink("", dir_fd=fd)))
    try:
        return _real_path(root, end)
    finally:
        os.close(end)


def _check_writable(record: ContainerRecord, path: str) -> None:
    """Raises: InvalidParameter in Docker's words."""
    inner = [
        mount
        for mount in record.mounts
        if path == mount.destination or path.startswith(mount.destination.rstrip("/") + "/")
    ]
    if inner:
        if not max(inner, key=lambda mount: len(mount.destination)).rw:
            raise InvalidParameter("mounted volume is marked read-only")
    elif record.host_config.readonly_rootfs and not _on_tmpfs(record, path):
        raise InvalidParameter("container rootfs is marked read-only")


def _on_tmpfs(record: ContainerRecord, path: str) -> bool:
    places = [posixpath.normpath(one) for one in record.host_config.tmpfs or {}]
    return any(path == place or path.startswith(place + "/") for place in [*places, "/dev/shm"])


async def _while_it_comes(entry: Entry, upload: Upload, work: Callable[[BinaryIO], None]) -> None:
    """Unpack; no client that stands still keeps others from the container."""
    unpacking = asyncio.ensure_future(_to_end(in_own_thread(lambda: work(upload.file))))
    try:
        while not (await asyncio.wait({unpacking}, timeout=_PATIENCE_S / 10))[0]:
            if entry.lock.wanted and upload.idle_s > _PATIENCE_S:
                upload.cut()
                await asyncio.wait({unpacking})
                raise Conflict(
                    f"copying to container {entry.id} ended: for {_PATIENCE_S:.0f} s nothing came"
                    " while something else waited for the container",
                    hint="what came before is there; copy again",
                )
    except asyncio.CancelledError:
        unpacking.cancel()
        await asyncio.wait({unpacking})
        raise
    unpacking.result()


async def _to_end(work: Awaitable[None]) -> None:
    """The thread ends soon after its client has gone: the lock is held until then."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
