"""Service: what containers use: bytes on disk, processes, and samples of all else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from pogu.containers.bundles import Bundles
from pogu.containers.entry import Entry
from pogu.containers.model import Container
from pogu.containers.processes import process_table
from pogu.containers.registry import Registry
from pogu.containers.stats import Sample, StatsSampler
from pogu.errors import Conflict
from pogu.storage.layers import LayerStore
from pogu.storage.tree import tree_bytes

__all__ = ["Usage"]


class Usage:
    """Owns nothing."""

    def __init__(self, *, registry: Registry, layers: LayerStore, bundles: Bundles) -> None:
        self._registry = registry
        self._layers = layers
        self._bundles = bundles
        self._sampler = StatsSampler()

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
        return await process_table(entry.state.pid, ps_args, container_id=entry.id)

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
