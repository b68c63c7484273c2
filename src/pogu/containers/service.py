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
import logging
from collections.abc import AsyncGenerator, Callable, Sequence

from pogu.config import Config
from pogu.containers.archive import ContainerArchive
from pogu.containers.attachment import Attachments
from pogu.containers.background import Background
from pogu.containers.bundles import Bundles
from pogu.containers.confinement import Confinement
from pogu.containers.creation import Creator
from pogu.containers.entry import Entry, ExitStatus
from pogu.containers.execs import Execs
from pogu.containers.filesystem import ContainerFiles
from pogu.containers.freezer import Freezer
from pogu.containers.launch import Launcher
from pogu.containers.lifecycle import Lifecycle
from pogu.containers.linking import Links
from pogu.containers.logs import ContainerLogs
from pogu.containers.model import Container, Status, image_layers
from pogu.containers.probes import Probes
from pogu.containers.processes import process_table
from pogu.containers.recovery import Recovery
from pogu.containers.registry import Registry
from pogu.containers.removal import Removal
from pogu.containers.rootfs import RootFilesystems
from pogu.containers.rows import Rows
from pogu.containers.states import States
from pogu.containers.stats import Sample, StatsSampler
from pogu.containers.stop import Stopper
from pogu.containers.updates import Updates
from pogu.containers.validate import check_name
from pogu.containers.why import Explainer, Explanation
from pogu.db import Database
from pogu.errors import Conflict, InvalidParameter, NotFound
from pogu.events import EventBus
from pogu.images.image import Image
from pogu.images.store import ImageStore
from pogu.linux.blocking import in_thread
from pogu.linux.cgroup import detect
from pogu.linux.cgroup_move import GroupMoves
from pogu.model.container import CreateRequest, UpdateRequest
from pogu.network.service import Networks
from pogu.oci.digest import ChainId
from pogu.runtime.broadcast import Listener
from pogu.runtime.conmon import Conmon
from pogu.runtime.logformat import LogView
from pogu.runtime.oci_runtime import OciRuntime
from pogu.storage.layers import LayerStore
from pogu.storage.tree import remove_tree, tree_bytes
from pogu.volumes.service import Volumes

__all__ = ["Containers", "ExitStatus"]

log = logging.getLogger(__name__)

