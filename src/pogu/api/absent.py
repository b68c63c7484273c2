"""Edge: what Docker's API has and Pogu does not: refused in clear words."""

from __future__ import annotations

from pogu.api.call import Call
from pogu.api.http_server import StreamResponse
from pogu.api.reply import json_reply
from pogu.api.route import Handler, Route
from pogu.errors import NotFound, NotImplementedByEngine, Unavailable

__all__ = ["ROUTES"]


async def _swarm(call: Call) -> StreamResponse:
    raise Unavailable(
        "This node is not a swarm manager. Use "
        '"docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
        hint="Pogu runs containers on one machine; it has no swarm mode",
    )


async def _no_plugins(call: Call) -> StreamResponse:
    return json_reply([])


async def _no_such_plugin(call: Call) -> StreamResponse:
    """`docker inspect NAME` asks this last, and says `No such object` when it is a 404."""
    raise NotFound(f'plugin "{call.name}" not found')


async def _no_checkpoints(call: Call) -> StreamResponse:
    """A Docker without experimental features answers so."""
    raise NotImplementedByEngine(
        "This experimental feature is disabled by default. Start the Docker daemon in experimental"
        " mode in order to enable it.",
        hint="Pogu has no checkpoints: `pogu pause` freezes a container",
    )


def _not_yet(what: str, hint: str = "") -> Handler:
    async def refuse(call: Call) -> StreamResponse:
        raise NotImplementedByEngine(f"{what} is not implemented by Pogu", hint=hint or None)

    return refuse


_ANY = "GET|POST|PUT|DELETE|HEAD"

ROUTES = [
    *(
        Route(_ANY, path, _swarm)
        for noun in ("swarm", "nodes", "services", "tasks", "configs", "secrets")
        for path in (f"/{noun}", f"/{noun}/{{rest}}")
    ),
    Route(_ANY, "/containers/{name}/checkpoints", _no_checkpoints),
    Route(_ANY, "/containers/{name}/checkpoints/{rest}", _no_checkpoints),
    Route("POST", "/networks/create", _not_yet("network create")),
    Route("POST", "/networks/{name}/connect", _not_yet("network connect")),
    Route("POST", "/networks/{name}/disconnect", _not_yet("network disconnect")),
    Route("DELETE", "/networks/{name}", _not_yet("network rm")),
    Route("POST", "/session", _not_yet("BuildKit", "set DOCKER_BUILDKIT=0, or use `pogu build`")),
    Route("POST", "/grpc", _not_yet("BuildKit", "set DOCKER_BUILDKIT=0, or use `pogu build`")),
    Route("GET", "/plugins", _no_plugins),
    Route("GET", "/plugins/{name}/json", _no_such_plugin),
    Route(_ANY, "/plugins/{rest}", _not_yet("plugins")),
]
