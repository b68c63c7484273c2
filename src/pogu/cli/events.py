"""Edge: `events`."""

from __future__ import annotations

import time

from pogu.cli.context import Context
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.inspect import encode_unescaped
from pogu.cli.listing import FILTER, filters
from pogu.cli.moment import unix_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Json = dict[str, Any]

__all__ = ["COMMANDS", "event_text"]


def _events(context: Context, values: Values) -> int:
    parameters: dict[str, object] = {
        "since": unix_time(values.text("since"), "since") or None,
        "until": unix_time(values.text("until"), "until") or None,
        "filters": filters(values.texts("filter")),
    }
    show = _shower(values.text("format"))
    for event in context.request("GET", "/events", parameters).objects():
        context.out(show(event))
    return 0


def _shower(template: str) -> Callable[[Json], str]:
    if not template:
        return event_text
    if template in ("json", "{{json .}}"):
        return encode_unescaped
    from pogu.cli.go_view import template_function

    return template_function(template)


def event_text(event: Json) -> str:
    """`2026-01-02T03:04:05.000000000Z container start 1234… (image=busybox, name=web)`."""
    actor = event["Actor"]
    attributes = ", ".join(f"{key}={actor['Attributes'][key]}" for key in sorted(_keys(actor)))
    words = [_time_text(event), event["Type"], event["Action"], actor["ID"]]
    return " ".join([*words, *([f"({attributes})"] if attributes else [])])


def _keys(actor: Json) -> list[str]:
    return list(actor.get("Attributes") or ())


def _time_text(event: Json) -> str:
    seconds, fraction = divmod(event["timeNano"], 1_000_000_000)
    zone = time.strftime("%z", time.localtime(seconds))
    zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return time.strftime(f"%Y-%m-%dT%H:%M:%S.{fraction:09d}{zone}", time.localtime(seconds))


COMMANDS = {
    "events": Command(
        "events",
        "[OPTIONS]",
        "Get real time events from the engine",
        _events,
        [
            FILTER,
            Flag("--format", "text", "json, or a Go template for each event"),
            Flag("--since", "text", "Begin with events since a time or a duration ago (42m)"),
            Flag("--until", "text", "End at a time or a duration ago"),
        ],
        most=0,
    )
}
