"""Service: pruning: the plan, and doing it; both by the same decisions.

A plan of several kinds at once sees each as the kinds before it leave things, in the order in
which `system prune` goes: containers, volumes, images, build cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pogu.build.cache import CacheEntry
from pogu.build.service import Builder
from pogu.containers.model import Container, image_layers, volume_users
from pogu.containers.service import Containers
from pogu.errors import EngineError
from pogu.images.image import Image, Removed
from pogu.images.store import ImageStore
from pogu.linux.blocking import in_thread
from pogu.oci.digest import ChainId, Digest
from pogu.storage.tree import remove_tree, tree_bytes
from pogu.volumes.service import Volume, Volumes

__all__ = ["Choice", "Plan", "Pruning"]

RemovalPlan = tuple[str, list[Removed], int, EngineError | None]
"""The name, what would go, the bytes; or why not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What may go; None spares the whole kind. Images: (only dangling ones, which)."""

    containers: Callable[[Container], bool] | None = None
    volumes: Callable[[Volume], bool] | None = None
    images: tuple[bool, Callable[[Image], bool]] | None = None
    caches: Callable[[CacheEntry], bool] | None = None
    all_caches: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What goes, with the bytes of each or of the kind."""

    containers: Sequence[tuple[str, int]] = ()
    volumes: Sequence[tuple[str, int]] = ()
    images: Sequence[Removed] = ()
    image_bytes: int = 0
    caches: Sequence[str] = ()
    cache_bytes: int = 0

    @property
    def freed_bytes(self) -> int:
        own = sum(size for _, size in (*self.containers, *self.volumes))
        return own + self.image_bytes + self.cache_bytes


class Pruning:
    """Async. Nothing is remembered between a plan and its execution: what is done is decided
    anew, by the same code."""

    def __init__(
        self, *, containers: Containers, volumes: Volumes, images: ImageStore, builder: Builder
    ) -> None:
        self._containers = containers
        self._volumes = volumes
        self._images = images
        self._builder = builder

    async def prune(self, choice: Choice) -> Plan:
        """Remove and return what was removed, with the bytes freed."""
        containers: list[tuple[str, int]] = []
        volumes: list[tuple[str, int]] = []
        images: list[Removed] = []
        caches: list[CacheEntry] = []
        image_bytes = cache_bytes = 0
        if choice.containers is not None:
            containers = await self._containers.prune(choice.containers)
        if choice.volumes is not None:
            volumes = await self._measured(self._unused_volumes(choice, ()))
            now_used = volume_users(self._containers.all())
            volumes = [(name, size) for name, size in volumes if name not in now_used]
            for name, _ in volumes:
                trash = self._volumes.set_aside(name, force=True)
                if trash is not None:
                    await in_thread(remove_tree, trash)
        if choice.images is not None:
            dangling, matches = choice.images
            images, image_bytes = await self._images.prune(dangling_only=dangling, matches=matches)
        if choice.caches is not None:
            caches = await self._unused_caches(choice)
            cache_bytes = await self._builder.forget([entry.key for entry in caches])
        return Plan(
            containers=containers,
            volumes=volumes,
            images=images,
            image_bytes=image_bytes,
            caches=_shown(caches),
            cache_bytes=cache_bytes,
        )

    async def plan(self, choice: Choice) -> Plan:
        """Return what `prune` would remove now, and change nothing."""
        stopped: list[Container] = []
        if choice.containers is not None:
            stopped = self._containers.prunable(choice.containers)
        containers = [(one.id, await self._size(one)) for one in stopped]
        going = {one.id for one in stopped}
        volumes = await self._measured(self._unused_volumes(choice, going))
        records = await in_thread(self._builder.cache_records)
        images: list[Removed] = []
        caches: list[CacheEntry] = []
        image_bytes = cache_bytes = 0
        with self._images.rehearsal(
            users=lambda image_id: self._users_without(image_id, going),
            kept=lambda: self._kept_without(going) | self._builder.kept_layers(),
        ) as rehearsal:
            if choice.images is not None:
                dangling, matches = choice.images
                images, image_bytes = rehearsal.prune(dangling_only=dangling, matches=matches)
            if choice.caches is not None:
                caches = _unused(records, choice, rehearsal.image_layers())
                keys = {entry.key for entry in caches}
                left = {one.top_layer for one in records if one.top_layer and one.key not in keys}
                _, cache_bytes = rehearsal.collect(self._kept_without(going) | left)
        return Plan(
            containers=containers,
            volumes=volumes,
            images=images,
            image_bytes=image_bytes,
            caches=_shown(caches),
            cache_bytes=cache_bytes,
        )

    def plan_removal(self, names: Sequence[str], *, force: bool, prune: bool) -> list[RemovalPlan]:
        """What `rmi` of all these would do, each as the ones before it leave things."""
        answer: list[RemovalPlan] = []
        with self._images.rehearsal() as rehearsal:
            for name in names:
                try:
                    lines, freed = rehearsal.remove(name, force=force, prune=prune)
                    answer.append((name, lines, freed, None))
                except EngineError as err:
                    answer.append((name, [], 0, err))
        return answer

    # ---- decisions -----------------------------------------------------------------------

    def _unused_volumes(self, choice: Choice, going: Sequence[str] | set[str]) -> list[Volume]:
        if choice.volumes is None:
            return []
        left = [one for one in self._containers.all() if one.id not in going]
        used = volume_users(left)
        return [
            volume
            for volume in self._volumes.all()
            if volume.name not in used and choice.volumes(volume)
        ]

    async def _unused_caches(self, choice: Choice) -> list[CacheEntry]:
        records = await in_thread(self._builder.cache_records)
        return _unused(records, choice, self._images.layers_in_use())

    def _users_without(self, image_id: Digest, going: set[str]) -> list[tuple[str, bool]]:
        short = {one[:12] for one in going}
        users = self._containers.using_image(image_id)
        return [(name, running) for name, running in users if name not in short]

    def _kept_without(self, going: set[str]) -> set[ChainId]:
        left = [one.record for one in self._containers.all() if one.id not in going]
        kept = {record.top_layer for record in left if record.top_layer is not None}
        return kept.union(*(image_layers(record.mounts) for record in left))

    # ---- sizes ---------------------------------------------------------------------------

    async def _size(self, container: Container) -> int:
        return await in_thread(self._containers.usage.own_bytes, container)

    async def _measured(self, volumes: Sequence[Volume]) -> list[tuple[str, int]]:
        return [(one.name, await in_thread(tree_bytes, one.path)) for one in volumes]


def _unused(
    records: Sequence[CacheEntry], choice: Choice, in_images: set[ChainId]
) -> list[CacheEntry]:
    """Without `all_caches` the records whose result no image has."""
    assert choice.caches is not None
    return [
        entry
        for entry in records
        if (choice.all_caches or entry.top_layer not in in_images) and choice.caches(entry)
    ]


def _shown(entries: Sequence[CacheEntry]) -> list[str]:
    """IDs as `system df` shows them; a step that made no layer is not shown."""
    return [entry.short_key for entry in entries if not entry.empty]
