"""Service: the user namespaces of containers, and what of the host they get to see.

On disk all IDs are the container's own, whether it is remapped or not: layers, writable layers and
volumes are mounted through a mapping. What the runtime needs of it has a place that the
container's root can reach, until the process is made:

    <run_root>/remapped/<id>/    of root and the group of the container's root
        rootfs                   the root file system; then an empty directory, for runc's exec
                                 works there
        <random>                 volumes
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import AsyncIterator, Container, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from pogu.config import Config, Paths
from pogu.containers.model import MountPoint
from pogu.containers.subordinate import is_remapped, read_mapping
from pogu.errors import SystemFailure
from pogu.linux import mount as kernel
from pogu.linux.idmap import (
    IdMapping,
)
from pogu.linux.userns import held_namespaces, mount_namespace
from pogu.model.container import HostConfig
from pogu.storage.overlay import OverlayMount, mount_overlay

__all__ = ["Remapped", "Remapper", "sweep_remapped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remapped:
    """What a container with a user namespace has until its process is made."""

    mapping: IdMapping
    pid: int
    """A process in its user namespace, and in a network namespace that this one owns."""
    joined: str
    """The user namespace of another container, which it shares; else empty."""
    mounts_fd: int
    root: Path
    place: Path

    @property
    def namespace(self) -> str:
        """The file of its user namespace."""
        return self.joined or f"/proc/{self.pid}/ns/user"

    @property
    def network(self) -> Path:
        """The file of a network namespace for it."""
        return Path(f"/proc/{self.pid}/ns/net")

    def mount_overlay(self, overlay: OverlayMount, target: Path) -> None:
        """Mount at `target` with shifted IDs; what lies on disk stays unshifted. Slow.

        Raises: SystemFailure with a hint when the kernel cannot.
        """
        with _idmapped(self.root, self.place / "store", self.mounts_fd) as store:

            def through(path: Path | None) -> Path | None:
                return store / path.relative_to(self.root) if path else None

            shifted = replace(
                overlay,
                lower=tuple(store / path.relative_to(self.root) for path in overlay.lower),
                upper=through(overlay.upper),
                work=through(overlay.work),
            )
            mount_overlay(shifted, target)

    def reachable(self, rootfs: Path) -> Path:
        """Return the root file system at a place that the container's root may go to."""
        target = self.place / "rootfs"
        target.mkdir()
        kernel.bind_private(rootfs, target, read_only=False)
        return target

    def idmapped_volume(self, mount: MountPoint) -> MountPoint:
        """Return a mount whose files have the container's IDs on disk."""
        target = self.place / secrets.token_hex(4)
        target.mkdir() if os.path.isdir(mount.source) else target.touch()
        try:
            kernel.bind_private(mount.source, target, read_only=False, userns_fd=self.mounts_fd)
        except OSError as err:
            raise _cannot_idmap(err, mount.source) from err
        return msgspec.structs.replace(mount, source=str(target))


@contextmanager
def _idmapped(source: Path, target: Path, userns_fd: int) -> Iterator[Path]:
    target.mkdir(mode=0o700)
    try:
        kernel.bind_private(source, target, read_only=False, userns_fd=userns_fd)
    except OSError as err:
        raise _cannot_idmap(err, source) from err
    try:
        yield target
    finally:
        kernel.umount2(target, kernel.MNT_DETACH)


def _cannot_idmap(err: OSError, what: object) -> SystemFailure:
    hint = "--userns=host runs the container without a user namespace"
    if err.errno in (errno.EINVAL, errno.ENOSYS, errno.EPERM):
        hint = f"Linux 5.19 and ext4, xfs or btrfs can; {hint}"
    return SystemFailure(f"cannot mount {what} with mapped IDs: {err.strerror}", hint=hint)


class Remapper:
    """Makes the user namespaces; remembers one for each mapping, to mount by."""

    def __init__(self, config: Config) -> None:
        self._setting = config.userns_remap
        self._paths = config.paths
        self._mounts: dict[IdMapping, int] = {}

    def mapping(self, host: HostConfig) -> IdMapping | None:
        """None for a container that runs with the host's IDs. Raises: SystemFailure."""
        return read_mapping(self._setting) if is_remapped(host, self._setting) else None

    @asynccontextmanager
    async def remapped(
        self, container_id: str, mapping: IdMapping, joined: str = ""
    ) -> AsyncIterator[Remapped]:
        """Hold a user namespace, until the container's process is in it."""
        if mapping not in self._mounts:
            self._mounts[mapping] = await mount_namespace(mapping)
        place = _make_place(self._paths, container_id, mapping.root[1])
        try:
            async with held_namespaces(mapping, joined=joined) as pid:
                yield Remapped(
                    mapping=mapping,
                    pid=pid,
                    joined=joined,
                    mounts_fd=self._mounts[mapping],
                    root=self._paths.root,
                    place=place,
                )
        finally:
            _let_go(place)

    def forget(self, container_id: str) -> None:
        """Take away what is left of a container's place. Idempotent."""
        _remove(self._paths.run_root / "remapped" / container_id)


def _make_place(paths: Paths, container_id: str, group: int) -> Path:
    above = paths.run_root / "remapped"
    above.mkdir(mode=0o711, exist_ok=True)
    for path in (paths.run_root, *paths.run_root.resolve().parents):
        if not path.stat().st_mode & stat.S_IXOTH:
            raise SystemFailure(
                f"a container with a user namespace cannot reach its files: {path} is closed",
                hint=f"chmod o+x {path}, or another run_root; --userns=host runs it without one",
            )
    place = above / container_id
    _remove(place)
    place.mkdir(mode=0o710)
    os.chown(place, 0, group)
    return place


def _let_go(place: Path) -> None:
    """Never deletes below a mount: what is still mounted stays."""
    try:
        entries = list(os.scandir(place))
    except FileNotFoundError:
        return  # what failed has taken it away
    for entry in entries:
        with contextlib.suppress(OSError):
            kernel.umount2(Path(entry.path), kernel.MNT_DETACH)
        with contextlib.suppress(OSError):
            if entry.name != "rootfs":
                os.rmdir(entry.path) if os.path.isdir(entry.path) else os.unlink(entry.path)


def _remove(place: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        _let_go(place)
        with contextlib.suppress(OSError):
            (place / "rootfs").rmdir()
        with contextlib.suppress(OSError):
            place.rmdir()


def sweep_remapped(paths: Paths, known: Container[str]) -> None:
    """At start: let go of what a killed engine held, and of containers that are gone."""
    with contextlib.suppress(FileNotFoundError):
        for entry in list(os.scandir(paths.run_root / "remapped")):
            place = Path(entry.path)
            _let_go(place) if entry.name in known else _remove(place)
