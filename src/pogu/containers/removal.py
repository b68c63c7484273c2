"""Service: a container is taken away, and remembered by what `why` asks for.

Its directory goes to tmp/ by one rename, then its anonymous volumes, then the row; a kill in
between leaves it `removing`, and the next engine does the same again.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from pogu.containers.background import Background
from pogu.containers.bundles import Bundles
from pogu.containers.entry import Entry
from pogu.containers.launch import Launcher
from pogu.containers.model import Status
from pogu.containers.registry import Registry
from pogu.containers.rows import RemovedContainer, Rows
from pogu.containers.states import States
from pogu.containers.stop import Stopper
from pogu.crash_point import crash_point
from pogu.errors import Conflict, EngineError
from pogu.linux.blocking import in_thread
from pogu.storage.tree import remove_tree, set_aside
from pogu.volumes.service import Volumes

__all__ = ["AnonymousVolumes", "Removal"]


class AnonymousVolumes:
    """Volumes that were made for a container and that nobody named."""

    def __init__(self, *, volumes: Volumes, registry: Registry, background: Background) -> None:
        self._volumes = volumes
        self._registry = registry
        self._background = background

    def remove_unused(self, name: str) -> None:
        """Leaves one that another container has; a name may look like an anonymous volume's."""
        if self._volumes.is_anonymous(name) and not self._registry.using_volume(name):
            trash = self._volumes.set_aside(name, force=True)
            if trash is not None:
                self._background.run(in_thread(remove_tree, trash))


class Removal:
    """Of those that run too, by force."""

    def __init__(
        self,
        *,
        states: States,
        rows: Rows,
        bundles: Bundles,
        launcher: Launcher,
        stopper: Stopper,
        background: Background,
        registry: Registry,
        volumes: AnonymousVolumes,
        tmp: Path,
    ) -> None:
        self._states = states
        self._rows = rows
        self._bundles = bundles
        self._launcher = launcher
        self._stopper = stopper
        self._background = background
        self._registry = registry
        self._volumes = volumes
        self._tmp = tmp

    async def remove(self, entry: Entry, *, force: bool, volumes: bool) -> None:
        """Raises: Conflict when it runs and not `force`, in Docker's words."""
        while not entry.removed:
            if not force:
                _check_idle(entry)
            if entry.active:
                await self._stopper.kill_for_removal(entry)
            async with entry.lock:
                if not entry.active:  # a start may have been first at the lock
                    await self.take_away(entry, volumes=volumes)

    async def take_away(self, entry: Entry, *, volumes: bool) -> None:
        """Remove a container that does not run; the caller holds its lock. Idempotent."""
        if entry.removed:
            return
        self._states.stop_restarting(entry)
        volumes = volumes or entry.state.removes_volumes
        if (entry.state.status, entry.state.removes_volumes) != (Status.REMOVING, volumes):
            self._states.change(entry, status=Status.REMOVING, removes_volumes=volumes)
        await self._launcher.release(entry.id)
        trash = set_aside(self._bundles.directory(entry.id), self._tmp)
        crash_point()
        if volumes:  # before the row: nobody else knows of them
            self._remove_anonymous_volumes(entry)
        self._rows.delete(entry.id, self._remembered(entry))
        entry.removed = True
        self._registry.forget(entry)
        self._states.publish(entry, "destroy")
        entry.refuse_attachers(Conflict(f"container {entry.id} was removed"))
        entry.tell_removal()
        self._background.run(in_thread(remove_tree, trash))

    def _remove_anonymous_volumes(self, entry: Entry) -> None:
        for mount in entry.record.mounts:
            if mount.type == "volume" and len(mount.name) == 64:
                with contextlib.suppress(EngineError):
                    self._volumes.remove_unused(mount.name)

    def _remembered(self, entry: Entry) -> RemovedContainer:
        return RemovedContainer(
            id=entry.id,
            name=entry.name,
            image_name=entry.record.image_name,
            program=entry.record.args[0] if entry.record.args else "",
            removed_at=self._states.now(),
            memory_bytes=entry.record.host_config.memory,
            state=entry.state,
        )


def _check_idle(entry: Entry) -> None:
    refusals = {
        Status.RESTARTING: (
            "container is restarting: stop the container before removing or force remove",
            f"pogu rm -f {entry.name}",
        ),
        Status.PAUSED: (
            "container is paused and must be unpaused first",
            f"pogu unpause {entry.name}, or pogu rm -f {entry.name}",
        ),
        Status.RUNNING: (
            "container is running: stop the container before removing or force remove",
            f"pogu rm -f {entry.name}",
        ),
    }
    if entry.state.status in refusals:
        words, hint = refusals[entry.state.status]
        raise Conflict(f'cannot remove container "{entry.name}": {words}', hint=hint)
