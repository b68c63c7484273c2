"""Edge: `/_ping`, `/version`, `/info`, `/events`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec

from pogu.api import event_view, system_view
from pogu.api.call import Call
from pogu.api.http_server import Response, StreamResponse
from pogu.api.reply import HEADERS, json_reply
from pogu.api.route import Route
from pogu.api.stream import open_stream
from pogu.events import Event

__all__ = ["ROUTES"]

_PING = HEADERS | {
    "Builder-Version": "1",
    "Swarm": "inactive",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
    "Content-Type": "text/plain; charset=utf-8",
}


async def ping(call: Call) -> StreamResponse:
    return Response(body=b"OK", headers=_PING)


async def version(call: Call) -> StreamResponse:
    return json_reply(system_view.version())


async def info(call: Call) -> StreamResponse:
    return json_reply(system_view.info(call.engine))


async def events(call: Call) -> StreamResponse:
    """What happened since `since`, then what happens until `until`."""
    filters = call.filters()
    since, until = call.time_ns("since"), call.time_ns("until")
    with call.engine.events.subscribe() as live:
        past = call.engine.events.past(since_ns=since, until_ns=until) if since else []
        response = await open_stream(call)
        async for event in _until(past, live, until):
            if event_view.visible(event, call.version) and event_view.matches(event, filters):
                await response.write(msgspec.json.encode(event_view.line(event)) + b"\n")
    return response


async def _until(
    past: list[Event], live: AsyncIterator[Event], until_ns: int | None
) -> AsyncIterator[Event]:
    """Yield the past, then the present, and end when the clock passes `until_ns`."""
    for event in past:
        yield event
    while True:
        wait_s = None if until_ns is None else until_ns / 1e9 - time.time()
        if wait_s is not None and wait_s <= 0:
            return
        try:
            yield await asyncio.wait_for(anext(live), wait_s)
        except TimeoutError:
            return


ROUTES = [
    Route("GET|HEAD", "/_ping", ping),
    Route("GET", "/version", version),
    Route("GET", "/info", info),
    Route("GET", "/events", events),
]