_OOM_CHECK_S = 1.0
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
        self._networks = networks
        self._volumes = volumes
        self._conmon = conmon
        self._rows = Rows(db)
        cgroup = detect()
        moves = GroupMoves(cgroup)
        self._registry = Registry()
        self._bundles = Bundles(config.paths)
        self._confinement = Confinement(runtime)
        roots = RootFilesystems(
            paths=config.paths, layers=layers, volumes=volumes, bundles=self._bundles
        )
        self._links = Links(
            registry=self._registry,
            rows=self._rows,
            networks=networks,
            containers=config.paths.containers,
        )
        self._launcher = Launcher(
            config=config,
            bundles=self._bundles,
            roots=roots,
            confinement=self._confinement,
            networks=networks,
            runtime=runtime,
            conmon=conmon,
            cgroup=cgroup,
            moves=moves,
            volumes=volumes,
            find=self._registry.find,
            links=self._links,
        )
        self._background = Background()
        self._states = States(rows=self._rows, events=events, conmon=conmon)
        self._freezer = Freezer(states=self._states, runtime=runtime)
        self._stopper = Stopper(states=self._states, freezer=self._freezer)
        self._attachments = Attachments(conmon=conmon, tmp=config.paths.tmp)
        self._removal = Removal(
            states=self._states,
            rows=self._rows,
            bundles=self._bundles,
            launcher=self._launcher,
            stopper=self._stopper,
            background=self._background,
            forget=self._registry.forget,
            remove_volume=self._remove_unused_volume,
            tmp=config.paths.tmp,
        )
        self._lifecycle = Lifecycle(
            states=self._states,
            launcher=self._launcher,
            attachments=self._attachments,
            stopper=self._stopper,
            removal=self._removal,
            runtime=runtime,
            conmon=conmon,
            background=self._background,
        )
        self._updates = Updates(
            states=self._states, rows=self._rows, runtime=runtime, cgroup=cgroup
        )
        self._creator = Creator(
            registry=self._registry,
            rows=self._rows,
            bundles=self._bundles,
            conmon=conmon,
            images=images,
            networks=networks,
            volumes=volumes,
            cgroup=cgroup,
            driver=runtime.cgroup_driver,
            log_driver=config.log_driver,
            userns_remap=config.userns_remap,
        )
        self._recovery = Recovery(
            paths=config.paths,
            states=self._states,
            lifecycle=self._lifecycle,
            removal=self._removal,
            bundles=self._bundles,
            launcher=self._launcher,
            runtime=runtime,
            conmon=conmon,
        )
        self.archive = ContainerArchive(
            paths=config.paths,
            roots=roots,
            states=self._states,
            volumes=volumes,
            find=self._registry.find,
        )
        self.files = ContainerFiles(
            paths=config.paths,
            layers=layers,
            images=images,
            bundles=self._bundles,
            roots=roots,
            states=self._states,
            freezer=self._freezer,
            find=self._registry.find,
        )
        self._sampler = StatsSampler()
        self.execs = Execs(
            paths=config.paths,
            registry=self._registry,
            runtime=runtime,
            moves=moves,
            publish=self._states.publish,
        )
        probes = Probes(
            prober=self.execs,
            note=self._states.note_health,
            publish=self._states.publish,
        )
        self._lifecycle.probe = probes.watch
        self._logs = ContainerLogs(
            config=config,
            conmon=conmon,
            entries=self._registry,
            log_path=lambda entry: self._bundles.log_path(entry.record),
        )
        self._watches: list[asyncio.Task[None]] = []
        self._explainer = Explainer(
            paths=config.paths,
            registry=self._registry,
            rows=self._rows,
            logs=self._logs,
        )
        for name, record, state in self._rows.load():
            self._registry.add(Entry(name, record, state))

    async def recover(self) -> None:
        """At engine start: adopt what runs, record what ended, finish removals, apply `--rm`,
        sweep directories, mounts and runtime state that no row names. Idempotent.
        """

        async def retain_what_is_used() -> None:
            self._volumes.retain(self._registry.volume_users())
            await self._networks.retain({one.id for one in self._registry if one.active})

        await self._recovery.recover(list(self._registry), before_starts=retain_what_is_used)
        self._watches = [
            asyncio.create_task(self._logs.keep_bounded(), name="keep logs bounded"),
            asyncio.create_task(self._note_oom_kills(), name="note OOM kills"),
        ]

    async def close(self) -> None:
        """Let go of everything; containers go on running."""
        tasks: list[asyncio.Task[None] | None] = [*self._watches]
        for entry in self._registry:
            tasks += [entry.watcher, entry.restarter]
            entry.drop_process()
            if entry.broadcast is not None:
                await entry.broadcast.aclose()
        live = [task for task in tasks if task is not None]
        for task in live:
            task.cancel()
        await asyncio.gather(*live, return_exceptions=True)
        await self._background.finish()

    @property
    def running(self) -> int:
        """How many run now (the engine stays while this is not 0)."""
        return sum(
            entry.active or entry.state.status is Status.RESTARTING for entry in self._registry
        )

    # ---- finding -------------------------------------------------------------------------

    def _snapshot(self, entry: Entry, linked_as: Sequence[str] = ()) -> Container:
        return Container(
            name=entry.name,
            record=entry.record,
            state=entry.state,
            endpoint=self._networks.endpoint(entry.id),
            linked_as=tuple(linked_as),
        )

    def resolve(self, name: str) -> Container:
        """By name, ID or unambiguous ID prefix. Raises: NotFound("No such container: …") with
        the near miss; InvalidParameter when a prefix names several.
        """
        return self._snapshot(self._registry.find(name))

    def links_of(self, container: Container) -> list[str]:
        """`/other:/name/alias`, as inspect shows them; those of removed ones are left out."""
        return self._links.shown(self._registry.find(container.id))

    def all(self) -> list[Container]:
        """Every container, newest first."""
        entries = sorted(self._registry, key=lambda one: one.record.created, reverse=True)
        names = self._links.names()
        return [self._snapshot(entry, names.get(entry.id, ())) for entry in entries]

    def using_image(self, image_id: str) -> list[tuple[str, bool]]:
        """(short ID, runs) of the containers made from that image, or that have it mounted."""
        return [
            (entry.id[:12], entry.active)
            for entry in self._registry
            if entry.record.image_id == image_id
            or any(one.type == "image" and one.source == image_id for one in entry.record.mounts)
        ]

    def apparmor_profile(self, container: Container) -> str:
        """The container's AppArmor profile; empty where the host has no AppArmor."""
        return self._confinement.profile(container.record)

    @property
    def has_apparmor(self) -> bool:
        """True when containers are confined by AppArmor."""
        return self._confinement.has_apparmor

    def kept_layers(self) -> set[ChainId]:
        """Layers that a container stands on, though its image may be gone."""
        kept = {entry.record.top_layer for entry in self._registry if entry.record.top_layer}
        return kept.union(*(image_layers(entry.record.mounts) for entry in self._registry))

    async def explain(self, name: str) -> Explanation:
        """Why it ended, or is as it is; also of one that was removed lately. Raises: NotFound."""
        return await self._explainer.explain(name)

    # ---- life ----------------------------------------------------------------------------

    async def create(
        self,
        request: CreateRequest,
        *,
        name: str | None = None,
        image: Image | None = None,
        replaces: bool = False,
    ) -> tuple[Container, list[str]]:
        """Make a container and return it with warnings. Generates a name when None; `image` is
        what `request.image` stands for where that is not the image it names. With `replaces` a
        container that has the name is removed, once the new one is made.

        Raises: NotFound("No such image: …"); Conflict when the name is in use, naming its owner
        in Docker's words; InvalidParameter.
        """
        if replaces and name and self._registry.is_taken(name.removeprefix("/")):
            entry, warnings = await self._replace(request, name.removeprefix("/"), image)
        else:
            entry, warnings = await self._creator.create(request, name=name, image=image)
        await self._rows.durable()
        self._states.publish(entry, "create")
        return self._snapshot(entry), warnings

    async def _replace(
        self, request: CreateRequest, name: str, image: Image | None
    ) -> tuple[Entry, list[str]]:
        """The old one goes only when the new one is there, under a name made up for a moment."""
        old = self._registry.find(name)
        entry, warnings = await self._creator.create(request, name=None, image=image)
        try:
            await self.remove(old.id, force=True)
            self._registry.check_free(name)
        except BaseException:
            await asyncio.shield(self.remove(entry.id, force=True, volumes=True))
            raise
        self._rows.rename(entry.id, name)
        self._registry.rename(entry, name)
        return entry, warnings

    def _remove_unused_volume(self, name: str) -> None:
        """Only one that nobody named; a name may look like an anonymous volume's."""
        if self._volumes.is_anonymous(name) and not self._registry.using_volume(name):
            trash = self._volumes.set_aside(name, force=True)
            if trash is not None:
                self._background.run(in_thread(remove_tree, trash))

    async def start(self, name: str) -> None:
        """Raises: NotModified when it runs; EngineError with the runtime's cause. A failed start
        leaves the container as it was, with `state.error` and exit code 126, 127 or 128.
        """
        entry = self._registry.find(name)
        await self._lifecycle.start(entry)
        await self._remember(entry)

    async def stop(
        self, name: str, *, timeout_s: int | None = None, signal: str | None = None
    ) -> None:
        """Stop signal, then SIGKILL after the timeout (-1 = never). Raises: NotModified."""
        entry = self._registry.find(name)
        await self._stopper.stop(entry, timeout_s=timeout_s, signal_name=signal)
        await self._remember(entry)

    async def _remember(self, entry: Entry) -> None:
        """What a boot reads to know what must run is durable before anybody is told of it."""
        if entry.record.host_config.restart_policy.name not in ("", "no"):
            await self._rows.durable()

    async def restart(
        self, name: str, *, timeout_s: int | None = None, signal: str | None = None
    ) -> None:
        """Stop it if it runs, start it. One with --rm is not removed in between."""
        entry = self._registry.find(name)
        await self._lifecycle.restart(entry, timeout_s=timeout_s, signal_name=signal)
        await self._remember(entry)

    async def kill(self, name: str, *, signal: str = "KILL") -> None:
        """Raises: Conflict when it does not run; InvalidParameter on an unknown signal."""
        entry = self._registry.find(name)
        await self._stopper.kill(entry, signal)
        await self._remember(entry)

    async def pause(self, name: str) -> None:
        """Freeze its processes. Raises: Conflict when it does not run or is paused already."""
        await self._freezer.pause(self._registry.find(name))

    async def unpause(self, name: str) -> None:
        """Raises: Conflict when it is not paused."""
        await self._freezer.unpause(self._registry.find(name))

    async def update(self, name: str, asked: UpdateRequest) -> list[str]:
        """Change limits and restart policy, at once when it runs; return warnings.

        Raises: InvalidParameter, Conflict; then nothing has changed.
        """
        return await self._updates.update(self._registry.find(name), asked)

    async def rename(self, name: str, new_name: str) -> None:
        """Raises: Conflict when the name is in use."""
        entry = self._registry.find(name)
        if not new_name:
            raise InvalidParameter("Neither old nor new names may be empty")
        check_name(new_name)
        new = new_name.removeprefix("/")
        if new == entry.name:
            raise InvalidParameter("Renaming a container with the same name as its current name")
        self._registry.check_free(new)
        self._rows.rename(entry.id, new)
        old = entry.name
        self._registry.rename(entry, new)
        await self._rows.durable()
        self._states.publish(entry, "rename", oldName=f"/{old}")

    async def remove_link(self, name: str) -> None:
        """`rm --link CONTAINER/ALIAS`. Raises: NotFound, InvalidParameter."""
        await self._links.remove(name)

    async def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        """Raises: Conflict when it runs and not `force`, in Docker's words."""
        await self._removal.remove(self._registry.find(name), force=force, volumes=volumes)

    def prunable(self, matches: Callable[[Container], bool] | None = None) -> list[Container]:
        """What does not run, nobody is busy with, and `matches` accepts."""
        idle = (Status.CREATED, Status.EXITED, Status.DEAD)
        found = [
            self._snapshot(entry)
            for entry in self._registry
            if entry.state.status in idle and not entry.lock.locked()
        ]
        return [one for one in found if matches is None or matches(one)]

    async def prune(
        self, matches: Callable[[Container], bool] | None = None
    ) -> list[tuple[str, int]]:
        """Remove what is `prunable`; return IDs and the bytes of their writable layers."""
        removed = []
        for container in self.prunable(matches):
            size = await in_thread(self.own_bytes, container)
            with contextlib.suppress(NotFound, Conflict):  # gone, or started, meanwhile
                await self.remove(container.id)
                removed.append((container.id, size))
        return removed

    def wait(self, name: str, condition: str = "not-running") -> asyncio.Future[ExitStatus]:
        """Subscribe now (before this returns) and give a future of the exit; who leaves cancels it.

        `condition`: `not-running`, `next-exit`, `removed`. Everything the container wrote is in
        its log when the awaitable is done.
        """
        entry = self._registry.find(name)
        future: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        if condition in ("", "not-running"):
            if entry.ended.is_set() and entry.state.status is not Status.RESTARTING:
                future.set_result(entry.exit_status())
            else:
                entry.add_waiter(entry.exit_waiters, future)
        elif condition == "next-exit":
            entry.add_waiter(entry.exit_waiters, future)
        elif condition == "removed":
            entry.add_waiter(entry.removal_waiters, future)
        else:
            raise InvalidParameter(
                f'invalid condition: "{condition}"', hint="not-running, next-exit or removed"
            )
        return future

    # ---- output --------------------------------------------------------------------------

    def logs(
        self, name: str, view: LogView, *, follow: bool = False, with_details: bool = False
    ) -> AsyncGenerator[bytes]:
        """Raises: NotFound; InvalidParameter. With `follow`, ends when the container ends."""
        return self._logs.read(
            self._registry.find(name), view, follow=follow, with_details=with_details
        )

    def check_attachable(self, name: str) -> None:
        """Raises: Conflict in Docker's words when it is paused or about to be restarted."""
        self._registry.find(name).check_steady(f"container {name}", before="attach")

    async def attach(self, name: str) -> Listener:
        """Attach to a container; one that does not run is waited for (the order of `docker run`).

        Raises: EngineError when it could not be started, or has just ended.
        """
        entry = self._registry.find(name)
        self._states.publish(entry, "attach")
        if entry.active:
            return await self._attachments.attach(entry)
        return await self._attachments.wait(entry)

    def detached(self, name: str) -> None:
        """Publish that a client left with its detach keys."""
        self._states.publish(self._registry.find(name), "detach")

    async def resize(self, name: str, *, height: int, width: int) -> None:
        """Set the terminal's size. Raises: Conflict when it does not run."""
        entry = self._registry.find(name)
        if not entry.active:
            raise Conflict(f"container {entry.id} is not running")
        await self._conmon.resize(entry.id, height=height, width=width)

    def size(self, container: Container) -> tuple[int, int]:
        """Bytes in the writable layer, and with the image below it. Slow."""
        own = self.own_bytes(container)
        below = self._layers.chain(container.record.top_layer)
        return own, own + sum(layer.size_bytes for layer in below)

    def own_bytes(self, container: Container) -> int:
        """Bytes in the writable layer. Slow."""
        return tree_bytes(self._bundles.directory(container.id) / "upper")

    async def top(
        self, name: str, ps_args: Sequence[str] = ()
    ) -> tuple[list[str], list[list[str]]]:
        """Titles and rows of `ps` for the container's processes."""
        entry = self._registry.find(name)
        if not entry.active:
            raise Conflict(f"container {entry.id} is not running", hint=f"pogu start {entry.name}")
        return await process_table(entry.state.pid, ps_args)

    def stats(
        self, names: Sequence[str] | None, *, running_only: bool = False
    ) -> AsyncGenerator[list[Sample]]:
        """Yield samples of the named containers (None = all) every second; those that are removed
        meanwhile fall out. Raises: NotFound at once.
        """
        named = None if names is None else [self._registry.find(name) for name in names]

        def choose() -> list[Entry]:
            entries = list(self._registry) if named is None else named
            return [
                one for one in entries if one in self._registry and (one.active or not running_only)
            ]

        return self._sampler.follow(choose)

    async def stats_once(self, name: str, *, with_previous: bool) -> Sample:
        """One sample; with its predecessor an interval earlier where that is asked for."""
        return await self._sampler.once(self._registry.find(name), with_previous=with_previous)

    async def _note_oom_kills(self) -> None:
        """See who ran out of memory and goes on."""
        while True:
            await asyncio.sleep(_OOM_CHECK_S)
            for entry in list(self._registry):
                self._states.note_oom(entry)
