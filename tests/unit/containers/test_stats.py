"""Who asks what containers use, and how often it is read."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from tests.builders import a_container

from pogu.containers.entry import Entry
from pogu.containers.model import Status
from pogu.containers.stats import Sample, StatsSampler, parse_host_cpu
from pogu.linux.cgroup_usage import CpuUsage, GroupUsage, MemoryUsage

INTERVAL_S = 0.05


class Meter:
    """Counts its readings; each reading shows more used."""

    def __init__(self) -> None:
        self.readings = 0

    def __call__(self, entry: Entry) -> Sample:
        self.readings += 1
        usage = GroupUsage(
            version=2, cpu=CpuUsage(total_ns=self.readings), memory=MemoryUsage(stats={})
        )
        return Sample(
            container_id=entry.id,
            name=entry.name,
            time_ns=self.readings,
            usage=usage if entry.active else None,
        )


async def test_a_followers_first_sample_has_no_predecessor_and_the_next_one_has() -> None:
    sampler = StatsSampler(interval_s=INTERVAL_S, read=Meter())
    entry = a_container(status=Status.RUNNING)
    async with aclosing(sampler.follow(lambda: [entry])) as moments:
        first, second = (await anext(moments))[0], (await anext(moments))[0]
    assert first.previous is None
    assert second.previous is not None
    assert second.previous.time_ns == first.time_ns
    assert second.previous.previous is None


async def test_many_followers_cost_one_reading() -> None:
    meter = Meter()
    sampler = StatsSampler(interval_s=0.4, read=meter)
    entry = a_container(status=Status.RUNNING)
    one, other = sampler.follow(lambda: [entry]), sampler.follow(lambda: [entry])
    async with aclosing(one), aclosing(other):
        for readings in (1, 2):
            seen = await asyncio.gather(anext(one), anext(other))
            assert seen[0] == seen[1]
            assert meter.readings == readings


async def test_one_reading_with_its_predecessor_takes_an_interval() -> None:
    sampler = StatsSampler(interval_s=INTERVAL_S, read=Meter())
    entry = a_container(status=Status.RUNNING)
    assert (await sampler.once(entry, with_previous=False)).previous is None
    assert (await sampler.once(entry, with_previous=True)).previous is not None


async def test_what_does_not_run_is_told_at_once() -> None:
    sampler = StatsSampler(interval_s=60, read=Meter())
    entry = a_container(status=Status.EXITED)
    assert (await sampler.once(entry, with_previous=True)).usage is None


async def test_a_container_that_ended_is_read_again() -> None:
    meter = Meter()
    sampler = StatsSampler(interval_s=60, read=meter)
    running = a_container(status=Status.RUNNING)
    async with aclosing(sampler.follow(lambda: [running])) as moments:
        assert (await anext(moments))[0].usage is not None
        assert (await sampler.take([a_container(status=Status.EXITED)]))[0].usage is None


def test_the_hosts_processors_are_counted_in_nanoseconds() -> None:
    text = "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4\ncpu1 1 2 3 4\nintr 5\n"
    assert parse_host_cpu(text) == (28 * 10_000_000, 2)
