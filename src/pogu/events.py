"""Service: what happened, for `GET /events` and for whoever waits inside the engine.

The last 1,024 events are kept for replay from `since`, in memory and in `<root>/events.jsonl`: our
engine leaves when it is idle, and what happened before must still be told. What happens of itself
again and again (the probes of health checks) is kept apart, the last 256 in memory, so that it
pushes out nothing that somebody did.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import os
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

__all__ = ["Event", "EventBus", "EventJournal"]

log = logging.getLogger(__name__)

_KEPT = 1024
_KEPT_RECURRING = 256
_REWRITTEN_AT = 4
"""The journal is cut to what is kept when it holds so many times more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change of one thing, in the words of Docker's events (type, action, actor)."""

    type: str
    action: str
    actor_id: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    time_ns: int


class EventJournal:
    """Events as lines of a file. Appending is one small write without a sync; a line that a power
    cut left half is passed over."""

    def __init__(self, path: Path, *, keep: int = _KEPT) -> None:
        self._path = path
        self._keep = keep
        self._lock = threading.Lock()
        self._lines = 0
        self._fd = -1

    def open(self) -> list[Event]:
        """Return what was kept, oldest first; what is appended follows."""
        events = self._read()
        self._rewrite(events)
        return events

    def _read(self) -> list[Event]:
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines[-self._keep :]:
            try:
                found.append(msgspec.json.decode(line, type=Event))
            except msgspec.MsgspecError:
                log.info("a broken line of %s is passed over", self._path)
        return found

    def _rewrite(self, events: list[Event]) -> None:
        temporary = self._path.with_suffix(".new")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        os.write(fd, b"".join(msgspec.json.encode(event) + b"\n" for event in events))
        os.replace(temporary, self._path)
        self.close()
        self._fd, self._lines = fd, len(events)

    def append(self, event: Event) -> None:
        """Never raises: on a full disk the file misses some."""
        with self._lock:
            if self._fd < 0:
                return
            try:
                os.write(self._fd, msgspec.json.encode(event) + b"\n")
                self._lines += 1
                if self._lines > _REWRITTEN_AT * self._keep:
                    self._rewrite(self._read())
            except OSError as err:
                log.warning("cannot keep an event: %s", err)

    def close(self) -> None:
        """Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class EventBus:
    """Publish to all subscribers; a slow subscriber never delays the publisher."""

    def __init__(
        self,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        keep: int = _KEPT,
        journal: EventJournal | None = None,
    ) -> None:
        self._clock_ns = clock_ns
        self._journal = journal
        self._past: deque[Event] = deque(journal.open() if journal else (), maxlen=keep)
        self._recurring: deque[Event] = deque(maxlen=_KEPT_RECURRING)
        self._queues: dict[asyncio.Queue[Event], asyncio.AbstractEventLoop] = {}

    def publish(
        self,
        type: str,
        action: str,
        actor_id: str,
        attributes: Mapping[str, str] | None = None,
        *,
        recurring: bool = False,
    ) -> None:
        """Record an event and hand it to every subscriber. From any thread.

        `recurring`: it happens of itself, again and again.
        """
        event = Event(
            type=type,
            action=action,
            actor_id=actor_id,
            attributes=dict(attributes or {}),
            time_ns=self._clock_ns(),
        )
        (self._recurring if recurring else self._past).append(event)
        if self._journal is not None and not recurring:
            self._journal.append(event)
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
            for event in heapq.merge(
                list(self._past), list(self._recurring), key=lambda one: one.time_ns
            )
            if event.time_ns >= since_ns and (until_ns is None or event.time_ns <= until_ns)
        ]

    def close(self) -> None:
        """Let go of the journal; what is published afterwards is not kept."""
        if self._journal is not None:
            self._journal.close()

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
