"""Edge: `/pogu`: what only Pogu's own CLI asks: status, stop, doctor, bootstrap."""

from __future__ import annotations

import os
import resource
import time

from pogu import __version__
from pogu.api.call import Call
from pogu.api.http_server import StreamResponse
from pogu.api.reply import json_reply
from pogu.api.route import Route
from pogu.api.stream import JsonLines
from pogu.containers.model import Status
from pogu.images.bootstrap import bootstrap

__all__ = ["ROUTES"]

_STARTED = time.time()


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


async def status(call: Call) -> StreamResponse:
    engine = call.engine
    containers = engine.containers.all()
    running = sum(container.state.status is Status.RUNNING for container in containers)
    return json_reply(
        {
            "Version": __version__,
            "Pid": os.getpid(),
            "UptimeSeconds": round(time.time() - _STARTED, 1),
            "MemoryBytes": _resident_bytes(),
            "Root": str(engine.config.paths.root),
            "RunRoot": str(engine.config.paths.run_root),
            "Socket": str(engine.config.paths.socket),
            "Runtime": str(engine.runtime.binary),
            "Containers": len(containers),
            "Running": running,
            "Builds": engine.builder.running,
            "Images": len(engine.images.all()),
            "IdleExitSeconds": engine.config.idle_exit_s,
        }
    )


async def stop(call: Call) -> StreamResponse:
    """Stop the engine after the answer; containers go on."""
    call.shutdown()
    return json_reply({"Pid": os.getpid()})


async def doctor(call: Call) -> StreamResponse:
    from pogu.doctor import examine, findings_json

    async def probe() -> str:
        return await call.engine.runtime.described()

    return json_reply(findings_json(await examine(call.engine.config, probe)))


async def bootstrap_image(call: Call) -> StreamResponse:
    """Make a base image from the host's packages; lines of progress, the ID last."""
    lines = JsonLines(call)
    include = [word for text in call.texts("include") for word in text.split(",") if word]
    try:
        progress = bootstrap(
            call.text("name"),
            include=include,
            images=call.engine.images,
            paths=call.engine.config.paths,
        )
        async for line in progress:
            await lines.send({"status": line})
    except Exception as err:
        return await lines.fail(err)
    return await lines.end()


ROUTES = [
    Route("GET", "/pogu/status", status),
    Route("POST", "/pogu/stop", stop),
    Route("GET", "/pogu/doctor", doctor),
    Route("POST", "/pogu/bootstrap", bootstrap_image),
]
