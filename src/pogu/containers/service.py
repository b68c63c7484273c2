"""Service: containers; owns the tables `containers` and `container_states` and
`<root>/containers/<id>/`.

    containers/<id>/config.json   OCI bundle
                    rootfs/       overlay mount point (mounted while it runs or is looked into)
                    upper/ work/  the writable layer
                    ctr.log*      log (bounded)
                    hostname hosts resolv.conf

The life of a container is create → start → (stop | kill | its own end) → remove; `recover` at
engine start brings rows and reality together again after a SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from pathlib import Path

import msgspec

from pogu.config import Config
from pogu.containers.entry import Entry, ExitStatus
from pogu.containers.launch import Launcher, missing_bind
from pogu.containers.lifecycle import Lifecycle
from pogu.containers.merge import command_line, merge_config
from pogu.containers.model import Container, ContainerRecord, ContainerState, MountPoint, Status
from pogu.containers.mounts import WantedMount, plan_mounts, with_source
from pogu.containers.names import generate_name
from pogu.containers.processes import process_table
from pogu.containers.recovery import Recovery
from pogu.containers.rows import Rows
from pogu.containers.validate import check_name, check_request, network_mode
from pogu.containers.workload import resources_of
from pogu.db import Database
from pogu.errors import Conflict, InvalidParameter, NotFound, NotModified
from pogu.events import EventBus
from pogu.images.image import rfc3339
from pogu.images.store import Image, ImageStore
from pogu.linux.cgroup import detect
from pogu.model.container import ContainerConfig, CreateRequest
from pogu.network.service import Networks
from pogu.oci.digest import ChainId
from pogu.runtime.conmon import AttachStream, Conmon
from pogu.runtime.logfile import LogRecord, read_log, rotate_if_larger
from pogu.runtime.oci_runtime import OciRuntime
from pogu.storage.layers import LayerStore
from pogu.volumes import Volumes

__all__ = ["Containers", "ExitStatus"]

_ROTATION_CHECK_S = 1.0
_HEX = frozenset("0123456789abcdef")


class Containers:
    """All that can be done with containers; one lock per container, taken in one function."""

    def __init__(
        self,
        *,
        config: Config,
        db: Database,
        events: EventBus,
        layers: LayerStore,
        images: ImageStore,
        networks: Networks,
        volumes: Volumes,
        runtime: OciRuntime,
        conmon: Conmon,
    ) -> None:
        self._layers = layers
        self._images = images
        self._networks = networks
        self._volumes = volumes
        self._conmon = conmon
        self._rows = Rows(db)
        self._cgroup = detect()
        self._names: dict[str, Entry] = {}
        self._entries: dict[str, Entry] = {}
        self._launcher = Launcher(
            config=config,
            layers=layers,
            networks=networks,
            runtime=runtime,
            conmon=conmon,
            cgroup=self._cgroup,
            find=self._find,
        )
        self._lifecycle = Lifecycle(
            launcher=self._launcher,
            rows=self._rows,
            events=events,
            runtime=runtime,
            conmon=conmon,
            forget=self._forget,
            remove_volume=self._remove_unused_volume,
            tmp=config.paths.tmp,
        )
        self._recovery = Recovery(
            paths=config.paths,
            lifecycle=self._lifecycle,
            launcher=self._launcher,
            runtime=runtime,
            conmon=conmon,
        )
        self._rotation: asyncio.Task[None] | None = None
        self._kept: set[asyncio.Task[None]] = set()
        for name, record, state in self._rows.load():
            self._register(Entry(name, record, state))

    def _register(self, entry: Entry) -> None:
        self._entries[entry.id] = entry
        self._names[entry.name] = entry

    def _forget(self, entry: Entry) -> None:
        self._entries.pop(entry.id, None)
        self._names.pop(entry.name, None)

    async def recover(self) -> None:
        """At engine start: adopt what runs, record what ended, finish removals, apply `--rm`,
        sweep directories, mounts and runtime state that no row names. Idempotent.
        """
        await self._recovery.recover(list(self._entries.values()))
        await self._networks.retain({one.id for one in self._entries.values() if one.active})
        self._rotation = asyncio.create_task(self._rotate_logs(), name="rotate logs")

    async def close(self) -> None:
        """Let go of everything; containers go on running."""
        tasks = [self._rotation, *self._kept]
        for entry in self._entries.values():
            tasks += [entry.watcher, entry.restarter]
            entry.drop_process()
        live = [task for task in tasks if task is not None]
        for task in live:
            task.cancel()
        await asyncio.gather(*live, return_exceptions=True)
        await self._lifecycle.finish_background()

    @property
    def running(self) -> int:
        """How many run now (the engine stays while this is not 0)."""
        return sum(
            entry.active or entry.state.status is Status.RESTARTING
            for entry in self._entries.values()
        )

    # ---- finding -------------------------------------------------------------------------

    def _find(self, name: str) -> Entry:
        """Raises: NotFound, InvalidParameter."""
        wanted = name.removeprefix("/")
        entry = self._entries.get(wanted) or self._names.get(wanted)
        if entry is not None:
            return entry
        found = []
        if wanted and _HEX.issuperset(wanted):
            found = [one for one in self._entries.values() if one.id.startswith(wanted)]
        if len(found) > 1:
            listed = ", ".join(f"{one.id[:12]} ({one.name})" for one in found[:8])
            raise InvalidParameter(
                f"Multiple IDs found with provided prefix: {wanted}: {listed}",
                hint="give more digits of the ID, or the name",
            )
        if not found:
            near = difflib.get_close_matches(wanted, self._names, 1, 0.6)
            hint = f"did you mean {near[0]}?" if near else "`pogu ps -a` lists all containers"
            raise NotFound(f"No such container: {name}", hint=hint)
        return found[0]

    def _snapshot(self, entry: Entry) -> Container:
        return Container(
            name=entry.name,
            record=entry.record,
            state=entry.state,
            endpoint=self._networks.endpoint(entry.id),
        )

    def resolve(self, name: str) -> Container:
        """By name, ID or unambiguous ID prefix. Raises: NotFound("No such container: …") with
        the near miss; InvalidParameter when a prefix names several.
        """
        return self._snapshot(self._find(name))

    def all(self) -> list[Container]:
        """Every container, newest first."""
        entries = sorted(self._entries.values(), key=lambda one: one.record.created, reverse=True)
        return [self._snapshot(entry) for entry in entries]

    def using_image(self, image_id: str) -> list[tuple[str, bool]]:
        """(short ID, runs) of the containers made from that image."""
        return [
            (entry.id[:12], entry.active)
            for entry in self._entries.values()
            if entry.record.image_id == image_id
        ]

    def using_volume(self, name: str) -> list[str]:
        """IDs of the containers that mount a volume."""
        return [
            entry.id
            for entry in self._entries.values()
            if any(mount.type == "volume" and mount.name == name for mount in entry.record.mounts)
        ]

    def kept_layers(self) -> set[ChainId]:
        """Layers that a container stands on, though its image may be gone."""
        return {
            entry.record.top_layer for entry in self._entries.values() if entry.record.top_layer
        }

    # ---- create --------------------------------------------------------------------------

    async def create(
        self, request: CreateRequest, *, name: str | None = None
    ) -> tuple[Container, list[str]]:
        """Make a container and return it with warnings. Generates a name when None.

        Raises: NotFound("No such image: …") and for nothing else, because clients pull then;
        Conflict when the name is in use, naming its owner in Docker's words; InvalidParameter.
        """
        warnings = check_request(request)
        request = self._with_ids(request)
        warnings += resources_of(request.host_config, self._cgroup)[1]
        image = self._images.resolve(request.image)
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
            with _no_pull():
                mounts = self._make_mounts(config, request, made)
            record = self._record(container_id, image, request, config, mounts)
            self._launcher.make_directory(container_id)
            self._rows.insert(own_name, record, ContainerState())
        except BaseException:
            shutil.rmtree(self._launcher.directory(container_id), ignore_errors=True)
            for volume in made:
                self._volumes.remove(volume, force=True)
            raise
        entry = Entry(own_name, record, ContainerState())
        self._register(entry)
        self._lifecycle.publish(entry, "create")
        return self._snapshot(entry), warnings

    def _check_network(self, mode: str) -> None:
        if mode.startswith("container:"):
            self._find(mode.removeprefix("container:"))
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
                    ids[field] = f"container:{self._find(name).id}"
        host = msgspec.structs.replace(host, **ids)
        return msgspec.structs.replace(request, host_config=host)

    def _free_name(self, name: str | None) -> str:
        if name is None:
            return generate_name(self._names.__contains__)
        check_name(name)
        own_name = name.removeprefix("/")
        self._check_free(own_name)
        return own_name

    def _check_free(self, name: str) -> None:
        owner = self._names.get(name)
        if owner is not None:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container'
                f' "{owner.id}". You have to remove (or rename) that container to be able to'
                " reuse that name.",
                hint=f"pogu rm {'-f ' if owner.active else ''}{name}   (it is"
                f" {owner.state.status}, made from {owner.record.image_name})",
            )

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
            config, request.host_config, lambda name: self._find(name).record.mounts
        )
        ready = []
        for mount in planned:
            if isinstance(mount, MountPoint):
                ready.append(mount)
            elif mount.type == "volume":
                ready.append(self._make_volume(mount, made))
            else:
                ready.append(_bind_or_tmpfs(mount))
        return tuple(ready)

    def _make_volume(self, mount: WantedMount, made: list[str]) -> MountPoint:
        existed = {volume.name for volume in self._volumes.all()}
        volume = self._volumes.create(
            mount.source or None, labels=dict(mount.labels), options=dict(mount.options)
        )
        if volume.name not in existed:
            made.append(volume.name)
        return with_source(mount, str(volume.path), volume.name)

    def _remove_unused_volume(self, name: str) -> None:
        if not self.using_volume(name):
            self._volumes.remove(name, force=True)

    # ---- life ----------------------------------------------------------------------------

    async def start(self, name: str) -> None:
        """Raises: NotModified when it runs; EngineError with the runtime's cause. A failed start
        leaves the container as it was, with `state.error` and exit code 126, 127 or 128.
        """
        await self._lifecycle.start(self._find(name))

    async def stop(
        self, name: str, *, timeout_s: int | None = None, signal: str | None = None
    ) -> None:
        """Stop signal, then SIGKILL after the timeout (-1 = never). Raises: NotModified."""
        await self._lifecycle.stop(self._find(name), timeout_s=timeout_s, signal_name=signal)

    async def restart(
        self, name: str, *, timeout_s: int | None = None, signal: str | None = None
    ) -> None:
        """Stop it if it runs, start it."""
        entry = self._find(name)
        with contextlib.suppress(NotModified):
            await self._lifecycle.stop(entry, timeout_s=timeout_s, signal_name=signal)
        await self._lifecycle.start(entry)
        self._lifecycle.publish(entry, "restart")

    async def kill(self, name: str, *, signal: str = "KILL") -> None:
        """Raises: Conflict when it does not run; InvalidParameter on an unknown signal."""
        await self._lifecycle.kill(self._find(name), signal)

    async def rename(self, name: str, new_name: str) -> None:
        """Raises: Conflict when the name is in use."""
        entry = self._find(name)
        if not new_name:
            raise InvalidParameter("Neither old nor new names may be empty")
        check_name(new_name)
        new = new_name.removeprefix("/")
        if new == entry.name:
            raise InvalidParameter("Renaming a container with the same name as its current name")
        self._check_free(new)
        self._rows.rename(entry.id, new)
        old = entry.name
        self._names.pop(old, None)
        entry.name = new
        self._names[new] = entry
        self._lifecycle.publish(entry, "rename", oldName=f"/{old}")

    async def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        """Raises: Conflict when it runs and not `force`, in Docker's words."""
        entry = self._find(name)
        while not entry.removed:
            if entry.active:
                await self._end_for_removal(entry, force=force)
            async with entry.lock:
                if not entry.active:  # a start may have been first at the lock
                    await self._lifecycle.remove(entry, volumes=volumes)

    async def _end_for_removal(self, entry: Entry, *, force: bool) -> None:
        if not force:
            raise Conflict(
                f'cannot remove container "{entry.name}": container is running: stop the container'
                " before removing or force remove",
                hint=f"pogu rm -f {entry.name}",
            )
        self._lifecycle.change(entry, stopped_by_user=True)
        await self._lifecycle.kill_whole(entry)

    async def prune(self) -> tuple[list[str], int]:
        """Remove stopped containers; return their IDs and the bytes freed."""
        removed, freed = [], 0
        idle = (Status.CREATED, Status.EXITED, Status.DEAD)
        for entry in list(self._entries.values()):
            if entry.state.status in idle and not entry.lock.locked():
                freed += _tree_bytes(self._launcher.directory(entry.id) / "upper")
                await self.remove(entry.id)
                removed.append(entry.id)
        return removed, freed

    def wait(self, name: str, condition: str = "not-running") -> Awaitable[ExitStatus]:
        """Subscribe now (before this returns) and give an awaitable of the exit.

        `condition`: `not-running`, `next-exit`, `removed`. Everything the container wrote is in
        its log when the awaitable is done.
        """
        entry = self._find(name)
        future: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        if condition in ("", "not-running"):
            if not entry.active and entry.state.status is not Status.RESTARTING:
                future.set_result(entry.exit_status())
            else:
                entry.exit_waiters.append(future)
        elif condition == "next-exit":
            entry.exit_waiters.append(future)
        elif condition == "removed":
            entry.removal_waiters.append(future)
        else:
            raise InvalidParameter(
                f'invalid condition: "{condition}"', hint="not-running, next-exit or removed"
            )
        return future

    # ---- output --------------------------------------------------------------------------

    def logs(
        self,
        name: str,
        *,
        stdout: bool = True,
        stderr: bool = True,
        since_ns: int = 0,
        until_ns: int = 0,
        tail: int | None = None,
        follow: bool = False,
    ) -> AsyncIterator[LogRecord]:
        """With `follow`, ends when the container ends."""
        entry = self._find(name)
        path = self._launcher.log_path(entry.record)
        if path is None:
            raise InvalidParameter(
                "configured logging driver does not support reading",
                hint="the container was made with --log-driver none",
            )
        if not (stdout or stderr):
            raise InvalidParameter("Bad parameters: you must choose at least one stream")
        wanted = {1} if stdout and not stderr else {2} if stderr and not stdout else {1, 2}
        records = read_log(
            path,
            since_ns=since_ns,
            until_ns=until_ns,
            tail=tail,
            follow=follow and entry.active,
            ended=entry.ended,
        )
        return _of_streams(records, wanted)

    async def attach(self, name: str, *, stdin: bool) -> AttachStream:
        """Attach to a created or running container. Raises: Conflict when it has ended.

        With a created container this waits until it is started (the order of `docker run`).
        """
        entry = self._find(name)
        if entry.active and not entry.lock.locked():
            return await self._conmon.attach(entry.id, stdin=stdin)
        future: asyncio.Future[AttachStream] = asyncio.get_running_loop().create_future()
        entry.attachers.append((stdin, future))
        return await future

    def keep_stdin(self, name: str, stream: AttachStream) -> None:
        """A client vanished without ending its input: the process must not see an end of file,
        so that somebody else can attach. Holds the attachment until the container ends.
        """

        async def drain() -> None:
            async for _ in stream:
                pass
            await stream.aclose()

        task = asyncio.create_task(drain(), name=f"keep stdin {name[:12]}")
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)

    async def resize(self, name: str, *, height: int, width: int) -> None:
        """Set the terminal's size. Raises: Conflict when it does not run."""
        entry = self._find(name)
        if not entry.active:
            raise Conflict(f"container {entry.id} is not running")
        await self._conmon.resize(entry.id, height=height, width=width)

    def size(self, container: Container) -> tuple[int, int]:
        """Bytes in the writable layer, and with the image below it. Slow."""
        own = _tree_bytes(self._launcher.directory(container.id) / "upper")
        below = self._layers.chain(container.record.top_layer)
        return own, own + sum(layer.size_bytes for layer in below)

    async def top(
        self, name: str, ps_args: Sequence[str] = ()
    ) -> tuple[list[str], list[list[str]]]:
        """Titles and rows of `ps` for the container's processes."""
        entry = self._find(name)
        if not entry.active:
            raise Conflict(f"container {entry.id} is not running", hint=f"pogu start {entry.name}")
        return await process_table(entry.state.pid, ps_args)

    async def _rotate_logs(self) -> None:
        """Keep every log within its bounds."""
        while True:
            await asyncio.sleep(_ROTATION_CHECK_S)
            for entry in list(self._entries.values()):
                path = self._launcher.log_path(entry.record) if entry.active else None
                if path is None:
                    continue
                max_bytes, max_files = self._launcher.log_bounds(entry.record)
                if rotate_if_larger(path, max_bytes=max_bytes, max_files=max_files):
                    await self._conmon.reopen_log(entry.id)


