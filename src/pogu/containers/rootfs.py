"""Service: a container's root file system, and what is mounted in it from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from pogu.config import Paths
from pogu.containers.bundles import Bundles
from pogu.containers.image_mount import MountSources
from pogu.containers.model import ContainerRecord, MountPoint
from pogu.containers.remap import Remapped
from pogu.containers.subpath import subpath_of
from pogu.containers.view import mounted_view, opened_directory
from pogu.linux.blocking import in_thread
from pogu.linux.openat2 import openat2_in_root
from pogu.storage.layers import LayerStore
from pogu.storage.overlay import OverlayMount, mount_overlay
from pogu.volumes.content import copy_up
from pogu.volumes.service import Volumes

__all__ = ["RootFilesystems"]


class RootFilesystems:
    """An overlay of the image's layers and the container's own one."""

    def __init__(
        self, *, paths: Paths, layers: LayerStore, volumes: Volumes, bundles: Bundles
    ) -> None:
        self._paths = paths
        self._layers = layers
        self._volumes = volumes
        self._bundles = bundles
        self.sources = MountSources(paths, layers)
        self._filling: dict[str, asyncio.Lock] = {}

    def writable(self, record: ContainerRecord) -> OverlayMount:
        """What the container itself sees; one such mount at a time."""
        directory = self._bundles.directory(record.id)
        lower = self._layers.lower_directories(record.top_layer)
        return OverlayMount(lower=lower, upper=directory / "upper", work=directory / "work")

    def readable(self, record: ContainerRecord) -> OverlayMount:
        """The same tree to look at, for one that does not run."""
        lower = self._layers.lower_directories(record.top_layer)
        return OverlayMount(lower=(self._bundles.directory(record.id) / "upper", *lower))

    async def mount(self, record: ContainerRecord, remapped: Remapped | None) -> Path:
        """Mount it and return where, and before a process sees them fill its volumes."""
        if remapped is None:
            rootfs = await in_thread(self._mount, record, None)
            await self._use_volumes(record, rootfs)
            return rootfs
        if any(mount.type == "volume" for mount in record.mounts):
            with mounted_view(self._paths, self.readable(record)) as tree:
                await self._use_volumes(record, tree)  # with the IDs on disk, as volumes have them
        return await in_thread(self._mount, record, remapped)

    def _mount(self, record: ContainerRecord, remapped: Remapped | None) -> Path:
        rootfs = self._bundles.directory(record.id) / "rootfs"
        mount = remapped.mount_overlay if remapped else mount_overlay
        mount(self.writable(record), rootfs)
        return rootfs

    def held_mounts(
        self,
        record: ContainerRecord,
        held: contextlib.ExitStack,
        remapped: Remapped | None,
    ) -> list[MountPoint]:
        """What is mounted, with sources that stay what they are while `held` is open. Slow.

        Volumes that are Pogu's own directories have a remapped container's IDs on disk; what is
        elsewhere on the host is shown as it is.
        """
        mounts = []
        for mount in record.mounts:
            mount = self.sources.held(mount, held)
            if remapped and mount.type == "volume" and not self._has_options(mount.name):
                mount = remapped.idmapped_volume(mount)
            mounts.append(mount)
        return mounts

    def _has_options(self, volume: str) -> bool:
        return bool(self._volumes.get(volume).options)

    async def _use_volumes(self, record: ContainerRecord, rootfs: Path) -> None:
        """Mount what has to be mounted; a volume that is empty gets what the image has there."""
        for mount in record.mounts:
            if mount.type != "volume":
                continue
            lock = self._filling.setdefault(mount.name, asyncio.Lock())
            async with lock:
                await in_thread(self._volumes.use, mount.name, record.id)
                whole = not subpath_of(mount, self._paths)
                if whole and "nocopy" not in mount.mode.split(","):
                    await self._fill(rootfs, mount)
            if not lock.locked():
                self._filling.pop(mount.name, None)

    async def _fill(self, rootfs: Path, mount: MountPoint) -> None:
        try:
            with opened_directory(rootfs) as root:
                fd = openat2_in_root(root, mount.destination, os.O_PATH | os.O_DIRECTORY)
        except OSError:
            return  # the image has nothing there
        try:
            source = os.readlink(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        await copy_up(Path(source), self._paths.volumes / mount.name)
