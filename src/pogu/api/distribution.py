"""Edge: `GET /distribution/{name}/json`: what a registry has under a name."""

from __future__ import annotations

import re

import msgspec

from pogu.api.call import Call
from pogu.api.http_server import StreamResponse
from pogu.api.reply import json_reply
from pogu.api.route import Route
from pogu.errors import InvalidParameter
from pogu.images.remote import Access
from pogu.oci.index import Platform
from pogu.oci.reference import parse_reference
from pogu.registry.credentials import decode_auth, decode_auth_map

__all__ = ["ROUTES", "access_of", "platform_tree"]


def access_of(call: Call, domain: str) -> Access:
    """Who the caller is: `X-Registry-Auth` for that registry, `X-Registry-Config` for all."""
    headers = call.http.headers
    known = decode_auth_map(headers.get("X-Registry-Config", ""))
    own = decode_auth(headers.get("X-Registry-Auth", ""))
    if not own.is_anonymous:
        known = {**known, domain: own}
        known |= {"https://index.docker.io/v1/": own} if domain == "docker.io" else {}
    return Access(credentials=known, insecure=call.flag("insecure"))


def platform_tree(platform: Platform) -> dict[str, object]:
    """Return a platform as the API shows it: what is empty stays out."""
    tree: dict[str, object] = msgspec.to_builtins(platform)
    return {key: tree[key] for key in tree if tree[key] or key in ("architecture", "os")}


async def inspect(call: Call) -> StreamResponse:
    """Raises: NotFound, Unauthorized, Forbidden in the registry's words."""
    if re.fullmatch(r"(sha256:)?[a-f0-9]{64}", call.name):
        raise InvalidParameter(
            "no manifest found for full image ID", hint="a registry knows names, not image IDs"
        )
    reference = parse_reference(call.name)
    fetched, platforms = await call.engine.remote.platforms(
        reference, access_of(call, reference.domain)
    )
    descriptor = {
        "mediaType": fetched.media_type,
        "digest": fetched.digest,
        "size": len(fetched.raw),
    }
    return json_reply(
        {"Descriptor": descriptor, "Platforms": [platform_tree(one) for one in platforms]}
    )


ROUTES = [Route("GET", "/distribution/{name}/json", inspect)]
