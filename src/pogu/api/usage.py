"""Edge: `/system/df`: what takes the space; `type` limits what is measured, `storage=1` (ours)
adds what the storage root holds.

A layer counts once: where several images have it it is shared, and a step of the build cache whose
layer an image has costs nothing of its own.
"""

from __future__ import annotations

import time
from collections import Counter

from pogu.api import container_view, image_view, volume_view
from pogu.api.call import Call
from pogu.api.http_server import StreamResponse
from pogu.api.reply import json_reply
from pogu.api.route import Route
from pogu.containers.model import volume_users
from pogu.images.image import rfc3339
from pogu.linux.blocking import in_thread
from pogu.oci.digest import ChainId
from pogu.upkeep.usage import storage_usage

__all__ = ["ROUTES"]

Json = dict[str, object]


def _layer_users(call: Call) -> Counter[ChainId]:
    """How many images have each layer."""
    users: Counter[ChainId] = Counter()
    for image in call.engine.images.all():
        users.update(layer.chain_id for layer in call.engine.layers.chain(image.top_layer))
    return users


def _images(call: Call, users: Counter[ChainId]) -> list[Json]:
    used = [container.record.image_id for container in call.engine.containers.all()]
    answer = []
    for image in call.engine.images.all():
        chain = call.engine.layers.chain(image.top_layer)
        shared = sum(layer.size_bytes for layer in chain if users[layer.chain_id] > 1)
        summary = image_view.summary(image, containers=used.count(image.id))
        answer.append(summary | {"SharedSize": shared})
    return answer


async def _containers(call: Call) -> list[Json]:
    listed = []
    for container in call.engine.containers.all():
        sizes = await in_thread(call.engine.containers.usage.size, container)
        listed.append(container_view.summary(container, now=time.time(), sizes=sizes))
    return listed


async def _volumes(call: Call) -> list[Json]:
    users = volume_users(call.engine.containers.all())
    return [
        await in_thread(volume_view.measured, volume, len(users.get(volume.name, ())))
        for volume in call.engine.volumes.all()
    ]


async def _build_cache(call: Call, users: Counter[ChainId]) -> list[Json]:
    answer: list[Json] = []
    counted: set[ChainId] = set()
    for entry in await in_thread(call.engine.builder.cache_records):
        if entry.empty or entry.top_layer is None or entry.top_layer in counted:
            continue
        if not call.engine.layers.has(entry.top_layer):
            continue
        counted.add(entry.top_layer)
        answer.append(
            {
                "ID": entry.short_key,
                "Type": "regular",
                "Description": entry.text,
                "InUse": False,
                "Shared": users[entry.top_layer] > 0,
                "Size": call.engine.layers.get(entry.top_layer).size_bytes,
                "CreatedAt": entry.created,
                "LastUsedAt": rfc3339(entry.used_ns),
                "UsageCount": 1,
            }
        )
    return answer


async def _storage(call: Call, users: Counter[ChainId]) -> Json:
    """What lies in the storage root, in bytes on disk; the rows add up to what du says."""
    paths = call.engine.config.paths
    in_images = {call.engine.layers.get(one).short_id for one in users}
    rows = await in_thread(storage_usage, paths, in_images=in_images)
    return {
        "Root": str(paths.root),
        "Size": sum(row.disk_bytes for row in rows),
        "Rows": [
            {"Kind": row.kind, "Count": row.count, "Size": row.disk_bytes, "Path": row.path}
            for row in rows
        ],
    }


async def disk_usage(call: Call) -> StreamResponse:
    wanted = call.texts("type")
    users = _layer_users(call)
    answer: Json = {}
    if not wanted or "image" in wanted:
        answer["LayersSize"] = sum(call.engine.layers.get(one).size_bytes for one in users)
        answer["Images"] = _images(call, users)
    if not wanted or "container" in wanted:
        answer["Containers"] = await _containers(call)
    if not wanted or "volume" in wanted:
        answer["Volumes"] = await _volumes(call)
    if not wanted or "build-cache" in wanted:
        answer["BuildCache"] = await _build_cache(call, users)
    if call.flag("storage"):
        answer["Storage"] = await _storage(call, users)
    return json_reply(answer)


ROUTES = [Route("GET", "/system/df", disk_usage)]
