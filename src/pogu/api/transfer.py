"""Edge: pull, push, login: `POST /images/create?fromImage=`, `/images/{name}/push`, `/auth`."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from pogu.api.call import Call
from pogu.api.distribution import access_of
from pogu.api.http_server import StreamResponse
from pogu.api.reply import json_reply
from pogu.api.route import Route
from pogu.api.stream import JsonLines
from pogu.errors import InvalidParameter
from pogu.images.packing import parse_compression
from pogu.images.platform import Platform, parse_platform
from pogu.images.progress import TransferEvent
from pogu.images.push import Emit, Pushed
from pogu.oci.reference import Reference, parse_reference
from pogu.registry.credentials import Credentials, decode_auth
from pogu.registry.login import log_in

__all__ = ["ROUTES", "progress_line", "pull"]

_MOVING = frozenset({"Downloading", "Extracting", "Loading layer", "Pushing"})


def progress_line(event: TransferEvent) -> dict[str, object]:
    """Docker's JSON: `{"status", "id", "progressDetail", "progress"}`."""
    line: dict[str, object] = {"status": event.status}
    if event.id:
        line["id"] = event.id
        if event.status in _MOVING:
            line["progressDetail"] = {"current": event.current, "total": event.total}
            line["progress"] = _bar(event.current, event.total)
        else:
            line["progressDetail"] = {}
    return line


def _bar(current: int, total: int) -> str:
    """What older clients print: `[====>    ]  1.2MB/3.4MB`."""
    width = 50
    done = width * current // total if total else 0
    bar = "=" * done + (">" if done < width else "") + " " * (width - done - 1)
    return f"[{bar[:width]}] {current / 1e6:>7.3g}MB/{total / 1e6:.3g}MB"


async def pull(call: Call, reference: Reference) -> StreamResponse:
    """Pull an image; a name with neither tag nor digest stands for every tag of the repository."""
    lines = JsonLines(call)
    credentials = decode_auth(call.http.headers.get("X-Registry-Auth", ""))

    async def emit(event: TransferEvent) -> None:
        await lines.send(progress_line(event))

    try:
        wanted = [reference]
        if reference.tag is None and reference.digest is None:
            tags = await call.engine.puller.tags(reference, credentials)
            wanted = [replace(reference, tag=tag) for tag in tags]
        for one in wanted:
            await call.engine.puller.pull(
                one, platform=call.text("platform"), credentials=credentials, emit=emit
            )
    except Exception as err:
        return await lines.fail(err)
    return await lines.end()


async def push(call: Call) -> StreamResponse:
    lines = JsonLines(call)
    credentials = decode_auth(call.http.headers.get("X-Registry-Auth", ""))
    await call.body()

    async def emit(event: TransferEvent) -> None:
        await lines.send(progress_line(event))

    try:
        compression = parse_compression(call.text("compression"), call.text("compression-level"))
        wanted = _platform(call)
        for reference in _to_push(call):
            image = call.engine.images.find(reference)
            if image is None and call.engine.lists.find(reference) is not None:
                pushed = await _push_list(call, reference, emit)
            else:
                if wanted is not None and image is not None:
                    image = call.engine.indexes.for_platform(str(reference), wanted)
                pushed = await call.engine.pusher.push(
                    reference,
                    image=image,
                    compression=compression,
                    credentials=credentials,
                    emit=emit,
                )
            aux = {"Tag": pushed.tag, "Digest": pushed.digest, "Size": pushed.size_bytes}
            await lines.send({"progressDetail": {}, "aux": aux})
    except Exception as err:
        return await lines.fail(err)
    return await lines.end()


async def _push_list(call: Call, reference: Reference, emit: Emit) -> Pushed:
    """A manifest list whose name no image has goes out as what it is."""
    index = call.engine.lists.index(reference)
    access = access_of(call, reference.domain)
    digest = await call.engine.index_pusher.push(reference, index, access=access, emit=emit)
    pushed = Pushed(tag=reference.tag or "latest", digest=digest, size_bytes=len(index.raw))
    await emit(TransferEvent(status=f"{pushed.tag}: digest: {digest} size: {pushed.size_bytes}"))
    return pushed


def _platform(call: Call) -> Platform | None:
    """The `platform` of a push: JSON as Docker's clients send it, or words.

    Raises: InvalidParameter.
    """
    text = call.text("platform")
    if not text.startswith("{"):
        return parse_platform(text) if text else None
    try:
        found = msgspec.json.decode(text, type=Platform)
    except msgspec.MsgspecError as err:
        raise InvalidParameter(f"failed to parse platform: {err}") from err
    if not (found.os and found.architecture):
        raise InvalidParameter("both OS and Architecture must be provided")
    return found


def _to_push(call: Call) -> list[Reference]:
    """The tag that is named; without a tag every one of the repository (as `--all-tags` asks).

    Raises: InvalidParameter for a digest, which nobody can choose.
    """
    named = parse_reference(call.name)
    if named.digest:
        raise InvalidParameter(
            "cannot push a digest reference",
            hint=f"push a tag: {named.familiar_repository}:<tag>",
        )
    tag = call.text("tag")
    if tag:
        return [parse_reference(f"{call.name}:{tag}")]
    if named.tag:
        return [named]
    tags = [
        reference
        for image in call.engine.images.all()
        for reference in image.tags
        if reference.repository == named.repository
    ]
    return sorted(tags, key=str) or [named.with_default_tag()]


class _Login(msgspec.Struct, frozen=True):
    username: str = ""
    password: str = ""
    serveraddress: str = ""
    identitytoken: str = ""
    registrytoken: str = ""


async def auth(call: Call) -> StreamResponse:
    """Try the credentials at the registry. Raises: Unauthorized."""
    body = await call.body_as(_Login)
    credentials = Credentials(
        username=body.username,
        password=body.password,
        identity_token=body.identitytoken,
        registry_token=body.registrytoken,
        server=body.serveraddress,
    )
    token = await log_in(body.serveraddress, credentials, call.engine.config)
    return json_reply({"Status": "Login Succeeded", "IdentityToken": token})


async def tags(call: Call) -> StreamResponse:
    """`/pogu/tags/{name}`: every tag of a repository."""
    credentials = decode_auth(call.http.headers.get("X-Registry-Auth", ""))
    return json_reply(await call.engine.puller.tags(parse_reference(call.name), credentials))


ROUTES = [
    Route("POST", "/images/{name}/push", push),
    Route("POST", "/auth", auth),
    Route("GET", "/pogu/tags/{name}", tags),
]
