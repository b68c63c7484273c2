"""Service: a container's processes stand still: `pause`, or while its files are read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pogu.containers.entry import Entry
from pogu.containers.model import Status
from pogu.containers.states import States
from pogu.errors import Conflict
from pogu.runtime.oci_runtime import OciRuntime

__all__ = ["Freezer"]


class Freezer:
    """Takes the container's lock itself."""

    def __init__(self, *, states: States, runtime: OciRuntime) -> None:
        self._states = states
        self._runtime = runtime

    async def pause(self, entry: Entry) -> None:
        """Freeze it. Raises: Conflict when it does not run or is paused already.

        The row comes last: after a kill in between it goes on, since nobody was told otherwise.
        """
        async with entry.lock:
            if entry.state.status is Status.PAUSED:
                raise Conflict(f"Container {entry.id} is already paused")
            if entry.state.status is Status.RESTARTING:
                raise Conflict(
                    f"Container {entry.id} is restarting, wait until the container is running"
                )
            if not entry.active:
                raise Conflict(
                    f"Container {entry.id} is not running", hint=f"pogu start {entry.name}"
                )
            await self._runtime.pause(entry.id)
            try:
                self._states.change(entry, status=Status.PAUSED)
            except BaseException:
                await asyncio.shield(self._runtime.resume(entry.id))
                raise
        self._states.publish(entry, "pause")

    async def unpause(self, entry: Entry) -> None:
        """Let it go on. Raises: Conflict when it is not paused."""
        if not await self.let_go_on(entry):
            raise Conflict(f"Container {entry.id} is not paused")

    async def let_go_on(self, entry: Entry) -> bool:
        """False when it was not paused."""
        if entry.state.status is not Status.PAUSED:
            return False
        async with entry.lock:
            if entry.state.status is not Status.PAUSED:
                return False
            await self._runtime.resume(entry.id)
            self._states.settle(entry, status=Status.RUNNING)
        self._states.publish(entry, "unpause")
        return True

    @asynccontextmanager
    async def frozen(self, entry: Entry) -> AsyncIterator[None]:
        """Hold a running container still inside the block, so that its files can be read as of
        one moment; nobody sees it paused. One that is paused or does not run stays so.
        """
        async with entry.lock:
            running = entry.state.status is Status.RUNNING
            try:
                if running:
                    await self._runtime.pause(entry.id)
                yield
            finally:
                if running:
                    await asyncio.shield(self._runtime.resume(entry.id))
