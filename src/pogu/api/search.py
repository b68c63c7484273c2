"""Edge: `GET /images/search`."""

from __future__ import annotations

from pogu.api.call import Call
from pogu.api.http_server import StreamResponse
from pogu.api.reply import json_reply
from pogu.api.route import Route
from pogu.errors import InvalidParameter
from pogu.registry.credentials import decode_auth
from pogu.registry.search import Wanted, search

__all__ = ["ROUTES"]

_TRUE = frozenset({"1", "t", "true", "True", "TRUE"})
_FALSE = frozenset({"0", "f", "false", "False", "FALSE"})


def _switch(filters: dict[str, list[str]], name: str) -> bool | None:
    values = filters.get(name, [])
    for value in values:
        if value not in _TRUE | _FALSE:
            raise InvalidParameter(f"invalid filter '{name}={value}'", hint="true or false")
    return values[-1] in _TRUE if values else None


def _stars(filters: dict[str, list[str]]) -> int:
    """The most that is asked for."""
    for value in filters.get("stars", []):
        if not value.isdecimal():
            raise InvalidParameter(f"invalid filter 'stars={value}'", hint="a whole number")
    return max((int(value) for value in filters.get("stars", [])), default=0)


async def search_images(call: Call) -> StreamResponse:
    filters = call.filters("is-automated", "is-official", "stars")
    if not call.text("term"):
        raise InvalidParameter("no search term", hint="what to look for: pogu search NAME")
    wanted = Wanted(
        term=call.text("term"),
        limit=call.integer("limit") or 25,
        is_official=_switch(filters, "is-official"),
        is_automated=_switch(filters, "is-automated"),
        stars=_stars(filters),
    )
    credentials = decode_auth(call.http.headers.get("X-Registry-Auth", ""))
    found = await search(wanted, credentials, call.engine.config)
    return json_reply(
        [
            {
                "star_count": one.stars,
                "is_official": one.is_official,
                "name": one.name,
                "is_automated": one.is_automated,
                "description": one.description,
            }
            for one in found
        ]
    )


ROUTES = [Route("GET", "/images/search", search_images)]
