"""Edge: `/containers/{name}/exec` and `/exec/{id}`."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec

from pogu.api.call import Call, as_type
from pogu.api.create_body import without_nulls
from pogu.api.detach import DetachKeys, parse_keys
from pogu.api.hijack import Hijacked, HijackedResponse, hijack
from pogu.api.http_server import StreamResponse
from pogu.api.pump import pump_input
from pogu.api.reply import empty, hinted, json_reply, unexpected
from pogu.api.route import Route, finish
from pogu.api.stream import frame, stream_type
from pogu.containers.execs import Exec, ExecRequest
from pogu.errors import EngineError, InvalidParameter
from pogu.runtime.exec import ExecProcess

__all__ = ["ROUTES"]


class _StartBody(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    detach: bool = False
    tty: bool = False
    console_size: tuple[int, int] = (0, 0)


async def create(call: Call) -> StreamResponse:
    tree: dict[str, Any] = without_nulls(await call.json_body())
    if isinstance(tree.get("Cmd"), str):
        tree["Cmd"] = [tree["Cmd"]]
    request = as_type(tree, ExecRequest)
    parse_keys(request.detach_keys)
    execution = call.engine.containers.execs.create(call.name, request)
    return json_reply({"Id": execution.id}, status=201)


async def start(call: Call) -> StreamResponse:
    """Detached: answer when it runs. Else hijack; it ends when the process does."""
    body = as_type(without_nulls(await call.json_body()), _StartBody)
    execs = call.engine.containers.execs
    execution = execs.find(call.name)
    execs.check_startable(execution)
    if body.detach:
        await finish(_start_detached(call, execution, body))
        return empty(200)
    connection = hijack(call, stream_type(call, terminal=body.tty))
    try:
        await _attached(call, execution, body, connection)
    except ConnectionError:
        raise
    except Exception as err:
        called = f"exec in {execution.container_id[:12]}"
        said = err if isinstance(err, EngineError) else unexpected(err, called)
        text = (hinted(said) + "\r\n").encode()
        with contextlib.suppress(ConnectionError):
            await connection.write(text if body.tty else frame(1, text))
    finally:
        connection.close()
    return HijackedResponse()


async def _start_detached(call: Call, execution: Exec, body: _StartBody) -> None:
    execs = call.engine.containers.execs
    process = await execs.start(execution, console_size=body.console_size)
    try:
        await process.started()
    except EngineError:
        await execs.end(execution)  # its exit code is known when the client reads of it
        raise


async def _attached(call: Call, execution: Exec, body: _StartBody, connection: Hijacked) -> None:
    """End when the process ends, when the client leaves, or at the detach keys."""
    request, execs = execution.request, call.engine.containers.execs
    wanted = {1: request.attach_stdout, 2: request.attach_stderr}

    async def sink(stream: int, data: bytes) -> None:
        if wanted[stream] or request.tty:
            await connection.write(data if body.tty else frame(stream, data))

    process = await finish(execs.start(execution, sink=sink, console_size=body.console_size))
    keys = DetachKeys(parse_keys(request.detach_keys)) if request.tty else None
    ending = asyncio.ensure_future(execs.end(execution))
    feeding = asyncio.ensure_future(_feed(process, connection, keys, feeds=request.attach_stdin))
    try:
        await asyncio.wait((ending, feeding), return_when=asyncio.FIRST_COMPLETED)
        if feeding.done() and feeding.result() in ("detached", "gone"):
            if feeding.result() == "detached":
                call.engine.containers.execs.detached(execution)
            return
        await ending
    finally:
        process.discard_output()
        for task in (ending, feeding):
            task.cancel()
        await asyncio.gather(ending, feeding, return_exceptions=True)


async def _feed(
    process: ExecProcess, connection: Hijacked, keys: DetachKeys | None, *, feeds: bool
) -> str:
    """As `pump_input`; the input of a client that has gone ends for the process too."""
    if feeds:
        outcome = await pump_input(process, connection, keys)
    else:
        while await connection.read():
            pass
        outcome = "gone" if connection.vanished else "closed"
    if outcome == "gone":
        await process.close_stdin()
    return outcome


async def resize(call: Call) -> StreamResponse:
    height, width = call.integer("h"), call.integer("w")
    if height is None or width is None:
        raise InvalidParameter("invalid resize: h and w are needed", hint="?h=24&w=80")
    execs = call.engine.containers.execs
    await execs.resize(execs.find(call.name), height=height, width=width)
    return empty(200)


async def inspect(call: Call) -> StreamResponse:
    return json_reply(inspected(call.engine.containers.execs.find(call.name)))


def inspected(execution: Exec) -> dict[str, object]:
    """Return the answer to `GET /exec/{id}/json`."""
    request = execution.request
    config: dict[str, object] = {
        "tty": request.tty,
        "entrypoint": request.cmd[0],
        "arguments": request.cmd[1:],
        "privileged": request.privileged,
    }
    if request.user:
        config["user"] = request.user
    return {
        "ID": execution.id,
        "Running": execution.running,
        "ExitCode": execution.exit_code,
        "ProcessConfig": config,
        "OpenStdin": request.attach_stdin,
        "OpenStderr": request.attach_stderr,
        "OpenStdout": request.attach_stdout,
        "CanRemove": execution.exit_code is not None,
        "ContainerID": execution.container_id,
        "DetachKeys": "",
        "Pid": execution.pid,
    }


ROUTES = [
    Route("POST", "/containers/{name}/exec", create),
    Route("POST", "/exec/{name}/start", start),
    Route("POST", "/exec/{name}/resize", resize),
    Route("GET", "/exec/{name}/json", inspect),
]
