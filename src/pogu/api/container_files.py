"""Edge: `/commit`, `/containers/{name}/changes` and `/export`."""

from __future__ import annotations

from pogu.api.call import Call
from pogu.api.http_server import StreamResponse
from pogu.api.images import reference_of
from pogu.api.reply import json_reply
from pogu.api.route import Route, finish
from pogu.api.tar_reply import send_tar
from pogu.errors import InvalidParameter
from pogu.model.container import ContainerConfig

__all__ = ["ROUTES"]


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


ROUTES = [
    Route("GET", "/containers/{name}/changes", changes),
    Route("GET", "/containers/{name}/export", export),
    Route("POST", "/commit", commit),
]
