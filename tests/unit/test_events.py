"""Events: order, replay, subscription."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from pogu.events import EventBus, EventJournal


def a_bus(keep: int = 1024) -> EventBus:
    ticks = itertools.count(1)
    return EventBus(clock_ns=lambda: next(ticks), keep=keep)


async def test_a_subscriber_sees_what_is_published_after_it_came() -> None:
    bus = a_bus()
    bus.publish("container", "create", "early")
    with bus.subscribe() as events:
        bus.publish("container", "start", "late", {"name": "x"})
        event = await anext(events)
    assert (event.actor_id, event.action, event.attributes) == ("late", "start", {"name": "x"})


def test_the_past_is_bounded_in_number_and_time() -> None:
    bus = a_bus(keep=3)
    for number in range(5):
        bus.publish("image", "tag", str(number))
    assert [event.actor_id for event in bus.past(since_ns=0)] == ["2", "3", "4"]
    assert [event.actor_id for event in bus.past(since_ns=4, until_ns=4)] == ["3"]


def test_what_recurs_pushes_nothing_out_and_is_told_in_order() -> None:
    bus = a_bus(keep=2)
    bus.publish("container", "create", "c")
    for _ in range(300):
        bus.publish("container", "exec_die", "c", recurring=True)
    bus.publish("container", "die", "c")
    actions = [event.action for event in bus.past(since_ns=0)]
    assert (actions[0], actions[-1], len(actions)) == ("create", "die", 258)


async def test_who_has_left_hears_nothing_more() -> None:
    bus = a_bus()
    with bus.subscribe():
        pass
    bus.publish("image", "tag", "1")
    assert not bus._queues


async def test_an_event_from_a_thread_wakes_a_subscriber() -> None:
    bus = a_bus()
    with bus.subscribe() as events:
        await asyncio.to_thread(bus.publish, "volume", "destroy", "x")
        event = await asyncio.wait_for(anext(events), 5)
    assert event.actor_id == "x"


# ---- the journal -----------------------------------------------------------------------------


def told(journal: EventJournal) -> list[str]:
    """What a new bus on the same file knows."""
    bus = EventBus(journal=journal)
    found = [f"{event.action} {event.actor_id}" for event in bus.past(since_ns=0)]
    bus.close()
    return found


def test_the_past_outlives_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    bus = EventBus(journal=EventJournal(path))
    bus.publish("container", "exec_start", "c", recurring=True)
    bus.publish("container", "die", "c", {"exitCode": "3"})
    assert path.stat().st_mode & 0o777 == 0o600
    later = EventBus(journal=EventJournal(path))
    assert [event.attributes for event in later.past(since_ns=0)] == [{"exitCode": "3"}]
    later.close()
    bus.close()


def test_the_journal_stays_bounded(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    bus = EventBus(journal=EventJournal(path, keep=10), keep=10)
    for number in range(200):
        bus.publish("image", "tag", str(number))
        assert len(path.read_text().splitlines()) <= 40
    bus.close()
    assert told(EventJournal(path, keep=3)) == ["tag 197", "tag 198", "tag 199"]


def test_a_line_cut_by_a_power_cut_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    bus = EventBus(journal=EventJournal(path))
    bus.publish("image", "tag", "whole")
    bus.close()
    with path.open("ab") as file:
        file.write(b'{"type":"image","act')
    assert told(EventJournal(path)) == ["tag whole"]


def test_a_full_disk_ends_no_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = EventBus(journal=EventJournal(tmp_path / "events.jsonl"))

    def full(_fd: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    bus.publish("image", "tag", "x")
    assert len(bus.past(since_ns=0)) == 1
    bus.close()
