"""Service: what a container needs while it runs: root file system, network, files, monitor.

`launch` makes all of it or nothing; `release` takes all of it away and may be repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from pogu.config import Config
from pogu.containers.device_requests import cdi_names
from pogu.containers.entry import Entry
from pogu.containers.image_mount import MountSources
from pogu.containers.journal import check_journal, journal_of
from pogu.containers.links import link_environment, link_names
from pogu.containers.log_options import FILE_DRIVERS, log_bounds
from pogu.containers.model import ContainerRecord, MountPoint
from pogu.containers.ports import choices, ports_to_publish
from pogu.containers.remap import Remapped, Remapper, give_streams
from pogu.containers.subpath import subpath_of
from pogu.containers.validate import network_mode
from pogu.containers.view import mounted_view
from pogu.containers.workload import apparmor_profile, container_workload
from pogu.crash_point import crash_point
from pogu.errors import Conflict, EngineError, InvalidParameter, NotFound
from pogu.images.image import host_architecture
from pogu.linux.apparmor import DEFAULT_PROFILE, detect_apparmor
from pogu.linux.blocking import in_thread
from pogu.linux.cgroup import CgroupSetup
from pogu.linux.idmap import IdMapping
from pogu.linux.openat2 import openat2_in_root
from pogu.linux.userns import mapping_of_process
from pogu.model.container import ContainerConfig, HostConfig
from pogu.network.files import hosts_text, resolv_conf_text
from pogu.network.service import Endpoint, Networks
from pogu.runtime.cdi import edited, read_devices
from pogu.runtime.conmon import Conmon, Monitored
from pogu.runtime.failure import exec_refusal, init_refusal
from pogu.runtime.logrotation import last_resort_bytes, prepare_log
from pogu.runtime.oci_runtime import OciRuntime, resolve_user, write_bundle
from pogu.runtime.program import find_problem
from pogu.runtime.workload import UserIds, Workload
from pogu.storage.layers import LayerStore
from pogu.storage.overlay import OverlayMount, mount_overlay, unmount
from pogu.volumes.content import copy_up
from pogu.volumes.service import Volumes

__all__ = ["Launcher"]

_RESOLV_CONF = Path("/etc/resolv.conf")


class Launcher:
    """Makes containers run and cleans up after them."""

    def __init__(
        self,
        *,
        config: Config,
        layers: LayerStore,
        networks: Networks,
        runtime: OciRuntime,
        conmon: Conmon,
        cgroup: CgroupSetup,
        volumes: Volumes,
        find: Callable[[str], Entry],
    ) -> None:
        self._config = config
        self._layers = layers
        self._networks = networks
        self._runtime = runtime
        self._conmon = conmon
        self._cgroup = cgroup
        self._volumes = volumes
        self._find = find
        self.apparmor = detect_apparmor()
        self.sources = MountSources(config.paths, layers)
        self._remapper = Remapper(config)
        self._filling: dict[str, asyncio.Lock] = {}

    def directory(self, container_id: str) -> Path:
        return self._config.paths.containers / container_id

    def log_path(self, record: ContainerRecord) -> Path | None:
        """None when the container keeps no log file."""
        if (record.host_config.log_config.type or "json-file") not in FILE_DRIVERS:
            return None
        return self.directory(record.id) / "ctr.log"

    async def check_log(self, host: HostConfig) -> list[str]:
        """At creation: return warnings. Raises: InvalidParameter where there is no such log."""
        return await check_journal(host, self._conmon)

    def make_directory(self, container_id: str) -> None:
        """At creation: the bundle with its empty writable layer."""
        directory = self.directory(container_id)
        directory.mkdir(mode=0o710)
        for name, mode in (("rootfs", 0o755), ("upper", 0o755), ("work", 0o700)):
            (directory / name).mkdir(mode=mode)
        crash_point()

    def mount(self, record: ContainerRecord, remapped: Remapped | None = None) -> Path:
        """Mount the root file system and return where. Slow."""
        directory = self.directory(record.id)
        overlay = OverlayMount(
            lower=self._layers.lower_directories(record.top_layer),
            upper=directory / "upper",
            work=directory / "work",
        )
        mount = remapped.mount_overlay if remapped else mount_overlay
        mount(overlay, directory / "rootfs")
        return directory / "rootfs"

    async def launch(self, entry: Entry) -> tuple[Monitored, list[str]]:
        """Make everything up to the created process, which waits for its start.

        Raises: EngineError; then nothing is left behind.
        """
        async with contextlib.AsyncExitStack() as held:
            remapped = await self._remap(entry.record, held)
            return await self._launch(entry, held.enter_context(contextlib.ExitStack()), remapped)

    async def _remap(
        self, record: ContainerRecord, held: contextlib.AsyncExitStack
    ) -> Remapped | None:
        """Make the user namespace, if it gets one."""
        mapping = self._remapper.mapping(record.host_config)
        if mapping is None:
            return None
        joined = self._joined_user_namespace(record, mapping)
        return await held.enter_async_context(self._remapper.remapped(record.id, mapping, joined))

    def _joined_user_namespace(self, record: ContainerRecord, mapping: IdMapping) -> str:
        """Who shares a namespace of another container shares its user namespace: others may not
        enter. Empty when it shares none.
        """
        host = record.host_config
        modes = (network_mode(host), host.pid_mode, host.ipc_mode)
        names = [mode.partition(":")[2] for mode in modes if mode.startswith("container:")]
        found = {}
        for name in names:
            path = self._namespace_of(name, "user")
            found[os.stat(path).st_ino] = path
            if len(found) > 1 or mapping_of_process(self._find(name).state.pid) != mapping:
                raise Conflict(
                    f"cannot join container {self._find(name).name}: it has another user namespace",
                    hint="--userns=host joins any; --userns=remap those that are remapped too",
                )
        return next(iter(found.values()), "")

    async def _launch(
        self, entry: Entry, held: contextlib.ExitStack, remapped: Remapped | None
    ) -> tuple[Monitored, list[str]]:
        """What `held` has must stay until the process is made."""
        record = entry.record
        joined = self._check_joined(record)
        linked = self._linked(entry)
        connecting = asyncio.ensure_future(self._connect(record, remapped))
        try:
            rootfs = await self._mounted(record, remapped)
            user = await in_thread(self._checked_user, record, rootfs)
            endpoint = await connecting
            hostname = self._write_files(entry, endpoint, linked)
            self._give_files(record.id, remapped)
            mounts = await in_thread(self._held_mounts, record, held, remapped)
            workload = container_workload(
                msgspec.structs.replace(record, mounts=tuple(mounts), config=_told(entry, linked)),
                directory=self.directory(record.id),
                rootfs=remapped.reachable(rootfs) if remapped else rootfs,
                user=user,
                network=str(endpoint.netns) if endpoint else joined or "host",
                hostname=hostname,
                cgroup=self._cgroup,
                namespace_of=self._namespace_of,
                apparmor=await self._profile(record),
                user_namespace=remapped.namespace if remapped else "",
                id_mapping=remapped.mapping if remapped else None,
            )
            if record.host_config.device_requests:
                workload = await in_thread(self._with_cdi, record, workload)
            prepared = self._runtime.prepared(workload)
            log_path, journal = self.log_path(record), await journal_of(entry, self._conmon)
            if log_path is not None:
                prepare_log(log_path)
            warnings = write_bundle(self.directory(record.id), prepared)
            monitored = await self._conmon.create(
                record.id,
                self.directory(record.id),
                terminal=record.config.tty,
                stdin=record.config.open_stdin,
                own_stdin=remapped is not None,
                stdin_once=record.config.stdin_once and not record.config.tty,
                log_path=log_path,
                journal=journal,
                log_max_bytes=last_resort_bytes(log_bounds(record.host_config, self._config)),
            )
            if remapped is not None:
                give_streams(monitored.pid, user.uid, user.gid)
            self._runtime.learn(workload)
        except BaseException:
            await asyncio.shield(self._abandon(record.id, connecting))
            raise
        return monitored, warnings

    async def _profile(self, record: ContainerRecord) -> str:
        """Return the AppArmor profile, which the kernel has; empty on a host without."""
        if not self.apparmor.enabled:
            return ""
        name = apparmor_profile(record.host_config)
        if name == DEFAULT_PROFILE:
            await self.apparmor.load_default()
        elif not self.apparmor.has(name):
            raise init_refusal(
                self._runtime.name,
                "unable to apply apparmor profile: apparmor failed to apply profile: write"
                " /proc/thread-self/attr/apparmor/exec: no such file or directory",
                f"the kernel has no profile {name}: load it with `apparmor_parser -r FILE`;"
                " `aa-status` lists what is loaded",
            )
        return name

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
        await asyncio.gather(
            self._runtime.delete(container_id, force=True),
            self._networks.disconnect(container_id),
        )
        await in_thread(unmount, self.directory(container_id) / "rootfs")
        self._remapper.forget(container_id)
        self._conmon.forget(container_id)
        await in_thread(self._volumes.let_go, container_id)

    def _check_joined(self, record: ContainerRecord) -> str | None:
        """Return the network namespace that is joined, for `--network container:…`."""
        mode = network_mode(record.host_config)
        if not mode.startswith("container:"):
            return None
        return self._namespace_of(mode.removeprefix("container:"), "net")

    def _namespace_of(self, name: str, kind: str) -> str:
        entry = self._find(name)
        if not entry.active:
            words = {"net": "network"}.get(kind, kind.upper())
            raise Conflict(
                f"cannot join {words} of a non running container: {entry.id}",
                hint=f"start it first: pogu start {entry.name}",
            )
        return f"/proc/{entry.state.pid}/ns/{kind}"

    async def _connect(self, record: ContainerRecord, remapped: Remapped | None) -> Endpoint | None:
        """Connect and publish; of a range of host ports the first free one is taken."""
        mode = network_mode(record.host_config)
        if mode == "host" or mode.startswith("container:"):
            return None
        wanted = ports_to_publish(record.config, record.host_config) if mode != "none" else []
        asked = (record.networking.endpoints_config or {}).get(mode)
        mac = record.config.mac_address or (asked.mac_address if asked else "")
        local = (asked.ipam_config or {}).get("LinkLocalIPs") if asked else None
        last_error: Conflict | None = None
        for ports in choices(wanted):
            try:
                return await self._networks.connect(
                    record.id,
                    network=mode,
                    ports=ports,
                    mac_address=mac,
                    link_local=[str(one) for one in local] if isinstance(local, list) else (),
                    netns=remapped.network if remapped else None,
                )
            except Conflict as err:
                last_error = self._named(err)
        assert last_error is not None
        raise last_error

    def _named(self, error: Conflict) -> Conflict:
        """Networks know their owners by ID only: people know them by name."""
        for word in (error.hint or "").split():
            if len(word) == 12 and error.hint is not None:
                with contextlib.suppress(EngineError):
                    error.hint = error.hint.replace(word, f"{self._find(word).name} ({word})")
        return error

    async def _mounted(self, record: ContainerRecord, remapped: Remapped | None) -> Path:
        """Mount the root file system, and before the process sees them what its volumes need."""
        if remapped is None:
            rootfs = await in_thread(self.mount, record)
            await self._use_volumes(record, rootfs)
            return rootfs
        if any(mount.type == "volume" for mount in record.mounts):
            with mounted_view(self._config.paths, self._readable(record)) as tree:
                await self._use_volumes(record, tree)  # with the IDs on disk, as volumes have them
        return await in_thread(self.mount, record, remapped)

    def _readable(self, record: ContainerRecord) -> OverlayMount:
        lower = self._layers.lower_directories(record.top_layer)
        return OverlayMount(lower=(self.directory(record.id) / "upper", *lower))

    def _held_mounts(
        self,
        record: ContainerRecord,
        held: contextlib.ExitStack,
        remapped: Remapped | None,
    ) -> list[MountPoint]:
        """What is mounted, with sources that stay what they are while `held` is open.

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

    def _give_files(self, container_id: str, remapped: Remapped | None) -> None:
        """Let hosts, hostname and resolv.conf belong to the container's root."""
        owner = remapped.mapping.root if remapped else (0, 0)
        for file in ("hosts", "hostname", "resolv.conf"):
            os.chown(self.directory(container_id) / file, *owner)

    def _linked(self, entry: Entry) -> list[tuple[str, Entry, str]]:
        """Return alias, container and address of each link. Raises: Conflict in Docker's words."""
        host = entry.record.host_config
        found = []
        for link in (host.links or ()) if network_mode(host) == "bridge" else ():
            other_id, _, alias = link.partition(":")
            try:
                other = self._find(other_id)
            except NotFound:
                continue  # removed since: the link went with it
            endpoint = self._networks.endpoint(other.id)
            if not other.active:
                raise Conflict(
                    f"Cannot link to a non running container: /{other.name} AS"
                    f" /{entry.name}/{alias}",
                    hint=f"start it first: pogu start {other.name}",
                )
            if endpoint is not None and endpoint.address:
                found.append((alias, other, endpoint.address))
        return found

    def _write_files(
        self, entry: Entry, endpoint: Endpoint | None, linked: list[tuple[str, Entry, str]]
    ) -> str:
        """Write hosts, hostname and resolv.conf; return the hostname."""
        record, directory = entry.record, self.directory(entry.id)
        host, mode = record.host_config, network_mode(record.host_config)
        hostname = record.config.hostname
        if mode == "host" or host.uts_mode == "host":
            hostname = hostname or socket.gethostname()
        if mode.startswith("container:"):
            self._copy_files(mode.removeprefix("container:"), directory)
            return self._find(mode.removeprefix("container:")).record.config.hostname
        hosts = hosts_text(
            hostname=hostname,
            domainname=record.config.domainname,
            address=endpoint.address if endpoint else "",
            extra_hosts=[*(host.extra_hosts or ()), *_link_hosts(linked)],
            gateway=endpoint.gateway if endpoint else "127.0.0.1",
        )
        if mode == "host":
            hosts = _read("/etc/hosts") or hosts
        resolv = resolv_conf_text(
            _read(_RESOLV_CONF),
            dns=host.dns or self._config.dns,
            dns_search=host.dns_search or (),
            dns_options=host.dns_options or (),
            default_dns=self._networks.nameservers(),
        )
        (directory / "hosts").write_text(hosts)
        (directory / "hostname").write_text(hostname + "\n")
        (directory / "resolv.conf").write_text(_read(_RESOLV_CONF) if mode == "host" else resolv)
        return hostname

    def _copy_files(self, name: str, directory: Path) -> None:
        other = self.directory(self._find(name).id)
        for file in ("hosts", "hostname", "resolv.conf"):
            (directory / file).write_text(_read(other / file))

    async def _use_volumes(self, record: ContainerRecord, rootfs: Path) -> None:
        """Mount what has to be mounted; a volume that is empty gets what the image has there."""
        for mount in record.mounts:
            if mount.type != "volume":
                continue
            lock = self._filling.setdefault(mount.name, asyncio.Lock())
            async with lock:
                await in_thread(self._volumes.use, mount.name, record.id)
                whole = not subpath_of(mount, self._config.paths)
                if whole and "nocopy" not in mount.mode.split(","):
                    await self._fill(rootfs, mount)
            if not lock.locked():
                self._filling.pop(mount.name, None)

    async def _fill(self, rootfs: Path, mount: MountPoint) -> None:
        root_fd = os.open(rootfs, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fd = openat2_in_root(root_fd, mount.destination, os.O_PATH | os.O_DIRECTORY)
        except OSError:
            return  # the image has nothing there
        finally:
            os.close(root_fd)
        try:
            source = os.readlink(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        await copy_up(Path(source), self._config.paths.volumes / mount.name)


def _link_hosts(linked: list[tuple[str, Entry, str]]) -> list[str]:
    """As extra hosts: `names:address`."""
    return [
        f"{link_names(alias, hostname=one.record.config.hostname, name=one.name)}:{address}"
        for alias, one, address in linked
    ]


def _told(entry: Entry, linked: list[tuple[str, Entry, str]]) -> ContainerConfig:
    """Return its config with the variables of its links, below its own ones."""
    config = entry.record.config
    env: tuple[str, ...] = ()
    for alias, other, address in linked:
        env += link_environment(other.record, owner=entry.name, alias=alias, address=address)
    return msgspec.structs.replace(config, env=env + (config.env or ())) if env else config


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def missing_bind(mount: MountPoint) -> EngineError:
    """The error for `--mount type=bind` of a path that is not there."""
    return InvalidParameter(
        f'invalid mount config for type "bind": bind source path does not exist: {mount.source}',
        hint="make the directory first; -v makes it by itself",
    )
