"""Service: making a container: checks, merged config, name, mounts, directory, row."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pogu.containers.bundles import Bundles
from pogu.containers.entry import Entry
from pogu.containers.journal import check_journal
from pogu.containers.limits import resources_of
from pogu.containers.links import parse_link
from pogu.containers.merge import command_line, merge_config
from pogu.containers.model import ContainerRecord, ContainerState, MountPoint
from pogu.containers.mount_spec import WantedMount
from pogu.containers.mounts import plan_mounts, with_source
from pogu.containers.names import generate_name
from pogu.containers.registry import Registry
from pogu.containers.removal import Removal
from pogu.containers.rows import Rows
from pogu.containers.subordinate import is_remapped, read_mapping
from pogu.containers.validate import check_name, check_request, network_mode
from pogu.containers.workload import wanted_rlimits
from pogu.errors import InvalidParameter, NotFound
from pogu.images.image import rfc3339
from pogu.images.store import Image, ImageStore
from pogu.linux.cgroup import CgroupSetup
from pogu.model.container import ContainerConfig, CreateRequest, HostConfig
from pogu.network.service import Networks
from pogu.runtime.conmon import Conmon
from pogu.runtime.control_group import CgroupDriver, check_parent
from pogu.runtime.oci_runtime import possible_rlimits
from pogu.volumes.service import Volumes

__all__ = ["Creator"]


class Creator:
    """Makes everything or nothing."""

    def __init__(
        self,
        *,
        registry: Registry,
        rows: Rows,
        bundles: Bundles,
        conmon: Conmon,
        images: ImageStore,
        networks: Networks,
        volumes: Volumes,
        cgroup: CgroupSetup,
        driver: CgroupDriver,
        log_driver: str,
        userns_remap: str,
    ) -> None:
        self._registry = registry
        self._rows = rows
        self._bundles = bundles
        self._conmon = conmon
        self._images = images
        self._networks = networks
        self._volumes = volumes
        self._cgroup = cgroup
        self._driver = driver
        self._log_driver = log_driver
        self._userns_remap = userns_remap

    async def create(
        self, request: CreateRequest, *, name: str | None = None, image: Image | None = None
    ) -> tuple[Entry, list[str]]:
        """Make a container and return it with warnings. Generates a name when None; `image` is
        what `request.image` stands for where that is not the image it names.

        Raises: NotFound("No such image: …") and for nothing else, because clients pull then;
        Conflict when the name is in use, naming its owner in Docker's words; InvalidParameter.
        """
        request = self._with_log_driver(request)
        remapped = is_remapped(request.host_config, self._userns_remap)
        warnings = check_request(request, remapped=remapped)
        warnings += await check_journal(request.host_config, self._conmon)
        request = self._with_ids(request)
        if remapped:
            read_mapping(self._userns_remap)
        check_parent(self._driver, request.host_config.cgroup_parent)
        warnings += self._check_host(request.host_config, remapped=remapped)
        image = image or self._images.resolve(request.image)
        config = merge_config(request, image.config.config)
        with _no_pull():
            self._check_network(network_mode(request.host_config))
        own_name = self._free_name(name)
        container_id = secrets.token_hex(32)
        mode = network_mode(request.host_config)
        if not config.hostname and mode != "host" and not mode.startswith("container:"):
            config = msgspec.structs.replace(config, hostname=container_id[:12])
        made: list[str] = []
        try:
            with self._rows.together():  # its volumes are there with it or not at all
                with _no_pull():
                    mounts = self._make_mounts(config, request, made)
                record = self._record(container_id, image, request, config, mounts)
                self._bundles.make(container_id)
                self._rows.insert(own_name, record, ContainerState())
        except BaseException:
            shutil.rmtree(self._bundles.directory(container_id), ignore_errors=True)
            for volume in made:
                self._volumes.remove(volume, force=True)
            raise
        entry = Entry(own_name, record, ContainerState())
        self._registry.add(entry)
        return entry, warnings

    async def replace(
        self, request: CreateRequest, *, name: str, image: Image | None, removal: Removal
    ) -> tuple[Entry, list[str]]:
        """As `create`; who has the name is removed by force, but only when the new one is there,
        under a name made up for a moment.
        """
        old = self._registry.find(name)
        entry, warnings = await self.create(request, name=None, image=image)
        try:
            await removal.remove(old, force=True, volumes=False)
            self._registry.check_free(name)
        except BaseException:
            await asyncio.shield(removal.remove(entry, force=True, volumes=True))
            raise
        self._rows.rename(entry.id, name)
        self._registry.rename(entry, name)
        return entry, warnings

    def _check_host(self, host: HostConfig, *, remapped: bool) -> list[str]:
        """What this host cannot give is a warning."""
        warnings = resources_of(host, self._cgroup)[1]
        return warnings + possible_rlimits(wanted_rlimits(host), remapped=remapped)[1]

    def _check_network(self, mode: str) -> None:
        if mode.startswith("container:"):
            self._registry.find(mode.removeprefix("container:"))
        elif mode not in ("host", "none"):
            self._networks.resolve(mode)

    def _with_ids(self, request: CreateRequest) -> CreateRequest:
        """Name joined containers by their ID: they may be renamed."""
        host = request.host_config
        ids = {}
        for field in ("network_mode", "pid_mode", "ipc_mode"):
            kind, colon, name = getattr(host, field).partition(":")
            if kind == "container" and colon:
                with contextlib.suppress(NotFound):
                    ids[field] = f"container:{self._registry.find(name).id}"
        links = tuple(self._link(text) for text in host.links or ()) or None
        host = msgspec.structs.replace(host, links=links, **ids)
        return msgspec.structs.replace(request, host_config=host)

    def _link(self, text: str) -> str:
        """Name the linked container by its ID: where it joined a network, by that of its owner.

        Raises: InvalidParameter in Docker's words.
        """
        name, alias = parse_link(text)
        try:
            other = self._registry.find(name)
            while (mode := network_mode(other.record.host_config)).startswith("container:"):
                other = self._registry.find(mode.removeprefix("container:"))
        except NotFound as err:
            raise InvalidParameter(
                f"could not get container for {name}: {err.message}", hint=err.hint
            ) from err
        if mode == "host":
            raise InvalidParameter(
                "conflicting options: host type networking can't be used with links. This would"
                " result in undefined behavior"
            )
        return f"{other.id}:{alias}"

    def _with_log_driver(self, request: CreateRequest) -> CreateRequest:
        """The default is the one of this day, whatever the configuration has later."""
        host = request.host_config
        if host.log_config.type or self._log_driver == "json-file":
            return request
        logs = msgspec.structs.replace(host.log_config, type=self._log_driver)
        host = msgspec.structs.replace(host, log_config=logs)
        return msgspec.structs.replace(request, host_config=host)

    def _free_name(self, name: str | None) -> str:
        if name is None:
            return generate_name(self._registry.is_taken)
        check_name(name)
        own_name = name.removeprefix("/")
        self._registry.check_free(own_name)
        return own_name

    def _record(
        self,
        container_id: str,
        image: Image,
        request: CreateRequest,
        config: ContainerConfig,
        mounts: tuple[MountPoint, ...],
    ) -> ContainerRecord:
        return ContainerRecord(
            id=container_id,
            created=rfc3339(time.time_ns()),
            image_id=image.id,
            image_name=request.image,
            top_layer=image.top_layer,
            args=command_line(config),
            config=config,
            host_config=request.host_config,
            networking=request.networking_config,
            mounts=mounts,
        )

    def _make_mounts(
        self, config: ContainerConfig, request: CreateRequest, made: list[str]
    ) -> tuple[MountPoint, ...]:
        """Make what is wanted: volumes and host directories; new volumes go into `made`."""
        planned = plan_mounts(
            config, request.host_config, lambda name: self._registry.find(name).record.mounts
        )
        ready = []
        for mount in planned:
            if isinstance(mount, MountPoint):
                ready.append(mount)
            elif mount.type == "volume":
                ready.append(self._make_volume(mount, made))
            elif mount.type == "image":
                ready.append(self._image_mount(mount))
            else:
                ready.append(_bind_or_tmpfs(mount))
        return tuple(ready)

    def _image_mount(self, mount: WantedMount) -> MountPoint:
        """What the name stands for now, whatever it means later."""
        image = self._images.resolve(mount.source)
        return MountPoint(
            type="image",
            source=image.id,
            destination=mount.destination,
            name=mount.source,
            rw=False,
            layer=image.top_layer,
            subpath=mount.subpath,
        )

    def _make_volume(self, mount: WantedMount, made: list[str]) -> MountPoint:
        existed = {volume.name for volume in self._volumes.all()}
        volume = self._volumes.create(
            mount.source or None, labels=dict(mount.labels), options=dict(mount.options)
        )
        if volume.name not in existed:
            made.append(volume.name)
        return with_source(mount, str(volume.path), volume.name)


def _bind_or_tmpfs(mount: WantedMount) -> MountPoint:
    """A host directory that is not there is made for `-v`, refused for `--mount`."""
    ready = with_source(mount, mount.source)
    if mount.type != "bind" or os.path.exists(mount.source):
        return ready
    if mount.must_exist:
        raise InvalidParameter(
            'invalid mount config for type "bind": bind source path does not exist:'
            f" {mount.source}",
            hint="make the directory first; -v makes it by itself",
        )
    try:
        Path(mount.source).mkdir(parents=True)
    except OSError as err:
        raise InvalidParameter(
            f"error while creating mount source path '{mount.source}': mkdir"
            f" {mount.source}: {(err.strerror or '').lower()}"
        ) from err
    return ready


@contextmanager
def _no_pull() -> Iterator[None]:
    """The docker CLI pulls the image and tries again when a create answers 404."""
    try:
        yield
    except NotFound as err:
        raise InvalidParameter(err.message, hint=err.hint) from err
