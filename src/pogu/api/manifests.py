"""Edge: `/pogu/manifests/…`: what `manifest` and its subcommands ask for.

Docker's client keeps manifest lists on its own side and has no API for them; here the engine does.
"""

from __future__ import annotations

import json
from typing import Annotated

import msgspec

from pogu.api.call import Call
from pogu.api.distribution import access_of, platform_tree
from pogu.api.http_server import Response, StreamResponse
from pogu.api.reply import HEADERS, empty, json_reply
from pogu.api.route import Route, finish
from pogu.api.stream import JsonLines
from pogu.api.transfer import progress_line
from pogu.errors import NotFound
from pogu.images.indexes import StoredIndex
from pogu.images.progress import TransferEvent
from pogu.linux.blocking import in_thread
from pogu.oci.digest import sha256_digest
from pogu.oci.image import MediaType
from pogu.oci.index import INDEXES, IndexEntry, Platform
from pogu.oci.reference import Reference, parse_reference

__all__ = ["ROUTES"]


class _Create(msgspec.Struct, frozen=True, rename="pascal"):
    manifests: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    amend: bool = False


class _Annotate(msgspec.Struct, frozen=True, rename="pascal"):
    manifest: str
    os: str = ""
    architecture: str = ""
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()


def _name(call: Call) -> Reference:
    return parse_reference(call.name).with_default_tag()


async def list_names(call: Call) -> StreamResponse:
    return json_reply(call.engine.lists.names())


async def create(call: Call) -> StreamResponse:
    body = await call.body_as(_Create)
    name = _name(call)
    manifests = [parse_reference(one) for one in body.manifests]
    access = access_of(call, name.domain)
    await finish(call.engine.lists.create(name, manifests, amend=body.amend, access=access))
    return json_reply({"Name": str(name)}, status=201)


async def annotate(call: Call) -> StreamResponse:
    body = await call.body_as(_Annotate)
    change = Platform(
        os=body.os,
        architecture=body.architecture,
        variant=body.variant,
        os_version=body.os_version,
        os_features=body.os_features,
    )
    call.engine.lists.annotate(_name(call), parse_reference(body.manifest), change)
    return empty()


async def remove(call: Call) -> StreamResponse:
    call.engine.lists.remove(_name(call))
    return empty()


# ---- inspect ---------------------------------------------------------------------------------


async def inspect(call: Call) -> StreamResponse:
    """A list of this machine, a manifest in it (`manifest=`), else what the registry has; with
    `local` an image of this machine. As text, laid out as Docker's client prints it.
    """
    name, verbose = _name(call), call.flag("verbose")
    if call.text("manifest"):
        one = call.engine.lists.entry(name, parse_reference(call.text("manifest")))
        shown = _shown_entries(call, [(one.name, one.entry)])[0]
        return _text(shown if verbose else _raw(call, one.entry))
    if call.flag("local"):
        return _text(await _local(call, name))
    entries = call.engine.lists.find(name)
    if entries is None:
        return _text(await _in_registry(call, name, verbose=verbose))
    if verbose:
        return _text(_shown_entries(call, [(one.name, one.entry) for one in entries]))
    return _text(call.engine.lists.index(name).raw)


def _raw(call: Call, entry: IndexEntry) -> bytes:
    return call.engine.blobs.read(entry.digest)


async def _local(call: Call, name: Reference) -> bytes:
    image = call.engine.images.resolve(call.name)
    index = call.engine.indexes.of(image, name)
    if index is not None:
        return index.raw
    raw = await in_thread(call.engine.forms.latest, image)
    if raw is not None:
        return raw
    raise NotFound(
        f"{name.familiar} has no manifest yet", hint="an image gets one when it is first pushed"
    )


async def _in_registry(call: Call, name: Reference, *, verbose: bool) -> object:
    access = access_of(call, name.domain)
    found = await call.engine.remote.image(name, access)
    if not verbose:
        return found.manifest.raw
    if found.manifest.media_type not in INDEXES:
        return _shown(str(name), found.manifest.raw, found.manifest.media_type, found.platform)
    parts = await call.engine.remote.images_of(name, found.manifest, access)
    return [
        _shown(
            f"{name.repository}@{one.manifest.digest}",
            one.manifest.raw,
            one.manifest.media_type,
            one.platform,
        )
        for one in parts
    ]


def _shown_entries(call: Call, entries: list[tuple[str, IndexEntry]]) -> list[dict[str, object]]:
    return [
        _shown(name, _raw(call, entry), entry.media_type, entry.platform or Platform())
        for name, entry in entries
    ]


def _shown(name: str, raw: bytes, media_type: str, platform: Platform) -> dict[str, object]:
    """One manifest as `docker manifest inspect -v` shows it."""
    descriptor: dict[str, object] = {
        "mediaType": media_type,
        "digest": sha256_digest(raw),
        "size": len(raw),
        "platform": platform_tree(platform),
    }
    kind = "OCIManifest" if media_type == MediaType.OCI_MANIFEST else "SchemaV2Manifest"
    return {"Ref": name, "Descriptor": descriptor, kind: json.loads(raw)}


def _text(value: object) -> Response:
    """Bytes that are laid out stay as they are; all else is indented by tabs, as Docker does."""
    if isinstance(value, bytes) and value.startswith(b"{\n"):
        text = value
    else:
        tree = json.loads(value) if isinstance(value, bytes) else value
        text = json.dumps(tree, indent="\t", ensure_ascii=False).encode()
    return Response(body=text + b"\n", headers=HEADERS | {"Content-Type": "application/json"})


# ---- push ------------------------------------------------------------------------------------


async def push(call: Call) -> StreamResponse:
    """Send a list, or the index that an image of this name came from."""
    lines = JsonLines(call)
    name = _name(call)

    async def emit(event: TransferEvent) -> None:
        await lines.send(progress_line(event))

    try:
        index = _index(call, name)
        access = access_of(call, name.domain)
        digest = await call.engine.index_pusher.push(name, index, access=access, emit=emit)
        if call.flag("purge") and call.engine.lists.find(name) is not None:
            call.engine.lists.remove(name)
        await lines.send({"aux": {"Digest": digest, "Size": len(index.raw)}})
    except Exception as err:
        return await lines.fail(err)
    return await lines.end()


def _index(call: Call, name: Reference) -> StoredIndex:
    if call.engine.lists.find(name) is not None:
        return call.engine.lists.index(name)
    image = call.engine.images.find(name)
    index = call.engine.indexes.of(image, name) if image is not None else None
    if index is None:
        raise NotFound(
            f"{name} not found",
            hint=f"make the list first: pogu manifest create {name.familiar} MANIFEST…",
        )
    return index


ROUTES = [
    Route("GET", "/pogu/manifests", list_names),
    Route("POST", "/pogu/manifests/{name}/create", create),
    Route("POST", "/pogu/manifests/{name}/annotate", annotate),
    Route("POST", "/pogu/manifests/{name}/push", push),
    Route("GET", "/pogu/manifests/{name}/json", inspect),
    Route("DELETE", "/pogu/manifests/{name}", remove),
]
