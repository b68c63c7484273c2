"""Service: a lock that knows whether somebody waits for it."""

from __future__ import annotations

import asyncio
from typing import Literal

__all__ = ["WantedLock"]


class WantedLock(asyncio.Lock):
    """For who holds it long on behalf of somebody else."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = 0

    @property
    def wanted(self) -> bool:
        """True while somebody waits."""
        return self._waiting > 0

    async def acquire(self) -> Literal[True]:
        self._waiting += 1
        try:
            return await super().acquire()
        finally:
            self._waiting -= 1
