"""Edge: `/images`: list, inspect, history, tag, remove, import."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pogu.api import image_view
from pogu.api.call import Call, parse_time_ns
from pogu.api.event_view import label_matches
from pogu.api.http_server import StreamResponse
from pogu.api.import_image import import_image
from pogu.api.platform import platform_text, platform_texts
from pogu.api.reply import empty, json_reply
from pogu.api.route import Route, finish
from pogu.api.transfer import pull
from pogu.api.units import unix_ns
from pogu.errors import InvalidParameter
from pogu.images.image import Image, Removed
from pogu.images.platform import parse_platform
from pogu.oci.reference import Reference, parse_reference

__all__ = ["ROUTES", "image_fits", "removed_lines"]

_FILTERS = ("dangling", "label", "label!", "before", "since", "until", "reference")


async def list_images(call: Call) -> StreamResponse:
    filters = call.filters(*_FILTERS)
    if call.text("filter"):
        filters.setdefault("reference", []).append(call.text("filter"))
    store = call.engine.images
    everything = call.flag("all")
    dangling = filters.get("dangling")
    users: dict[str, list[str]] = {}
    for container in call.engine.containers.all():
        users.setdefault(container.record.image_id, []).append(container.id)
    answer = []
    for image in store.all():
        hidden = not image.references and not store.is_dangling(image)
        if hidden and not everything:
            continue
        if dangling and store.is_dangling(image) != (dangling[0].lower() in ("1", "true")):
            continue
        if image_fits(call, image, filters):
            count = len(users.get(image.id, ()))
            one = image_view.summary(image, containers=count, version=call.version)
            if call.flag("manifests"):
                one["Manifests"] = image_view.manifests(call.engine.variants.of(image), users)
            answer.append(one)
    return json_reply(answer)


def image_fits(call: Call, image: Image, filters: dict[str, list[str]]) -> bool:
    labels = image.config.config.labels or {}
    if not all(label_matches(value, labels) for value in filters.get("label", ())):
        return False
    if any(label_matches(value, labels) for value in filters.get("label!", ())):
        return False
    created = image.config.created
    for name in filters.get("before", ()):
        if not created < call.engine.images.resolve(name).config.created:
            return False
    for name in filters.get("since", ()):
        if not created > call.engine.images.resolve(name).config.created:
            return False
    for text in filters.get("until", ()):
        if not unix_ns(created) < (parse_time_ns("until", text) or 0):
            return False
    patterns = filters.get("reference")
    return not patterns or _names_match(image.tags, patterns)


def _names_match(tags: Iterable[Reference], patterns: list[str]) -> bool:
    """Docker's reference filter: a glob over the familiar or the full name, tag optional."""
    for tag in tags:
        names = (tag.familiar, tag.familiar_repository, str(tag), tag.repository)
        for pattern in patterns:
            regex = re.escape(pattern).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
            if any(re.fullmatch(regex, name) for name in names):
                return True
    return False


def _resolved(call: Call) -> Image:
    """The image that is named; with `platform` (JSON, as docker's CLI sends it, or os/arch) that
    of its index that fits. Raises: NotFound.
    """
    wanted = platform_text(call)
    if not wanted:
        return call.engine.images.resolve(call.name)
    return call.engine.indexes.for_platform(call.name, parse_platform(wanted))


async def inspect(call: Call) -> StreamResponse:
    if call.flag("manifests") and call.text("platform"):
        raise InvalidParameter(
            "conflicting options: manifests and platform options cannot both be set"
        )
    image = _resolved(call)
    lower = call.engine.layers.lower_directories(image.top_layer)
    return json_reply(image_view.inspected(image, lower=lower, version=call.version))


async def history(call: Call) -> StreamResponse:
    image = _resolved(call)
    return json_reply(image_view.history(call.engine.images.history(image)))


async def tag(call: Call) -> StreamResponse:
    image = call.engine.images.resolve(call.name)
    call.engine.images.tag(image.id, reference_of(call.text("repo"), call.text("tag")))
    return empty(201)


def reference_of(repository: str, tag: str) -> Reference:
    """Join what the API keeps apart. Raises: InvalidParameter."""
    if not tag:
        return parse_reference(repository)
    return parse_reference(f"{repository}{'@' if ':' in tag else ':'}{tag}")


def removed_lines(lines: Iterable[Removed]) -> list[dict[str, str]]:
    return [
        {"Untagged": line.untagged} if line.untagged else {"Deleted": str(line.deleted)}
        for line in lines
    ]


async def remove(call: Call) -> StreamResponse:
    lines: list[Removed] = []
    for name in _names_to_remove(call):
        lines += await finish(
            call.engine.images.remove(
                name, force=call.flag("force"), prune=not call.flag("noprune")
            )
        )
    return json_reply(removed_lines(lines))


def _names_to_remove(call: Call) -> list[str]:
    """The image that is named, or those of its platforms that are asked for. Raises: NotFound."""
    wanted = [parse_platform(text) for text in platform_texts(call)]
    if not wanted:
        return [call.name]
    chosen = call.engine.images.resolve(call.name)
    found = [call.engine.indexes.for_platform(call.name, one) for one in wanted]
    return [
        call.name if one.id == chosen.id else call.engine.variants.name_of(one, call.name)
        for one in found
    ]


async def create(call: Call) -> StreamResponse:
    """`POST /images/create`: pull (`fromImage`) or import (`fromSrc`)."""
    if call.text("fromImage"):
        return await pull(call, reference_of(call.text("fromImage"), call.text("tag")))
    named = reference_of(call.text("repo"), call.text("tag")) if call.text("repo") else None
    return await import_image(call, named)


ROUTES = [
    Route("GET", "/images/json", list_images),
    Route("POST", "/images/create", create),
    Route("GET", "/images/{name}/json", inspect),
    Route("GET", "/images/{name}/history", history),
    Route("POST", "/images/{name}/tag", tag),
    Route("DELETE", "/images/{name}", remove),
]
