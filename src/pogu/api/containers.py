"""Edge: `/containers`: list, create, inspect, and the verbs of their life."""

from __future__ import annotations

import time
from collections.abc import Iterable

from pogu.api import container_filter, container_view
from pogu.api.call import Call
from pogu.api.create_body import create_request, update_request
from pogu.api.http_server import StreamResponse
from pogu.api.reply import empty, json_reply
from pogu.api.route import Route, finish
from pogu.containers.model import Container, Status
from pogu.errors import EngineError, InvalidParameter
from pogu.images.image import Image
from pogu.images.platform import fits, host_platform, parse_platform, platform_of
from pogu.linux.blocking import in_thread

__all__ = ["ROUTES"]

_UP = (Status.RUNNING, Status.PAUSED, Status.RESTARTING)
"""What `ps` lists without --all."""


async def list_containers(call: Call) -> StreamResponse:
    filters = call.filters(*container_filter.KNOWN)
    container_filter.check(filters)
    limit = call.integer("limit") or 0
    everything = call.flag("all") or limit > 0 or bool(filters.get("status"))
    chosen = [
        container
        for container in _between(call, filters)
        if (everything or container.state.status in _UP)
        and container_filter.matches(container, filters)
    ]
    chosen = chosen[:limit] if limit > 0 else chosen
    names = _image_names(call, chosen)
    now = time.time()
    answer = []
    for container in chosen:
        sizes = None
        if call.flag("size"):
            sizes = await in_thread(call.engine.containers.usage.size, container)
        name = names[container.record.image_name, container.record.image_id]
        answer.append(container_view.summary(container, now=now, image_name=name, sizes=sizes))
    return json_reply(answer)


def _between(call: Call, filters: dict[str, list[str]]) -> list[Container]:
    """Return containers, newest first, that `before`, `since` and `ancestor` leave."""
    containers = call.engine.containers.all()
    before = filters.get("before") or call.texts("before")
    since = filters.get("since") or call.texts("since")
    for name in before:
        limit = call.engine.containers.resolve(name).record.created
        containers = [one for one in containers if one.record.created < limit]
    for name in since:
        limit = call.engine.containers.resolve(name).record.created
        containers = [one for one in containers if one.record.created > limit]
    if filters.get("ancestor"):
        family = _descendants(call, filters["ancestor"])
        containers = [one for one in containers if one.record.image_id in family]
    return containers


def _descendants(call: Call, names: Iterable[str]) -> set[str]:
    """Return the IDs of the named images and of all that were built on them."""
    family: set[str] = set()
    for name in names:
        try:
            family.add(call.engine.images.resolve(name).id)
        except EngineError:
            continue
    images = call.engine.images.all()
    while True:
        grown = family | {image.id for image in images if image.parent in family}
        if grown == family:
            return family
        family = grown


def _image_names(call: Call, containers: list[Container]) -> dict[tuple[str, str], str]:
    """Say for each (name, ID) what the Image column shows: the ID when the name moved on."""
    shown: dict[tuple[str, str], str] = {}
    for record in (container.record for container in containers):
        key = record.image_name, record.image_id
        if key in shown:
            continue
        try:
            same = call.engine.images.resolve(record.image_name).id == record.image_id
        except EngineError:
            same = False
        shown[key] = record.image_name if same else record.image_id
    return shown


async def create(call: Call) -> StreamResponse:
    request = create_request(await call.json_body())
    image = None
    if call.text("platform"):
        wanted = parse_platform(call.text("platform"))
        image = call.engine.indexes.for_platform(request.image, wanted)
    container, warnings = await finish(
        call.engine.containers.create(
            request,
            name=call.text("name") or None,
            image=image,
            replaces=call.flag("replace"),
        )
    )
    if image is None:
        warnings = warnings + _foreign(call.engine.images.get(container.record.image_id))
    return json_reply({"Id": container.id, "Warnings": warnings}, status=201)


