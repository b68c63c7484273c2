"""Edge: `/commit`; `/changes`, `/export` and `/archive` of `/containers/{name}`."""

from __future__ import annotations

from pogu.api.call import Call
from pogu.api.http_server import Response, StreamResponse
from pogu.api.images import reference_of
from pogu.api.reply import HEADERS, empty, json_reply
from pogu.api.route import Route, finish
from pogu.api.tar_reply import send_tar
from pogu.api.upload import body
from pogu.containers.path_stat import encode_path_stat
from pogu.errors import InvalidParameter
from pogu.model.container import ContainerConfig

__all__ = ["ROUTES"]

_STAT = "X-Docker-Container-Path-Stat"


async def changes(call: Call) -> StreamResponse:
    """Docker says `null` when there are none."""
    found = await call.engine.containers.files.changes(call.name)
    return json_reply([{"Path": one.path, "Kind": int(one.kind)} for one in found] or None)


async def export(call: Call) -> StreamResponse:
    return await send_tar(
        call,
        call.engine.containers.files.export(call.name),
        {"Content-Type": "application/octet-stream"},
    )


async def commit(call: Call) -> StreamResponse:
    """Docker's answer is `{"Id"}`; ours has `Warnings` beside it when there are some."""
    from pogu.build.changes import apply_changes

    name = call.text("container")
    if not name:
        raise InvalidParameter("container name cannot be empty", hint="POST /commit?container=NAME")
    body = await call.body_as(ContainerConfig)
    repository, tag = call.text("repo"), call.text("tag")
    reference = reference_of(repository, tag) if repository else None
    if reference is not None and reference.digest:
        raise InvalidParameter("refusing to create a tag with a digest reference")
    image, warnings = await finish(
        call.engine.containers.files.commit(
            name,
            config=apply_changes(body, call.texts("changes")),
            reference=reference,
            author=call.text("author"),
            comment=call.text("comment"),
            pause=call.flag("pause", default=True),
        )
    )
    return json_reply({"Id": image.id} | ({"Warnings": warnings} if warnings else {}), status=201)


async def stat_archive(call: Call) -> StreamResponse:
    found = await call.engine.containers.archive.stat(call.name, call.text("path"))
    return Response(status=200, headers=HEADERS | {_STAT: encode_path_stat(found)})


async def get_archive(call: Call) -> StreamResponse:
    found, write = await call.engine.containers.archive.read(call.name, call.text("path"))
    return await send_tar(call, write, {_STAT: encode_path_stat(found)})


async def put_archive(call: Call) -> StreamResponse:
    async with body(call) as arriving:
        await call.engine.containers.archive.extract(
            call.name,
            call.text("path"),
            arriving,
            own=call.flag("copyUIDGID"),
            keep_kinds=call.flag("noOverwriteDirNonDir"),
        )
    return empty(200)


ROUTES = [
    Route("HEAD", "/containers/{name}/archive", stat_archive),
    Route("GET", "/containers/{name}/archive", get_archive),
    Route("PUT", "/containers/{name}/archive", put_archive),
    Route("GET", "/containers/{name}/changes", changes),
    Route("GET", "/containers/{name}/export", export),
    Route("POST", "/commit", commit),
]
