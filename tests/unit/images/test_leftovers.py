"""What pulls that never ended left behind: kept for a week, then collected."""

from __future__ import annotations

import os
from pathlib import Path

from pogu.images.leftovers import Leftovers

DAY_S = 24 * 3600


class Collector:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self) -> int:
        self.asked += 1
        return 7


async def test_what_is_left_over_stays_a_week_and_goes_then(tmp_path: Path) -> None:
    collector, now = Collector(), [1_800_000_000.0]
    leftovers = Leftovers(tmp_path / "collected", collector, clock=lambda: now[0])
    assert await leftovers.look() == 0
    os.utime(tmp_path / "collected", (now[0], now[0]))
    now[0] += 6 * DAY_S
    assert (await leftovers.look(), collector.asked) == (0, 0)
    now[0] += 2 * DAY_S
    assert (await leftovers.look(), collector.asked) == (7, 1)


async def test_a_collection_begins_the_week_anew(tmp_path: Path) -> None:
    collector = Collector()
    marker = tmp_path / "collected"
    marker.touch()
    os.utime(marker, (0, 0))
    leftovers = Leftovers(marker, collector)
    await leftovers.look()
    assert (await leftovers.look(), collector.asked) == (0, 1)


async def test_it_looks_at_its_start_and_can_be_ended(tmp_path: Path) -> None:
    leftovers = Leftovers(tmp_path / "collected", Collector())
    leftovers.start()
    await leftovers.close()
    await leftovers.close()


async def test_a_time_to_come_is_a_clock_that_was_wrong(tmp_path: Path) -> None:
    collector, marker = Collector(), tmp_path / "collected"
    marker.touch()
    os.utime(marker, (2_000_000_000, 2_000_000_000))
    await Leftovers(marker, collector, clock=lambda: 1_800_000_000.0).look()
    assert collector.asked == 1
