"""Edge: `/_ping`, `/version`, `/info`, `/events`, `/auth`, `/system/df`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec

from pogu.api import container_view, event_view, image_view, system_view, volume_view
from pogu.api.call import Call
from pogu.api.http_server import Response, StreamResponse
from pogu.api.reply import HEADERS, json_reply
from pogu.api.route import Route
from pogu.api.stream import open_stream
from pogu.errors import NotImplementedByEngine
from pogu.events import Event
from pogu.linux.blocking import in_thread

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


async def auth(call: Call) -> StreamResponse:
    raise NotImplementedByEngine(
        "login is not implemented by Pogu",
        hint="pulling and pushing come with registries; `pogu image bootstrap` makes base images",
    )


async def disk_usage(call: Call) -> StreamResponse:
    """Docker's `system df`; `type` limits what is measured."""
    wanted = call.texts("type")
    engine = call.engine
    answer: dict[str, object] = {}
    if not wanted or "image" in wanted:
        images = engine.images.all()
        used = [container.record.image_id for container in engine.containers.all()]
        layers = {layer.chain_id: layer.size_bytes for layer in engine.layers.all()}
        answer["LayersSize"] = sum(layers.values())
        answer["Images"] = [
            image_view.summary(image, containers=used.count(image.id)) for image in images
        ]
    if not wanted or "container" in wanted:
        listed = []
        for container in engine.containers.all():
            sizes = await in_thread(engine.containers.size, container)
            listed.append(container_view.summary(container, now=time.time(), sizes=sizes))
        answer["Containers"] = listed
    if not wanted or "volume" in wanted:
        users = volume_view.users(engine.containers.all())
        answer["Volumes"] = [
            await in_thread(volume_view.measured, volume, len(users.get(volume.name, ())))
            for volume in engine.volumes.all()
        ]
    if not wanted or "build-cache" in wanted:
        answer["BuildCache"] = []
    return json_reply(answer)


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
    Route("POST", "/auth", auth),
    Route("GET", "/system/df", disk_usage),
]
