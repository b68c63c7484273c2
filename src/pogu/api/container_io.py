"""Edge: what comes out of a container, and its terminal: logs, wait, resize."""

from __future__ import annotations

import contextlib

import msgspec

from pogu.api.call import Call
from pogu.api.http_server import StreamResponse
from pogu.api.reply import empty
from pogu.api.route import Route
from pogu.api.stream import MULTIPLEXED, RAW, open_stream
from pogu.errors import InvalidParameter
from pogu.runtime.logformat import LogView

__all__ = ["ROUTES", "wanted_streams"]


async def logs(call: Call) -> StreamResponse:
    container = call.engine.containers.resolve(call.name)
    tail = call.text("tail", "all")
    if tail not in ("", "all") and not tail.lstrip("-").isdecimal():
        raise InvalidParameter(
            f'error parsing tail value: "{tail}"', hint="a number of lines, or all"
        )
    lines = None if tail in ("", "all") or int(tail) < 0 else int(tail)
    terminal = container.record.config.tty
    view = LogView(
        streams=wanted_streams(call),
        since_ns=call.time_ns("since") or 0,
        until_ns=call.time_ns("until") or 0,
        tail=lines,
        timestamps=call.flag("timestamps"),
        framed=not terminal,
        joined=_takes_long_frames(call),
    )
    pieces = call.engine.containers.logs(
        container.id, view, follow=call.flag("follow"), with_details=call.flag("details")
    )
    response = await open_stream(call, RAW if terminal else _log_type(call))
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            await response.write(piece)
    return response


def wanted_streams(call: Call) -> frozenset[int]:
    """1 stdout, 2 stderr, as the query asks for them."""
    wanted = ((1, "stdout"), (2, "stderr"))
    return frozenset(number for number, name in wanted if call.flag(name))


def _takes_long_frames(call: Call) -> bool:
    """Docker's engine makes a frame of each line and some libraries count on it; command lines only
    copy what is in the frames.
    """
    return call.http.headers.get("User-Agent", "").startswith(("pogu", "Docker-Client/"))


def _log_type(call: Call) -> str:
    return MULTIPLEXED if call.version >= (1, 42) else RAW


async def wait(call: Call) -> StreamResponse:
    """Subscribe, send the headers (the client starts the container then), answer at the end.

    A start that fails is told to who starts; to `docker run`, which waits too, an error here would
    be a second one.
    """
    condition = call.text("condition") or "not-running"
    exit_of = call.engine.containers.wait(call.name, condition)
    try:
        response = await open_stream(call)
        status = await exit_of
    finally:
        exit_of.cancel()  # a client that left waits no longer
    answer: dict[str, object] = {"StatusCode": status.exit_code}
    if status.error and condition == "not-running":
        answer["Error"] = {"Message": status.error}
    await response.write(msgspec.json.encode(answer) + b"\n")
    return response


async def resize(call: Call) -> StreamResponse:
    height, width = call.integer("h"), call.integer("w")
    if height is None or width is None:
        raise InvalidParameter("invalid resize: h and w are needed", hint="?h=24&w=80")
    await call.engine.containers.resize(call.name, height=height, width=width)
    return empty(200)


ROUTES = [
    Route("GET", "/containers/{name}/logs", logs),
    Route("POST", "/containers/{name}/wait", wait),
    Route("POST", "/containers/{name}/resize", resize),
]
