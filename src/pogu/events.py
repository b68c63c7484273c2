"""Service: what happened, for `GET /events` and for whoever waits inside the engine.

Owns nothing on disk: the last 1,024 events are kept in memory for replay from `since`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Event", "EventBus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change of one thing, in the words of Docker's events (type, action, actor)."""

    type: str
    action: str
    actor_id: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    time_ns: int


class EventBus:
    """Publish to all subscribers; a slow subscriber never delays the publisher."""

    def __init__(self, *, clock_ns: Callable[[], int] = time.time_ns, keep: int = 1024) -> None:
        self._clock_ns = clock_ns
        self._past: deque[Event] = deque(maxlen=keep)
        self._queues: dict[asyncio.Queue[Event], asyncio.AbstractEventLoop] = {}

    def publish(
        self, type: str, action: str, actor_id: str, attributes: Mapping[str, str] | None = None
    ) -> None:
        """Record an event and hand it to every subscriber. From any thread."""
        event = Event(
            type=type,
            action=action,
            actor_id=actor_id,
            attributes=dict(attributes or {}),
            time_ns=self._clock_ns(),
        )
        self._past.append(event)
        here = asyncio._get_running_loop()
        for queue, loop in list(self._queues.items()):
            if loop is here:
                queue.put_nowait(event)
            else:
                loop.call_soon_threadsafe(queue.put_nowait, event)

    def past(self, *, since_ns: int, until_ns: int | None = None) -> list[Event]:
        """Return the kept events between the two times, oldest first."""
        return [
            event
            for event in self._past
            if event.time_ns >= since_ns and (until_ns is None or event.time_ns <= until_ns)
        ]

    @contextmanager
    def subscribe(self) -> Iterator[AsyncIterator[Event]]:
        """Give every event published from now on, until the `with` block ends."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._queues[queue] = asyncio.get_running_loop()

        async def events() -> AsyncIterator[Event]:
            while True:
                yield await queue.get()

        try:
            yield events()
        finally:
            self._queues.pop(queue, None)
