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
from pogu.containers.links import link_environment, link_names
from pogu.containers.log_options import FILE_DRIVERS, log_bounds
from pogu.containers.model import ContainerRecord, MountPoint
from pogu.containers.ports import choices, ports_to_publish
from pogu.containers.subpath import subpath_of
from pogu.containers.validate import network_mode
from pogu.containers.workload import apparmor_profile, container_workload
from pogu.crash_point import crash_point
from pogu.errors import Conflict, EngineError, InvalidParameter, NotFound
from pogu.images.image import host_architecture
from pogu.linux.apparmor import DEFAULT_PROFILE, detect_apparmor
from pogu.linux.blocking import in_thread
from pogu.linux.cgroup import CgroupSetup
from pogu.linux.openat2 import openat2_in_root
from pogu.model.container import ContainerConfig
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
        self._filling: dict[str, asyncio.Lock] = {}

    def directory(self, container_id: str) -> Path:
        return self._config.paths.containers / container_id

    def log_path(self, record: ContainerRecord) -> Path | None:
        """None when the container keeps no log file."""
        if (record.host_config.log_config.type or "json-file") not in FILE_DRIVERS:
            return None
        return self.directory(record.id) / "ctr.log"

    def make_directory(self, container_id: str) -> None:
        """At creation: the bundle with its empty writable layer."""
        directory = self.directory(container_id)
        directory.mkdir(mode=0o710)
        for name, mode in (("rootfs", 0o755), ("upper", 0o755), ("work", 0o700)):
            (directory / name).mkdir(mode=mode)
        crash_point()

    def mount(self, record: ContainerRecord) -> Path:
        """Mount the root file system and return where. Slow."""
        directory = self.directory(record.id)
        overlay = OverlayMount(
            lower=self._layers.lower_directories(record.top_layer),
            upper=directory / "upper",
            work=directory / "work",
        )
        mount_overlay(overlay, directory / "rootfs")
        return directory / "rootfs"

    async def launch(self, entry: Entry) -> tuple[Monitored, list[str]]:
        """Make everything up to the created process, which waits for its start.

        Raises: EngineError; then nothing is left behind.
        """
        with contextlib.ExitStack() as held:
            return await self._launch(entry, held)

    async def _launch(
        self, entry: Entry, held: contextlib.ExitStack
    ) -> tuple[Monitored, list[str]]:
        """What `held` has must stay until the process is made."""
        record = entry.record
        joined = self._check_joined(record)
        linked = self._linked(entry)
        connecting = asyncio.ensure_future(self._connect(record))
        try:
            rootfs = await in_thread(self.mount, record)
            await self._use_volumes(record, rootfs)
            user = await in_thread(self._checked_user, record, rootfs)
            endpoint = await connecting
            hostname = self._write_files(entry, endpoint, linked)
            mounts = await in_thread(self._held_mounts, record, held)
            workload = container_workload(
                msgspec.structs.replace(record, mounts=tuple(mounts), config=_told(entry, linked)),
                directory=self.directory(record.id),
                rootfs=rootfs,
                user=user,
                network=str(endpoint.netns) if endpoint else joined or "host",
                hostname=hostname,
                cgroup=self._cgroup,
                namespace_of=self._namespace_of,
                apparmor=await self._profile(record),
            )
            if record.host_config.device_requests:
                workload = await in_thread(self._with_cdi, record, workload)
            prepared = self._runtime.prepared(workload)
            log_path = self.log_path(record)
            if log_path is not None:
                prepare_log(log_path)
            warnings = write_bundle(self.directory(record.id), prepared)
            monitored = await self._conmon.create(
                record.id,
                self.directory(record.id),
                terminal=record.config.tty,
                stdin=record.config.open_stdin,
                stdin_once=record.config.stdin_once and not record.config.tty,
                log_path=log_path,
                log_max_bytes=last_resort_bytes(log_bounds(record.host_config, self._config)),
            )
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

    def _held_mounts(self, record: ContainerRecord, held: contextlib.ExitStack) -> list[MountPoint]:
        return [self.sources.held(mount, held) for mount in record.mounts]

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

    async def _connect(self, record: ContainerRecord) -> Endpoint | None:
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