async def _of_streams(
    records: AsyncIterator[LogRecord], wanted: set[int]
) -> AsyncIterator[LogRecord]:
    async for record in records:
        if record.stream in wanted:
            yield record


@contextlib.contextmanager
def _no_pull() -> Iterator[None]:
    """The docker CLI pulls the image and tries again when a create answers 404."""
    try:
        yield
    except NotFound as err:
        raise InvalidParameter(err.message, hint=err.hint) from err


def _bind_or_tmpfs(mount: WantedMount) -> MountPoint:
    """A host directory that is not there is made for `-v`, refused for `--mount`."""
    ready = with_source(mount, mount.source)
    if mount.type != "bind" or os.path.exists(mount.source):
        return ready
    if mount.must_exist:
        raise missing_bind(ready)
    try:
        Path(mount.source).mkdir(parents=True)
    except OSError as err:
        raise InvalidParameter(
            f"error while creating mount source path '{mount.source}': mkdir"
            f" {mount.source}: {(err.strerror or '').lower()}"
        ) from err
    return ready


def _tree_bytes(root: Path) -> int:
    """The sum of the sizes of regular files; hard links count once."""
    total, seen = 0, set()
    for directory, _, files in os.walk(root):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                info = os.lstat(os.path.join(directory, name))
                if info.st_ino not in seen:
                    seen.add(info.st_ino)
                    total += info.st_size
    return total
