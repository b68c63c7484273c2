"""Service: what a container needs while it runs: root file system, network, files, monitor.

`launch` makes all of it or nothing; `release` takes all of it away and may be repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from pogu.config import Config
from pogu.containers.bundles import Bundles
from pogu.containers.confinement import Confinement
from pogu.containers.connection import Connections
from pogu.containers.device_requests import cdi_names
from pogu.containers.entry import Entry
from pogu.containers.etc_files import EtcFiles
from pogu.containers.journal import journal_of
from pogu.containers.linking import Links, with_links
from pogu.containers.log_options import log_bounds
from pogu.containers.model import ContainerRecord, MountPoint
from pogu.containers.namespaces import Namespaces
from pogu.containers.remap import Remapped, Remapper
from pogu.containers.rootfs import RootFilesystems
from pogu.containers.running_ids import give_streams
from pogu.containers.workload import container_workload
from pogu.errors import EngineError
from pogu.images.image import host_architecture
from pogu.linux.blocking import in_thread
from pogu.linux.cgroup import CgroupSetup
from pogu.linux.cgroup_move import GroupMoves
from pogu.network.service import Endpoint, Networks
from pogu.runtime.cdi import edited, read_devices
from pogu.runtime.conmon import Conmon, Monitored
from pogu.runtime.failure import exec_refusal
from pogu.runtime.logrotation import last_resort_bytes, prepare_log
from pogu.runtime.oci_runtime import OciRuntime, resolve_user, write_bundle
from pogu.runtime.program import find_problem
from pogu.runtime.workload import UserIds, Workload
from pogu.storage.overlay import unmount
from pogu.volumes.service import Volumes

__all__ = ["Launcher"]

_RELEASES_AT_ONCE = 12
"""What they open together is less than what a start leaves (`linux/descriptors.py`)."""


class Launcher:
    """Makes containers run and cleans up after them."""

    def __init__(
        self,
        *,
        config: Config,
        bundles: Bundles,
        roots: RootFilesystems,
        confinement: Confinement,
        networks: Networks,
        runtime: OciRuntime,
        conmon: Conmon,
        cgroup: CgroupSetup,
        moves: GroupMoves,
        volumes: Volumes,
        find: Callable[[str], Entry],
        links: Links,
    ) -> None:
        self._config = config
        self._bundles = bundles
        self._roots = roots
        self._confinement = confinement
        self._networks = networks
        self._runtime = runtime
        self._conmon = conmon
        self._cgroup = cgroup
        self._moves = moves
        self._volumes = volumes
        self._links = links
        self._releases = asyncio.Semaphore(_RELEASES_AT_ONCE)
        self._remapper = Remapper(config)
        self._namespaces = Namespaces(find)
        self._connections = Connections(networks=networks, find=find)
        self._etc = EtcFiles(config=config, networks=networks, bundles=bundles, find=find)

    async def launch(self, entry: Entry) -> tuple[Monitored, list[str]]:
        """Make everything up to the created process, which waits for its start.

        Raises: EngineError; then nothing is left behind.
        """
        async with contextlib.AsyncExitStack() as held:
            held.enter_context(self._moves.expected())
            remapped = await self._remap(entry.record, held)
            return await self._launch(entry, held.enter_context(contextlib.ExitStack()), remapped)

    async def _remap(
        self, record: ContainerRecord, held: contextlib.AsyncExitStack
    ) -> Remapped | None:
        """Make the user namespace, if it gets one."""
        mapping = self._remapper.mapping(record.host_config)
        if mapping is None:
            return None
        joined = self._namespaces.joined_user(record, mapping)
        return await held.enter_async_context(self._remapper.remapped(record.id, mapping, joined))

    async def _launch(
        self, entry: Entry, held: contextlib.ExitStack, remapped: Remapped | None
    ) -> tuple[Monitored, list[str]]:
        """What `held` has must stay until the process is made."""
        record = entry.record
        joined = self._namespaces.joined_network(record)
        links = self._links.of(entry)
        connecting = asyncio.ensure_future(
            self._connections.connect(record, remapped.network if remapped else None)
        )
        try:
            rootfs = await self._roots.mount(record, remapped)
            user = await in_thread(self._checked_user, record, rootfs)
            endpoint = await connecting
            owner = remapped.mapping.root if remapped else (0, 0)
            hostname = self._etc.write(entry, endpoint, links, owner=owner)
            if endpoint is not None and endpoint.address:
                self._links.follow(entry, endpoint.address)
            mounts: list[MountPoint] = []
            if record.mounts:
                mounts = await in_thread(self._roots.held_mounts, record, held, remapped)
            workload = container_workload(
                msgspec.structs.replace(
                    record, mounts=tuple(mounts), config=with_links(entry, links)
                ),
                directory=self._bundles.directory(record.id),
                rootfs=remapped.reachable(rootfs) if remapped else rootfs,
                user=user,
                network=str(endpoint.netns) if endpoint else joined or "host",
                hostname=hostname,
                cgroup=self._cgroup,
                driver=self._runtime.cgroup_driver,
                namespace_of=self._namespaces.path_of,
                apparmor=await self._confinement.loaded_profile(record),
                user_namespace=remapped.namespace if remapped else "",
                id_mapping=remapped.mapping if remapped else None,
            )
            if record.host_config.device_requests:
                workload = await in_thread(self._with_cdi, record, workload)
            warnings = self._write(record, workload)
            monitored = await self._create(entry, workload)
            if remapped is not None:
                give_streams(monitored.pid, user.uid, user.gid)
            self._runtime.learn(workload)
        except BaseException:
            await asyncio.shield(self._abandon(record.id, connecting))
            raise
        return monitored, warnings

    def _write(self, record: ContainerRecord, workload: Workload) -> list[str]:
        """Write the bundle's config.json, and the log for conmon to open; return warnings."""
        prepared = self._runtime.prepared(workload)
        log_path = self._bundles.log_path(record)
        if log_path is not None:
            prepare_log(log_path)
        return write_bundle(self._bundles.directory(record.id), prepared)

    async def _create(self, entry: Entry, workload: Workload) -> Monitored:
        record = entry.record
        return await self._conmon.create(
            record.id,
            self._bundles.directory(record.id),
            terminal=record.config.tty,
            stdin=record.config.open_stdin,
            own_stdin=workload.id_mapping is not None,
            systemd_cgroup=workload.by_systemd,
            stdin_once=record.config.stdin_once and not record.config.tty,
            log_path=self._bundles.log_path(record),
            journal=await journal_of(entry, self._conmon),
            log_max_bytes=last_resort_bytes(log_bounds(record.host_config, self._config)),
        )

    def _with_cdi(self, record: ContainerRecord, workload: Workload) -> Workload:
        devices = read_devices(self._config.cdi_spec_dirs)
        return edited(workload, cdi_names(record.host_config, devices), devices)

    def _checked_user(self, record: ContainerRecord, rootfs: Path) -> UserIds:
        """Return the user; refuse a program that the kernel would not execute, saying why."""
        host = record.host_config
        user = resolve_user(rootfs, record.config.user, group_add=host.group_add or ())
        mounted = [*(mount.destination for mount in record.mounts), *(host.tmpfs or ())]
        if host.devices or host.device_requests:
            mounted.append("/usr")  # CDI may mount what it likes
        problem = find_problem(
            rootfs,
            record.args,
            environ=record.config.env or (),
            mounted=mounted,
            machine=host_architecture(),
        )
        if problem is not None:
            raise exec_refusal(self._runtime.name, problem.program, problem.reason, problem.hint)
        return user

    async def _abandon(
        self, container_id: str, connecting: asyncio.Future[Endpoint | None]
    ) -> None:
        with contextlib.suppress(EngineError, OSError, asyncio.CancelledError):
            await connecting
        await self.release(container_id)

    async def release(self, container_id: str) -> None:
        """Take away mount, network, runtime state and monitor files. Idempotent."""
        async with self._releases:
            await self._release(container_id)

    async def _release(self, container_id: str) -> None:
        await asyncio.gather(
            self._runtime.delete(container_id, force=True),
            self._networks.disconnect(container_id),
        )
        await in_thread(unmount, self._bundles.directory(container_id) / "rootfs")
        self._remapper.forget(container_id)
        self._conmon.forget(container_id)
        await in_thread(self._volumes.let_go, container_id)
