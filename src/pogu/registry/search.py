"""Edge: finding repositories: Docker's index (`/v1/search`), else a registry's `_catalog`."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from typing import Any

import msgspec

from pogu.config import Config
from pogu.errors import Forbidden, InvalidParameter, NotFound, Unauthorized, Unavailable
from pogu.registry.client import next_page
from pogu.registry.credentials import Credentials
from pogu.registry.exchange import body_of
from pogu.registry.transport import Transport, open_transport

__all__ = ["Found", "Wanted", "search"]

_INDEX = "index.docker.io"
_LARGEST_ANSWER = 8 << 20
_MOST_PAGES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One repository; a registry's catalogue knows its name only."""

    name: str
    description: str = ""
    stars: int = 0
    is_official: bool = False
    is_automated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for; None = either."""

    term: str
    limit: int = 25
    is_official: bool | None = None
    is_automated: bool | None = None
    stars: int = 0

    def fits(self, found: Found) -> bool:
        return (
            self.is_official in (None, found.is_official)
            and self.is_automated in (None, found.is_automated)
            and found.stars >= self.stars
        )


async def search(wanted: Wanted, credentials: Credentials, config: Config) -> list[Found]:
    """Ask the registry that the term begins with (`reg.example/web`), else Docker Hub.

    Raises: InvalidParameter; Unavailable; Unauthorized.
    """
    if not 1 <= wanted.limit <= 100:
        raise InvalidParameter(
            f"limit {wanted.limit} is outside the range of [1, 100]", hint="--limit 25 is usual"
        )
    domain, term = _split(wanted.term)
    async with open_transport(domain or _INDEX, config, credentials, mirrors=False) as transport:
        try:
            found = await _from_index(transport, term, wanted.limit)
        except (NotFound, InvalidParameter, Unauthorized, Forbidden):
            if not domain:
                raise
            found = await _from_catalogue(transport, domain, term)
    return [one for one in found if wanted.fits(one)][: wanted.limit]


def _split(term: str) -> tuple[str, str]:
    """The registry (empty = Docker Hub) and the rest of a search term."""
    first, slash, rest = term.partition("/")
    if slash and (set(first) & set(".:") or first == "localhost"):
        hub = first in ("docker.io", _INDEX)
        return ("" if hub else first), rest.removeprefix("library/") if hub else rest
    return "", term.removeprefix("library/")


async def _from_index(transport: Transport, term: str, limit: int) -> list[Found]:
    query = urllib.parse.urlencode({"q": term, "n": limit})
    body, _ = await _answer(transport, f"/v1/search?{query}", scope="")
    try:
        return [
            Found(
                name=str(one["name"]),
                description=str(one.get("description") or ""),
                stars=int(one.get("star_count") or 0),
                is_official=bool(one.get("is_official")),
                is_automated=bool(one.get("is_automated")),
            )
            for one in body["results"] or ()
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise Unavailable(
            "the index sent no search results", hint="its own fault; try again"
        ) from err


async def _from_catalogue(transport: Transport, domain: str, term: str) -> list[Found]:
    """Every repository whose name has the term in it. Raises: Unavailable when there is none."""
    found: list[Found] = []
    path = "/v2/_catalog?n=1000"
    try:
        for _ in range(_MOST_PAGES):
            body, path = await _answer(transport, path, scope="registry:catalog:*")
            listed = body.get("repositories")
            names = map(str, listed if isinstance(listed, list) else ())
            found += [Found(name=f"{domain}/{name}") for name in names if term in name]
            if not path:
                break
    except (NotFound, Forbidden, Unauthorized) as err:
        raise Unavailable(
            f"{domain} cannot be searched: {err}",
            hint=f"it lists its repositories to nobody, or not to you: pogu login {domain}."
            " `pogu image tags REPOSITORY` needs no list",
        ) from err
    return found


async def _answer(transport: Transport, path: str, *, scope: str) -> tuple[dict[str, Any], str]:
    """The answer, and where the next page of it is. Raises: NotFound when it is no JSON."""
    async with transport.request("GET", path, scope=scope) as response:
        raw = await body_of(response, _LARGEST_ANSWER)
        following = next_page(response)
    try:
        body = msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.MsgspecError as err:
        raise NotFound("the answer is no JSON object") from err
    return body, following
