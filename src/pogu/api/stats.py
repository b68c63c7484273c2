"""Edge: `/containers/{name}/stats` as Docker's clients ask, `/pogu/stats` for many at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

import msgspec

from pogu.api.call import Call
from pogu.api.http_server import StreamResponse
from pogu.api.reply import json_reply
from pogu.api.route import Route
from pogu.api.stats_view import stats_json
from pogu.api.stream import open_stream
from pogu.containers.stats import Sample
from pogu.errors import InvalidParameter

__all__ = ["ROUTES"]


async def stats(call: Call) -> StreamResponse:
    """One object, or one a second until the container is removed.

    `stream=false` gives two readings an interval apart in one object, `one-shot` a single one.
    """
    containers = call.engine.containers
    container = containers.resolve(call.name)
    stream = call.flag("stream") or not call.text("stream")
    one_shot = call.flag("one-shot")
    if stream and one_shot:
        raise InvalidParameter("cannot have stream=true and one-shot=true")
    if not stream:
        sample = await containers.usage.stats_once(container.id, with_previous=not one_shot)
        return json_reply(stats_json(sample))
    response = await open_stream(call)
    async with aclosing(containers.usage.stats([container.id])) as moments:
        async for samples in moments:
            if not samples:
                break
            await response.write(msgspec.json.encode(stats_json(samples[0])) + b"\n")
    return response


async def stats_of_many(call: Call) -> StreamResponse:
    """A line a second: what those in `name` use, or all that run (`all`: the others too)."""
    names = [call.engine.containers.resolve(name).id for name in call.texts("name")]
    everyone = call.flag("all")
    moments = call.engine.containers.usage.stats(
        names or None, running_only=not everyone and not names
    )
    response = await open_stream(call)
    async with aclosing(moments):
        async for samples in moments:
            await response.write(_line(samples))
            if names and not samples:
                break
    return response


def _line(samples: Sequence[Sample]) -> bytes:
    return msgspec.json.encode({"Stats": [stats_json(sample) for sample in samples]}) + b"\n"


ROUTES = [
    Route("GET", "/containers/{name}/stats", stats),
    Route("GET", "/pogu/stats", stats_of_many),
]
