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

from pogu.containers.entry import Entry, ExitStatus
from pogu.containers.model import Container, Status, image_layers
from pogu.containers.parts import Parts
from pogu.containers.validate import check_name
from pogu.containers.why import Explanation
from pogu.errors import Conflict, InvalidParameter, NotFound
from pogu.images.image import Image
from pogu.linux.blocking import in_thread
from pogu.linux.cgroup_usage import oom_kills_by_slice
from pogu.model.container import CreateRequest, UpdateRequest
from pogu.oci.digest import ChainId
from pogu.runtime.broadcast import Listener
from pogu.runtime.logformat import LogView

__all__ = ["Containers", "ExitStatus"]

log = logging.getLogger(__name__)

_OOM_CHECK_S = 1.0


class Containers:
    """All that can be done with containers; who does it is in `parts.py`."""

    def __init__(self, parts: Parts) -> None:
        self._networks = parts.networks
        self._volumes = parts.volumes
        self._conmon = parts.conmon
        self._rows = parts.rows
        self._registry = parts.registry
        self._states = parts.states
        self._confinement = parts.confinement
        self._links = parts.links
        self._creator = parts.creator
        self._lifecycle = parts.lifecycle
        self._attachments = parts.attachments
        self._freezer = parts.freezer
        self._stopper = parts.stopper
        self._updates = parts.updates
        self._removal = parts.removal
        self._recovery = parts.recovery
        self._background = parts.background
        self._logs = parts.logs
        self._explainer = parts.explainer
        self.archive = parts.archive
        self.files = parts.files
        self.execs = parts.execs
        self.usage = parts.usage
        self._watches: list[asyncio.Task[None]] = []

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
        """As `Creator.create`; durable. With `replaces` a container that has the name is removed,
        once the new one is made.

        Raises: NotFound("No such image: …"); Conflict when the name is in use, naming its owner
        in Docker's words; InvalidParameter.
        """
        if replaces and name and self._registry.is_taken(name.removeprefix("/")):
            entry, warnings = await self._creator.replace(
                request, name=name.removeprefix("/"), image=image, removal=self._removal
            )
        else:
            entry, warnings = await self._creator.create(request, name=name, image=image)
        await self._rows.durable()
        self._states.publish(entry, "create")
        return self._snapshot(entry), warnings

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
        """What a boot reads to know what must run is durable before anybody is told of it.

        A disk that takes nothing more keeps nobody from stopping what runs.
        """
        if entry.record.host_config.restart_policy.name not in ("", "no"):
            try:
                await self._rows.durable()
            except OSError as err:
                log.warning("container=%s: not durable: %s", entry.id[:12], err)

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
            size = await in_thread(self.usage.own_bytes, container)
            with contextlib.suppress(NotFound, Conflict):  # gone, or started, meanwhile
                await self.remove(container.id)
                removed.append((container.id, size))
        return removed

    def wait(self, name: str, condition: str = "not-running") -> asyncio.Future[ExitStatus]:
        """Subscribe now (before this returns) and give a future of the exit; who leaves cancels it.

        `condition`: `not-running`, `next-exit`, `removed`. Everything the container wrote is in
        its log when the awaitable is done.
        """
        return self._registry.find(name).exit_future(condition)

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

    async def _note_oom_kills(self) -> None:
        """See who ran out of memory and goes on."""
        before: dict[str, int] = {}
        while True:
            await asyncio.sleep(_OOM_CHECK_S)
            entries = [entry for entry in self._registry if entry.active]
            kills = oom_kills_by_slice(entry.state.cgroup for entry in entries)
            for entry in entries:
                self._states.note_oom(entry, look=kills != before)
            before = kills
