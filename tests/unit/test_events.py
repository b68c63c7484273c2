"""Events: order, replay, subscription."""

from __future__ import annotations

import asyncio
import itertools

from pogu.events import EventBus


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
