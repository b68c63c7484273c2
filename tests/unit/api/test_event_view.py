"""Events as `GET /events` says them."""

from __future__ import annotations

import pytest

from pogu.api.event_view import label_matches, line, matches, visible
from pogu.events import Event

CONTAINER = Event(
    type="container",
    action="exec_start: ls -l",
    actor_id="c0ffee",
    attributes={"name": "web", "image": "busybox:1", "a": "b"},
    time_ns=1_700_000_000_123_456_789,
)
IMAGE = Event(
    type="image", action="tag", actor_id="sha256:1", attributes={"name": "busybox:1"}, time_ns=1
)


def test_a_line_has_the_fields_of_old_and_of_new() -> None:
    assert line(CONTAINER) == {
        "status": "exec_start: ls -l",
        "id": "c0ffee",
        "from": "busybox:1",
        "Type": "container",
        "Action": "exec_start: ls -l",
        "Actor": {"ID": "c0ffee", "Attributes": {"name": "web", "image": "busybox:1", "a": "b"}},
        "scope": "local",
        "time": 1_700_000_000,
        "timeNano": 1_700_000_000_123_456_789,
    }


def test_networks_and_volumes_have_no_old_fields() -> None:
    event = Event(type="network", action="connect", actor_id="n", time_ns=0)
    assert not {"status", "id", "from"} & line(event).keys()


@pytest.mark.parametrize(
    ("event", "filters", "fits"),
    [
        (CONTAINER, {}, True),
        (CONTAINER, {"type": ["image", "container"]}, True),
        (CONTAINER, {"type": ["image"]}, False),
        (CONTAINER, {"event": ["exec_start"]}, True),
        (CONTAINER, {"event": ["exec"]}, False),
        (CONTAINER, {"event": ["exec_start: ls -l"]}, True),
        (CONTAINER, {"container": ["web"]}, True),
        (CONTAINER, {"container": ["/web"]}, True),
        (CONTAINER, {"container": ["c0f"]}, True),
        (CONTAINER, {"container": ["we"]}, False),
        (CONTAINER, {"image": ["busybox"]}, True),
        (CONTAINER, {"image": ["busybox:2"]}, False),
        (CONTAINER, {"label": ["a=b"]}, True),
        (CONTAINER, {"label": ["a=b", "c"]}, False),
        (CONTAINER, {"scope": ["local"]}, True),
        (CONTAINER, {"scope": ["swarm"]}, False),
        (CONTAINER, {"volume": ["web"]}, False),
        (CONTAINER, {"event": []}, True),
        (CONTAINER, {"nonsense": ["x"]}, False),
        (IMAGE, {"image": ["busybox"]}, True),
        (IMAGE, {"image": ["sha256:1"]}, True),
        (IMAGE, {"container": ["web"]}, False),
    ],
)
def test_filters_choose_events(event: Event, filters: dict[str, list[str]], fits: bool) -> None:
    assert matches(event, filters) == fits


@pytest.mark.parametrize(
    ("wanted", "fits"), [("a", True), ("a=b", True), ("a=", False), ("b", False), ("=", False)]
)
def test_a_label_is_a_key_or_a_pair(wanted: str, fits: bool) -> None:
    assert label_matches(wanted, {"a": "b"}) == fits


def test_old_clients_do_not_see_an_images_create() -> None:
    made = Event(type="image", action="create", actor_id="x", time_ns=0)
    assert [visible(made, version) for version in ((1, 45), (1, 46))] == [False, True]
    assert visible(CONTAINER, (1, 24))
