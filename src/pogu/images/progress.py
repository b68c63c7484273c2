"""Format: what a pull or a push says while it goes on, in Docker's words."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

__all__ = ["Progress", "TransferEvent", "throttled"]

Progress = Callable[[int, int], Awaitable[None]]
"""Told (bytes so far, bytes in all)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferEvent:
    """One line of progress; `id` is a layer's short digest or a tag."""

    status: str
    id: str = ""
    current: int = 0
    total: int = 0


def throttled(progress: Progress) -> Progress:
    """At most ten lines a second and layer, and the last one."""
    last = 0.0

    async def sometimes(current: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= 0.1 or current >= total:
            last = now
            await progress(current, total)

    return sometimes
