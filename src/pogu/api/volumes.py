"""Edge: `/volumes`."""

from __future__ import annotations

import msgspec

from pogu.api import volume_view
from pogu.api.call import Call
from pogu.api.event_view import label_matches
from pogu.api.http_server import StreamResponse
from pogu.api.reply import empty, json_reply
from pogu.api.route import Route
from pogu.containers.model import volume_users
from pogu.errors import Conflict, InvalidParameter
from pogu.linux.blocking import in_thread
from pogu.storage.tree import remove_tree
from pogu.volumes.service import Volume

__all__ = ["ROUTES"]


async def list_volumes(call: Call) -> StreamResponse:
    filters = call.filters("dangling", "driver", "label", "name")
    used = volume_users(call.engine.containers.all())
    chosen = [volume for volume in call.engine.volumes.all() if _fits(volume, filters, used)]
    return json_reply(
        {"Volumes": [volume_view.summary(volume) for volume in chosen], "Warnings": None}
    )


def _fits(volume: Volume, filters: dict[str, list[str]], used: dict[str, list[str]]) -> bool:
    labels = dict(volume.labels)
    names, drivers = filters.get("name"), filters.get("driver")
    if names and not any(name in volume.name for name in names):
        return False
    if drivers and "local" not in drivers:
        return False
    if not all(label_matches(label, labels) for label in filters.get("label", ())):
        return False
    dangling = filters.get("dangling")
    return not dangling or (volume.name not in used) == (dangling[0].lower() in ("1", "true"))


class _Create(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    name: str | None = None
    driver: str | None = None
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None


async def create(call: Call) -> StreamResponse:
    body = await call.body_as(_Create)
    driver = body.driver or "local"
    if driver != "local":
        raise InvalidParameter(
            f"create {body.name or ''}: error looking up volume plugin {driver}: plugin "
            f'"{driver}" not found',
            hint="Pogu has the driver local",
        )
    volume = call.engine.volumes.create(
        body.name or None, labels=body.labels, options=body.driver_opts
    )
    return json_reply(volume_view.summary(volume), status=201)


async def inspect(call: Call) -> StreamResponse:
    return json_reply(volume_view.summary(call.engine.volumes.get(call.name)))


async def remove(call: Call) -> StreamResponse:
    users = volume_users(call.engine.containers.all()).get(call.name)
    if users:
        raise Conflict(
            f"remove {call.name}: volume is in use - [{', '.join(users)}]",
            hint=f"`pogu rm {users[0][:12]}` first",
        )
    trash = call.engine.volumes.set_aside(call.name, force=call.flag("force"))
    if trash is not None:
        await in_thread(remove_tree, trash)
    return empty()


ROUTES = [
    Route("POST", "/volumes/create", create),
    Route("GET", "/volumes", list_volumes),
    Route("GET", "/volumes/{name}", inspect),
    Route("DELETE", "/volumes/{name}", remove),
]
