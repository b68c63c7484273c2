"""Service: what running containers use, sampled once a second however many look on; owns nothing.

Followers wake at the same moments, so that the first one reads and the others find it read.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pogu.containers.entry import Entry
from pogu.linux.blocking import in_thread
from pogu.linux.cgroup_usage import GroupUsage, group_places, read_usage
from pogu.linux.link_counters import LinkCounters, link_counters

__all__ = ["Sample", "StatsSampler", "parse_host_cpu"]

_INTERVAL_S = 1.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One container at one moment; `usage` None = it does not run."""

    container_id: str
    name: str
    time_ns: int = 0
    host_cpu_ns: int = 0
    """What all processors of the host did since boot, idling included."""
    online_cpus: int = 0
    usage: GroupUsage | None = None
    links: Mapping[str, LinkCounters] = field(default_factory=dict)
    previous: Sample | None = None
    """The one before, whose own `previous` is None; None for a follower's first."""


class StatsSampler:
    """Event-loop thread only; the reading itself goes to a thread."""

    def __init__(
        self,
        *,
        interval_s: float = _INTERVAL_S,
        read: Callable[[Entry], Sample] | None = None,
    ) -> None:
        self._interval_s = interval_s
        self._read = read or sample_entry
        self._last: dict[str, tuple[float, Sample]] = {}
        self._followers = 0
        self._reading = asyncio.Lock()

    async def take(self, entries: Sequence[Entry]) -> list[Sample]:
        """Sample now; what was read within half an interval is not read again."""
        async with self._reading:
            now = asyncio.get_running_loop().time()
            stale = [one for one in entries if self._age(one, now) > self._interval_s / 2]
            fresh = await in_thread(lambda: [self._read(one) for one in stale]) if stale else []
            for sample in fresh:
                before = self._last.get(sample.container_id)
                earlier = before[1] if before and now - before[0] < 3 * self._interval_s else None
                whole = replace(sample, previous=earlier and replace(earlier, previous=None))
                self._last[sample.container_id] = now, whole
            return [self._last[one.id][1] for one in entries]

    def _age(self, entry: Entry, now: float) -> float:
        known = self._last.get(entry.id)
        still = known is not None and (known[1].usage is not None) == entry.active
        return now - known[0] if known and still else float("inf")

    async def once(self, entry: Entry, *, with_previous: bool) -> Sample:
        """One sample; with its predecessor an interval earlier where that is asked for."""
        async for samples in self.follow(lambda: [entry]):
            if not with_previous or samples[0].previous is not None or not entry.active:
                return samples[0]
        raise AssertionError("a follower never ends by itself")

    async def follow(self, choose: Callable[[], Sequence[Entry]]) -> AsyncGenerator[list[Sample]]:
        """Yield samples of what `choose` returns: at once, then at every interval, without end.

        The first time without predecessors (Docker's `precpu_stats` are empty then).
        """
        self._followers += 1
        try:
            yield [replace(one, previous=None) for one in await self.take(choose())]
            while True:
                await self._next_moment()
                yield await self.take(choose())
        finally:
            self._followers -= 1
            if not self._followers:
                self._last.clear()

    async def _next_moment(self) -> None:
        """The same for all followers, and never so soon that nothing new was read."""
        left = self._interval_s - asyncio.get_running_loop().time() % self._interval_s
        await asyncio.sleep(left if left > self._interval_s / 2 else left + self._interval_s)


def sample_entry(entry: Entry) -> Sample:
    """Read one container's counters. Blocking, well below a millisecond."""
    if not entry.active or not entry.state.pid:
        return Sample(container_id=entry.id, name=entry.name)
    pid = entry.state.pid
    try:
        membership = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return Sample(container_id=entry.id, name=entry.name)
    host_cpu_ns, online_cpus = parse_host_cpu(Path("/proc/stat").read_text())
    is_host = entry.record.host_config.network_mode == "host"
    return Sample(
        container_id=entry.id,
        name=entry.name,
        time_ns=time.time_ns(),
        host_cpu_ns=host_cpu_ns,
        online_cpus=online_cpus,
        usage=read_usage(group_places(membership, entry.id)),
        links={} if is_host else link_counters(pid),
    )


def parse_host_cpu(text: str) -> tuple[int, int]:
    """/proc/stat → (nanoseconds of all processors in all states, processors online)."""
    lines = text.splitlines()
    ticks = sum(map(int, lines[0].split()[1:8]))
    online = sum(line.startswith("cpu") and line[3:4].isdecimal() for line in lines)
    return ticks * 1_000_000_000 // _TICKS_PER_S, online
