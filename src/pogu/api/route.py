"""Format: a route: methods, a path with `{name}`s, the handler that answers."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from pogu.api.call import Call
from pogu.api.http_server import StreamResponse
from pogu.errors import EngineError

__all__ = ["Handler", "Route", "finish"]

log = logging.getLogger(__name__)

Handler = Callable[[Call], Awaitable[StreamResponse]]
T = TypeVar("T")

_UNFINISHED: set[asyncio.Task[Any]] = set()


class Route:
    """`GET /images/{name}/json`; a name may hold slashes, and the path may end in one."""

    __slots__ = ("first_word", "handler", "methods", "pattern")

    def __init__(self, methods: str, path: str, handler: Handler) -> None:
        self.methods = frozenset(methods.split("|"))
        self.first_word = path.split("/")[1]
        self.pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>.+?)", path) + "/?")
        self.handler = handler


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`, which goes on to its end even when the client leaves meanwhile."""
    task = asyncio.ensure_future(work)
    _UNFINISHED.add(task)
    task.add_done_callback(_UNFINISHED.discard)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_log_failure)
        raise


def _log_failure(task: asyncio.Task[Any]) -> None:
    """Nobody is there any more to be told."""
    error = None if task.cancelled() else task.exception()
    if isinstance(error, EngineError):
        log.info("failed after its client had left error=%s", error)
    elif error is not None:
        log.error("failed after its client had left", exc_info=error)