def _foreign(image: Image) -> list[str]:
    """Docker's warning about an image that is not for this host, and that nobody asked for."""
    found, host = platform_of(image.config), host_platform()
    if fits(found, host):
        return []
    return [
        f"The requested image's platform ({found}) does not match the detected host platform"
        f" ({host}) and no specific platform was requested"
    ]


async def inspect(call: Call) -> StreamResponse:
    engine = call.engine
    container = engine.containers.resolve(call.name)
    sizes = await in_thread(engine.containers.usage.size, container) if call.flag("size") else None
    try:
        lower = engine.layers.lower_directories(container.record.top_layer)
    except EngineError:
        lower = ()
    paths = engine.config.paths
    return json_reply(
        container_view.inspected(
            container,
            paths=paths,
            lower_directories=lower,
            sizes=sizes,
            exec_ids=engine.containers.execs.of_container(container.id),
            links=engine.containers.links_of(container),
            apparmor_profile=engine.containers.apparmor_profile(container),
        )
    )


async def start(call: Call) -> StreamResponse:
    if (await call.body()).strip() not in (b"", b"{}", b"null"):
        raise InvalidParameter(
            "starting container with non-empty request body was deprecated since API v1.22 and"
            " removed in v1.24",
            hint="send the HostConfig when the container is created",
        )
    if call.text("checkpoint"):
        raise InvalidParameter(
            "checkpoint is only supported in experimental mode",
            hint="Pogu has no checkpoints: `pogu pause` freezes a container",
        )
    await finish(call.engine.containers.start(call.name))
    return empty()


async def stop(call: Call) -> StreamResponse:
    await finish(
        call.engine.containers.stop(
            call.name, timeout_s=call.integer("t"), signal=call.text("signal") or None
        )
    )
    return empty()


async def restart(call: Call) -> StreamResponse:
    await finish(
        call.engine.containers.restart(
            call.name, timeout_s=call.integer("t"), signal=call.text("signal") or None
        )
    )
    return empty()


async def kill(call: Call) -> StreamResponse:
    signal = call.text("signal") or "KILL"
    await finish(call.engine.containers.kill(call.name, signal=signal))
    return empty()


async def pause(call: Call) -> StreamResponse:
    await finish(call.engine.containers.pause(call.name))
    return empty()


async def unpause(call: Call) -> StreamResponse:
    await finish(call.engine.containers.unpause(call.name))
    return empty()


async def update(call: Call) -> StreamResponse:
    asked = update_request(await call.json_body())
    warnings = await finish(call.engine.containers.update(call.name, asked))
    return json_reply({"Warnings": warnings})


async def rename(call: Call) -> StreamResponse:
    new_name = call.text("name")
    if not new_name:
        raise InvalidParameter("Neither old nor new names may be empty")
    await finish(call.engine.containers.rename(call.name, new_name))
    return empty()


async def remove(call: Call) -> StreamResponse:
    if call.flag("link"):
        await finish(call.engine.containers.remove_link(call.name))
        return empty()
    await finish(
        call.engine.containers.remove(call.name, force=call.flag("force"), volumes=call.flag("v"))
    )
    return empty()


async def top(call: Call) -> StreamResponse:
    words = call.text("ps_args").split()
    titles, rows = await call.engine.containers.usage.top(call.name, words)
    return json_reply({"Titles": titles, "Processes": rows})


ROUTES = [
    Route("GET", "/containers/json", list_containers),
    Route("POST", "/containers/create", create),
    Route("GET", "/containers/{name}/json", inspect),
    Route("GET", "/containers/{name}/top", top),
    Route("POST", "/containers/{name}/start", start),
    Route("POST", "/containers/{name}/stop", stop),
    Route("POST", "/containers/{name}/restart", restart),
    Route("POST", "/containers/{name}/kill", kill),
    Route("POST", "/containers/{name}/pause", pause),
    Route("POST", "/containers/{name}/unpause", unpause),
    Route("POST", "/containers/{name}/update", update),
    Route("POST", "/containers/{name}/rename", rename),
    Route("DELETE", "/containers/{name}", remove),
]
