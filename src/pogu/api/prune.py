"""Edge: every prune but that of networks, and the plans: with `dry-run=1` nothing is removed.

`GET /pogu/prune` is the plan of `system prune`; `GET /pogu/rmi` that of one `rmi` of several names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pogu.api import container_filter
from pogu.api.call import Call, check_until, parse_time_ns
from pogu.api.event_view import label_matches
from pogu.api.http_server import StreamResponse
from pogu.api.images import image_fits, removed_lines
from pogu.api.reply import error_body, json_reply
from pogu.api.route import Route, finish
from pogu.build.cache import CacheEntry
from pogu.containers.model import Container
from pogu.errors import InvalidParameter, NotImplementedByEngine
from pogu.images.image import Image
from pogu.upkeep.prune import Choice, Plan
from pogu.volumes.service import Volume

__all__ = ["ROUTES"]

Filters = dict[str, list[str]]
_TRUE = frozenset({"1", "true", "True"})


async def _pruned(call: Call, choice: Choice) -> Plan:
    if call.flag("dry-run"):
        return await call.engine.pruning.plan(choice)
    return await finish(call.engine.pruning.prune(choice))


async def containers(call: Call) -> StreamResponse:
    """Remove stopped containers; with filters those that they leave."""
    filters = call.filters("until", "label", "label!")
    check_until(filters)
    plan = await _pruned(call, Choice(containers=_container_fits(filters)))
    return json_reply({"ContainersDeleted": _names(plan.containers)} | _sizes(plan))


async def volumes(call: Call) -> StreamResponse:
    """Remove unused anonymous volumes; with the filter all=true named ones too."""
    filters = call.filters("all", "label", "label!")
    everything = call.version < (1, 42) or bool(_TRUE.intersection(filters.get("all", ())))
    plan = await _pruned(call, Choice(volumes=_volume_fits(filters, everything=everything)))
    return json_reply({"VolumesDeleted": _names(plan.volumes)} | _sizes(plan))


async def images(call: Call) -> StreamResponse:
    filters = call.filters("dangling", "until", "label", "label!")
    check_until(filters)
    dangling = filters.pop("dangling", ["true"])[0].lower() not in ("0", "false")
    plan = await _pruned(call, Choice(images=(dangling, _image_fits(call, filters))))
    return json_reply({"ImagesDeleted": removed_lines(plan.images) or None} | _sizes(plan))


async def caches(call: Call) -> StreamResponse:
    """Remove the records whose result no image has; with `all` every one."""
    filters = call.filters("until", "unused-for", "id", "description")
    check_until(filters)
    for limit in ("keep-storage", "reserved-space", "max-used-space", "min-free-space"):
        if call.text(limit) not in ("", "0"):
            raise NotImplementedByEngine(
                f"build prune with {limit} is not implemented by Pogu",
                hint="--filter until=24h spares what was used lately",
            )
    choice = Choice(caches=_cache_fits(filters), all_caches=call.flag("all"))
    plan = await _pruned(call, choice)
    return json_reply({"CachesDeleted": list(plan.caches)} | _sizes(plan))


async def everything(call: Call) -> StreamResponse:
    """What `system prune` would do: `all`, `volumes` and `filters` as there."""
    filters = call.filters("until", "label", "label!")
    check_until(filters)
    only = {"until": filters["until"]} if "until" in filters else {}
    choice = Choice(
        containers=_container_fits(filters),
        volumes=_volume_fits(filters, everything=False) if call.flag("volumes") else None,
        images=(not call.flag("all"), _image_fits(call, filters)),
        caches=_cache_fits(only),
        all_caches=call.flag("all"),
    )
    plan = await call.engine.pruning.plan(choice)
    return json_reply(
        {
            "ContainersDeleted": _names(plan.containers),
            "NetworksDeleted": [],
            "VolumesDeleted": _names(plan.volumes),
            "ImagesDeleted": removed_lines(plan.images),
            "CachesDeleted": list(plan.caches),
        }
        | _sizes(plan)
    )


async def removal(call: Call) -> StreamResponse:
    """What `rmi NAME…` would do, one entry for each name."""
    names = call.texts("name")
    if not names:
        raise InvalidParameter("name: an image is missing")
    outcomes = call.engine.pruning.plan_removal(
        names, force=call.flag("force"), prune=not call.flag("noprune")
    )
    return json_reply(
        [
            {
                "Name": name,
                "Removed": removed_lines(lines),
                "SpaceReclaimed": freed,
                "Error": error_body(failure) if failure else None,
            }
            for name, lines, freed, failure in outcomes
        ]
    )


def _names(found: Iterable[tuple[str, int]]) -> list[str]:
    return [name for name, _ in found]


def _sizes(plan: Plan) -> dict[str, object]:
    return {"SpaceReclaimed": plan.freed_bytes}


# ---- what the filters leave -----------------------------------------------------------------


def _labels_fit(labels: dict[str, str], filters: Filters) -> bool:
    return all(label_matches(value, labels) for value in filters.get("label", ())) and not any(
        label_matches(value, labels) for value in filters.get("label!", ())
    )


def _container_fits(filters: Filters) -> Callable[[Container], bool]:
    return lambda container: container_filter.prunable(container, filters)


def _volume_fits(filters: Filters, *, everything: bool) -> Callable[[Volume], bool]:
    return lambda volume: (
        (volume.anonymous or everything) and _labels_fit(dict(volume.labels), filters)
    )


def _image_fits(call: Call, filters: Filters) -> Callable[[Image], bool]:
    return lambda image: image_fits(call, image, filters)


def _cache_fits(filters: Filters) -> Callable[[CacheEntry], bool]:
    times = [*filters.get("until", ()), *filters.get("unused-for", ())]
    limits_ns = [parse_time_ns("until", text) or 0 for text in times]
    ids, texts = filters.get("id"), filters.get("description")
    return lambda entry: (
        all(entry.used_ns < limit_ns for limit_ns in limits_ns)
        and (not ids or any(entry.key.startswith(one) for one in ids))
        and (not texts or entry.text in texts)
    )


ROUTES = [
    Route("POST", "/containers/prune", containers),
    Route("POST", "/volumes/prune", volumes),
    Route("POST", "/images/prune", images),
    Route("POST", "/build/prune", caches),
    Route("GET", "/pogu/prune", everything),
    Route("GET", "/pogu/rmi", removal),
]
