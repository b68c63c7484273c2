"""Service: work that nobody waits for, until the engine leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

__all__ = ["Background"]


class Background:
    """Holds the tasks: asyncio itself would let them be collected."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[None]] = set()

    def run(self, work: Awaitable[None]) -> None:
        """Run to its end without anybody waiting."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Wait for what goes on."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
