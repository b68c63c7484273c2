"""Edge: what goes in and out of a container: attach, logs, wait, resize."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from pogu.api.call import Call
from pogu.api.detach import DetachKeys, parse_keys
from pogu.api.hijack import Hijacked, HijackedResponse, hijack
from pogu.api.http_server import StreamResponse
from pogu.api.pump import pump_input
from pogu.api.reply import empty
from pogu.api.route import Route
from pogu.api.stream import MULTIPLEXED, RAW, frame, open_stream, stream_type
from pogu.containers.model import Container, Status
from pogu.errors import EngineError, InvalidParameter
from pogu.runtime.broadcast import Listener
from pogu.runtime.logformat import LogView

__all__ = ["ROUTES"]


async def attach(call: Call) -> StreamResponse:
    """Hijack, replay what was logged (`logs`), then live in both directions (`stream`)."""
    container = call.engine.containers.resolve(call.name)
    call.engine.containers.check_attachable(call.name)
    terminal = container.record.config.tty
    keys = DetachKeys(parse_keys(call.text("detachKeys"))) if terminal else None
    connection = hijack(call, stream_type(call, terminal=terminal))
    try:
        if call.flag("logs"):
            await _replay(call, container, connection)
        if call.flag("stream"):
            await _live(call, container, connection, keys)
    except EngineError as err:
        text = (err.message + "\n").encode()
        with contextlib.suppress(ConnectionError):
            await connection.write(text if terminal else frame(2, text))
    finally:
        connection.close()
    return HijackedResponse()


async def _replay(call: Call, container: Container, connection: Hijacked) -> None:
    view = LogView(streams=_streams(call), framed=not container.record.config.tty, joined=True)
    async for piece in call.engine.containers.logs(container.id, view):
        await connection.write(piece)


async def _live(
    call: Call, container: Container, connection: Hijacked, keys: DetachKeys | None
) -> None:
    """End when the output ends, when the client leaves, or at the detach keys."""
    feeds = call.flag("stdin") and container.record.config.open_stdin
    try:
        listener = await call.engine.containers.attach(container.id)
    except EngineError:
        if container.state.status is Status.RUNNING:
            raise
        return  # it was never started: whoever starts it is told why
    wanted = {number for number, name in ((1, "stdout"), (2, "stderr")) if call.flag(name)}
    terminal = container.record.config.tty
    output = asyncio.create_task(_pump_output(listener, connection, wanted, terminal=terminal))
    stdin = listener if feeds else None
    tasks = {output, asyncio.create_task(pump_input(stdin, connection, keys))}
    try:
        while not output.done():
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            ends = {task.result() for task in done if task is not output}
            if "detached" in ends:
                call.engine.containers.detached(container.id)
            if ends & {"detached", "gone"}:
                return
            tasks -= done
        await output
    finally:
        for task in (output, *tasks):
            task.cancel()
        await asyncio.gather(output, *tasks, return_exceptions=True)
        await listener.aclose()


async def _pump_output(
    listener: Listener, connection: Hijacked, wanted: set[int], *, terminal: bool
) -> str:
    async for number, data in listener:
        if number in wanted or terminal:
            try:
                await connection.write(data if terminal else frame(number, data))
            except ConnectionError:
                break
    return "ended"


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
        streams=_streams(call),
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


def _streams(call: Call) -> frozenset[int]:
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
    Route("POST", "/containers/{name}/attach", attach),
    Route("GET", "/containers/{name}/logs", logs),
    Route("POST", "/containers/{name}/wait", wait),
    Route("POST", "/containers/{name}/resize", resize),
]
