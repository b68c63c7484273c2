"""Edge: `/pogu/why/{name}`: why a container ended, or is as it is."""

from __future__ import annotations

import msgspec

from pogu.api.call import Call
from pogu.api.http_server import StreamResponse
from pogu.api.reply import json_reply
from pogu.api.route import Route

__all__ = ["ROUTES"]


async def why(call: Call) -> StreamResponse:
    return json_reply(msgspec.to_builtins(await call.engine.containers.explain(call.name)))


ROUTES = [Route("GET", "/pogu/why/{name}", why)]
