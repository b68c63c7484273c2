"""Edge: one handler for every request: version, route, handler, errors.

Every path exists with and without `/v1.NN`; a `{name}` may hold slashes. Routes are listed in the
module of their noun. Operations that change something run to their end even when the client
leaves (`finish`); everything else is cancelled with its client.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from pogu.api import (
    absent,
    archives,
    attach,
    build,
    check,
    container_files,
    container_io,
    containers,
    control,
    distribution,
    execs,
    images,
    look,
    manifests,
    networks,
    prune,
    search,
    stats,
    system,
    transfer,
    usage,
    volumes,
    why,
)
from pogu.api.call import Call, Version
from pogu.api.http_server import BaseRequest, Connection, Response, StreamResponse
from pogu.api.reply import API_VERSION, MIN_API_VERSION, error_reply, unexpected
from pogu.api.route import Handler, Route
from pogu.containers.caller import PEER
from pogu.errors import EngineError, InvalidParameter, NotFound

if TYPE_CHECKING:
    from pogu.engine import Engine

__all__ = ["Api"]

log = logging.getLogger(__name__)

_MODULES = (
    system,
    usage,
    control,
    check,
    prune,
    look,
    containers,
    container_files,
    attach,
    container_io,
    stats,
    execs,
    transfer,
    archives,
    search,
    images,
    distribution,
    manifests,
    build,
    networks,
    volumes,
    why,
    absent,
)
_PREFIX = re.compile(r"/v(\d+)\.(\d+)(?=/)")
_PREFIX_LIKE = re.compile(r"/v\d[^/]*/")


class Api:
    """Answers requests once the engine is open; those that come earlier wait."""

    def __init__(self, engine: Awaitable[Engine], *, shutdown: Callable[[], None]) -> None:
        self._opening: asyncio.Future[Engine] = asyncio.ensure_future(engine)
        self._shutdown = shutdown
        self._routes = _by_first_word([route for module in _MODULES for route in module.ROUTES])

    async def handle(self, request: BaseRequest) -> StreamResponse:
        """Answer one request, whatever happens."""
        try:
            return await self._answer(request)
        except EngineError as err:
            return self._refuse(request, err)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as err:
            return self._refuse(request, unexpected(err, f"{request.method} {request.path}"))

    async def _answer(self, request: BaseRequest) -> StreamResponse:
        version, path = split_version(request.path)
        handler, parameters = self._find(request.method, path)
        engine = await asyncio.shield(self._opening)
        log.debug("request method=%s path=%s", request.method, path)
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        call = Call(engine, request, parameters, version, self._shutdown)
        PEER.set(call.peer())
        return await handler(call)

    def _find(self, method: str, path: str) -> tuple[Handler, dict[str, str]]:
        for route in self._routes.get(path.split("/", 2)[1], ()):
            match = route.pattern.fullmatch(path)
            if match and method in route.methods:
                return route.handler, match.groupdict()
        raise NotFound("page not found")

    def _refuse(self, request: BaseRequest, error: EngineError) -> Response:
        if isinstance(request.protocol, Connection):
            request.protocol.not_hijacked()
        if request.writer.output_size > 0:
            raise ConnectionResetError("the answer has begun already")
        return error_reply(error)


def split_version(path: str) -> tuple[Version, str]:
    """Take `/v1.NN` off the path. Raises: InvalidParameter in Docker's words."""
    match = _PREFIX.match(path)
    if match is None:
        if _PREFIX_LIKE.match(path):
            raise NotFound("page not found")
        return API_VERSION, path
    version = int(match[1]), int(match[2])
    words = f"client version {match[1]}.{match[2]} is too"
    if version > API_VERSION:
        raise InvalidParameter(
            f"{words} new. Maximum supported API version is {API_VERSION[0]}.{API_VERSION[1]}",
            hint=f"set DOCKER_API_VERSION={API_VERSION[0]}.{API_VERSION[1]}",
        )
    if version < MIN_API_VERSION:
        raise InvalidParameter(
            f"{words} old. Minimum supported API version is "
            f"{MIN_API_VERSION[0]}.{MIN_API_VERSION[1]}, please upgrade your client to a newer"
            " version"
        )
    return version, path[match.end() :]


def _by_first_word(routes: list[Route]) -> dict[str, list[Route]]:
    """Index the routes, so that a request tries only a few patterns."""
    index: dict[str, list[Route]] = {}
    for route in routes:
        index.setdefault(route.first_word, []).append(route)
    return index
