"""Format: the filters of `ps` and of `container prune`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from pogu.api.call import parse_time_ns
from pogu.api.event_view import label_matches
from pogu.api.network_settings import endpoint_settings, listed_ports
from pogu.api.units import unix_ns
from pogu.containers.model import Container, Status
from pogu.errors import InvalidParameter

__all__ = ["KNOWN", "check", "matches", "prunable"]

KNOWN = (
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
)

Filters = Mapping[str, Sequence[str]]


def check(filters: Filters) -> None:
    """Refuse values that cannot mean anything. Raises: InvalidParameter."""
    for value in filters.get("status", ()):
        if value not in list(Status):
            words = ", ".join(Status)
            raise InvalidParameter(f"invalid filter 'status={value}'", hint=f"one of {words}")
    for value in filters.get("exited", ()):
        if not re.fullmatch(r"-?\d+", value):
            raise InvalidParameter(f"invalid filter 'exited={value}'", hint="an exit code")
    for name in ("name", "id"):
        for value in filters.get(name, ()):
            _pattern(value)


def matches(container: Container, filters: Filters) -> bool:
    """True when all labels fit and every other filter has one value that does.

    `ancestor`, `before` and `since` speak of other things and are the caller's.
    """
    labels = container.record.config.labels or {}
    if not all(label_matches(value, labels) for value in filters.get("label", ())):
        return False
    return all(
        any(fits(container, value) for value in filters[name])
        for name, fits in _FITS.items()
        if filters.get(name)
    )


def _pattern(value: str) -> re.Pattern[str]:
    try:
        return re.compile(value)
    except re.error as err:
        raise InvalidParameter(f"invalid filter '{value}': {err}") from err


def _by_name(container: Container, value: str) -> bool:
    pattern = _pattern(value)
    names = (container.name, *container.linked_as)
    return any(pattern.search(name) or pattern.search(f"/{name}") for name in names)


def _by_exit_code(container: Container, value: str) -> bool:
    ended = container.state.status in (Status.EXITED, Status.DEAD)
    return ended and container.state.exit_code == int(value)


def _by_health(container: Container, value: str) -> bool:
    health = container.state.health
    return value == (health.status if health is not None else "none")


def _by_network(container: Container, value: str) -> bool:
    endpoint = container.endpoint
    by_id = endpoint is not None and endpoint.network_id.startswith(value)
    return by_id or value in endpoint_settings(container)


def _by_volume(container: Container, value: str) -> bool:
    return any(value in (one.name, one.destination) for one in container.record.mounts)


def _ports(value: str) -> tuple[int, int, str]:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?(?:/(tcp|udp|sctp))?", value)
    if match is None:
        raise InvalidParameter(f"invalid port: {value}", hint="like 80, 80/udp or 8000-9000/tcp")
    return int(match[1]), int(match[2] or match[1]), match[3] or "tcp"


def _by_port(key: str) -> Callable[[Container, str], bool]:
    def fits(container: Container, value: str) -> bool:
        first, last, protocol = _ports(value)
        numbers = [port.get(key) for port in listed_ports(container) if port["Type"] == protocol]
        return any(isinstance(number, int) and first <= number <= last for number in numbers)

    return fits


_FITS: dict[str, Callable[[Container, str], bool]] = {
    "id": lambda container, value: bool(_pattern(value).search(container.id)),
    "name": _by_name,
    "status": lambda container, value: container.state.status == value,
    "exited": _by_exit_code,
    "network": _by_network,
    "volume": _by_volume,
    "publish": _by_port("PublicPort"),
    "expose": _by_port("PrivatePort"),
    "health": _by_health,
    "is-task": lambda container, value: value.lower() in ("false", "0"),
    "isolation": lambda container, value: value == "default",
}


def prunable(container: Container, filters: Filters) -> bool:
    """True for a stopped container that the prune filters do not protect."""
    if container.state.status not in (Status.CREATED, Status.EXITED, Status.DEAD):
        return False
    labels = container.record.config.labels or {}
    if not all(label_matches(value, labels) for value in filters.get("label", ())):
        return False
    if any(label_matches(value, labels) for value in filters.get("label!", ())):
        return False
    created = unix_ns(container.record.created)
    return all(created < (parse_time_ns("until", value) or 0) for value in filters.get("until", ()))
