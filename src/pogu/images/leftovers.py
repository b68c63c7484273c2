"""Service: what pulls and loads that never ended left in the store goes after a week; owns
`<root>/collected`, whose time is that of the last collection.

Until then the layers and blobs that had arrived whole are there for the next try.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

__all__ = ["Leftovers"]

log = logging.getLogger(__name__)

_KEPT_S = 7 * 24 * 3600
_PAUSE_S = 3600


class Leftovers:
    """Looks at its start and every hour."""

    def __init__(
        self,
        marker: Path,
        collect: Callable[[], Awaitable[int]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._marker = marker
        self._collect = collect
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def look(self) -> int:
        """Collect when the last time was a week ago; return the bytes freed."""
        try:
            last = self._marker.stat().st_mtime
        except FileNotFoundError:
            self._marker.touch(mode=0o600)
            return 0
        if 0 <= self._clock() - last < _KEPT_S:  # a time to come is a clock that was wrong
            return 0
        freed = await self._collect()
        self._marker.touch()
        if freed:
            log.info("left over for a week: %s bytes freed", freed)
        return freed

    def start(self) -> None:
        """Look now and then on."""

        async def look_on() -> None:
            while True:
                try:
                    await self.look()
                except OSError as err:
                    log.warning("cannot look for what was left over: %s", err)
                await asyncio.sleep(_PAUSE_S)

        self._task = asyncio.create_task(look_on(), name="leftovers")

    async def close(self) -> None:
        """Idempotent."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
