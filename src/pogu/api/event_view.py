"""Format: events as `GET /events` says them, and its filters. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pogu.api.call import Version
from pogu.events import Event

__all__ = ["label_matches", "line", "matches", "visible"]

_BY_ACTOR = ("container", "image", "network", "volume")


def line(event: Event) -> dict[str, object]:
    """Return one line, with the fields of before API 1.22 that clients still read."""
    legacy: dict[str, object] = {}
    if event.type in ("container", "image"):
        legacy = {"status": event.action, "id": event.actor_id}
    if event.type == "container" and "image" in event.attributes:
        legacy["from"] = event.attributes["image"]
    return legacy | {
        "Type": event.type,
        "Action": event.action,
        "Actor": {"ID": event.actor_id, "Attributes": dict(event.attributes)},
        "scope": "local",
        "time": event.time_ns // 1_000_000_000,
        "timeNano": event.time_ns,
    }


def visible(event: Event, version: Version) -> bool:
    """Older clients do not know an image's `create`."""
    return version >= (1, 46) or (event.type, event.action) != ("image", "create")


def matches(event: Event, filters: Mapping[str, Sequence[str]]) -> bool:
    """True when every named filter has one value that fits."""
    return all(_fits(event, name, values) for name, values in filters.items() if values)


def _fits(event: Event, name: str, values: Sequence[str]) -> bool:
    if name == "type":
        return event.type in values
    if name == "event":
        return any(f"{event.action}:".startswith(f"{value}:") for value in values)
    if name == "label":
        return all(label_matches(value, event.attributes) for value in values)
    if name == "scope":
        return "local" in values
    if name == "image":
        return any(_names_image(event, value) for value in values)
    if name in _BY_ACTOR:
        return event.type == name and any(_names_actor(event, value) for value in values)
    return False


def _names_actor(event: Event, value: str) -> bool:
    own_name = event.attributes.get("name", "")
    return event.actor_id.startswith(value) or own_name == value.removeprefix("/")


def _names_image(event: Event, value: str) -> bool:
    """An image by its ID or name, or a container by the image it runs; the tag may be left out."""
    names = (event.actor_id, event.attributes.get("name", ""), event.attributes.get("image", ""))
    told = names if event.type == "image" else names[2:]
    return any(value in (name, name.rpartition(":")[0]) for name in told if name)


def label_matches(wanted: str, labels: Mapping[str, str]) -> bool:
    """`key`, `key=value`; a missing label never matches."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)
