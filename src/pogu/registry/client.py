"""Edge: what a registry offers (OCI distribution-spec v1.1), for one repository.

Everything that comes in is checked against its digest by the caller who stores it; manifests here.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from pogu.config import Config
from pogu.errors import DataLoss, InvalidParameter, NotFound, Unavailable
from pogu.oci.digest import Digest, is_digest_of, parse_digest, sha256_digest
from pogu.oci.image import MediaType
from pogu.oci.reference import Reference
from pogu.registry.credentials import Credentials
from pogu.registry.exchange import body_of
from pogu.registry.transport import Transport, open_transport

if TYPE_CHECKING:
    from aiohttp import ClientResponse

__all__ = ["FetchedManifest", "Pieces", "Repository", "next_page", "open_repository"]

_ACCEPT = ", ".join(
    (
        MediaType.OCI_INDEX,
        MediaType.OCI_MANIFEST,
        MediaType.DOCKER_INDEX,
        MediaType.DOCKER_MANIFEST,
    )
)
_LARGEST_MANIFEST = 4 << 20
_LARGEST_PAGE = 8 << 20
_MOST_PAGES = 1000

Pieces = Callable[[], AsyncIterator[bytes]]
"""Gives the bytes from their beginning, each time it is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedManifest:
    """A manifest or index as the registry sent it; `digest` is that of `raw`."""

    raw: bytes
    media_type: str
    digest: Digest

    @classmethod
    def of(cls, raw: bytes, content_type: str = "") -> FetchedManifest:
        """Raises: DataLoss when it is not JSON."""
        return cls(raw=raw, media_type=_kind(raw, content_type), digest=sha256_digest(raw))


class _TagList(msgspec.Struct, frozen=True):
    tags: tuple[str, ...] | None = None


@asynccontextmanager
async def open_repository(
    reference: Reference,
    config: Config,
    credentials: Credentials | None = None,
    *,
    actions: str = "pull",
) -> AsyncIterator[Repository]:
    """Give the repository of a reference; mirrors are for those that only read.

    Raises: InvalidParameter for unusable certificates.
    """
    async with open_transport(
        reference.domain, config, credentials, mirrors="push" not in actions
    ) as transport:
        yield Repository(transport, reference.path, actions=actions)


class Repository:
    """One repository: `library/node` at docker.io. `actions` is the token's scope."""

    def __init__(self, transport: Transport, path: str, *, actions: str = "pull") -> None:
        self._transport = transport
        self.path = path
        self._scope = f"repository:{path}:{actions}"

    def _url(self, rest: str) -> str:
        return f"/v2/{self.path}/{rest}"

    # ---- pull ----------------------------------------------------------------------------

    async def manifest(self, reference: str) -> FetchedManifest:
        """By tag or digest. Raises: NotFound; DataLoss when the bytes are not what was asked."""
        try:
            return await self._manifest(reference)
        except DataLoss:
            if not self.leave_mirrors():
                raise
            return await self._manifest(reference)

    async def _manifest(self, reference: str) -> FetchedManifest:
        path = self._url(f"manifests/{reference}")
        headers = {"Accept": _ACCEPT}
        async with self._transport.request(
            "GET", path, scope=self._scope, headers=headers
        ) as response:
            raw = await body_of(response, _LARGEST_MANIFEST)
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        if len(raw) > _LARGEST_MANIFEST:
            raise DataLoss(f"the manifest of {self.path} is larger than 4 MiB")
        if ":" in reference and not is_digest_of(reference, raw):
            raise DataLoss(
                f"manifest verification failed for digest {reference}: got {sha256_digest(raw)}",
                hint="the registry sent other content than was asked for",
            )
        return FetchedManifest.of(raw, media_type)

    def leave_mirrors(self) -> bool:
        """What came is damaged: ask the registry itself from now on. False when that was asked."""
        return self._transport.leave_mirrors()

    @asynccontextmanager
    async def blob(self, digest: Digest, *, offset: int = 0) -> AsyncIterator[tuple[int, Any]]:
        """Give (the offset that the answer really begins at, a stream of its bytes)."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        async with self._transport.request(
            "GET",
            self._url(f"blobs/{digest}"),
            scope=self._scope,
            headers=headers,
            accept=(200, 206, 416) if offset else (200,),
        ) as response:
            if response.status == 200 or _begins_at(response, offset):
                yield (0 if response.status == 200 else offset), response.content
                return
        async with self.blob(digest) as whole:
            yield whole

    async def manifest_digest(self, reference: str) -> Digest | None:
        """What a tag points at now, without fetching it: registries that count pulls do not count
        this. None when the registry does not say.
        """
        async with self._transport.request(
            "HEAD",
            self._url(f"manifests/{reference}"),
            scope=self._scope,
            headers={"Accept": _ACCEPT},
        ) as response:
            said = response.headers.get("Docker-Content-Digest", "")
        try:
            return parse_digest(said)
        except InvalidParameter:
            return None

    async def has_manifest(self, digest: Digest) -> bool:
        try:
            async with self._transport.request(
                "HEAD",
                self._url(f"manifests/{digest}"),
                scope=self._scope,
                headers={"Accept": _ACCEPT},
            ):
                return True
        except NotFound:
            return False

    async def has_blob(self, digest: Digest) -> bool:
        try:
            async with self._transport.request(
                "HEAD", self._url(f"blobs/{digest}"), scope=self._scope
            ):
                return True
        except NotFound:
            return False

    async def tags(self) -> list[str]:
        """Every tag, all pages. Raises: DataLoss for an answer that is none, or has no end."""
        found: list[str] = []
        path = self._url("tags/list?n=1000")
        for _ in range(_MOST_PAGES):
            async with self._transport.request("GET", path, scope=self._scope) as response:
                raw = await body_of(response, _LARGEST_PAGE)
                path = next_page(response)
            found += _tags(raw, self.path)
            if not path:
                return found
        raise DataLoss(f"the list of tags of {self.path} has no end", hint="the registry's fault")

    async def referrers(self, digest: Digest, *, artifact_type: str, most: int) -> bytes | None:
        """The index of what refers to a manifest; None where the registry has no such API.

        Raises: DataLoss when there is more than `most` bytes of it.
        """
        query = urllib.parse.urlencode({"artifactType": artifact_type})
        async with self._transport.request(
            "GET",
            self._url(f"referrers/{digest}?{query}"),
            scope=self._scope,
            accept=(200, 400, 404, 405, 501),
        ) as response:
            page = response.headers.get("Content-Type", "").startswith("text/html")
            if response.status != 200 or page:  # a page that answers to every path
                return None
            raw = await body_of(response, most)
        if len(raw) > most:
            raise DataLoss(f"the referrers of {digest} are more than {most} bytes")
        return raw

    # ---- push ----------------------------------------------------------------------------

    async def mount(self, digest: Digest, source: str) -> bool:
        """Take a blob over from another repository of the registry; False when it refuses."""
        query = urllib.parse.urlencode({"mount": digest, "from": source})
        scope = f"{self._scope} repository:{source}:pull"
        async with self._transport.request(
            "POST", self._url(f"blobs/uploads/?{query}"), scope=scope, accept=(201, 202)
        ) as response:
            if response.status == 201:
                return True
            location = self._location(response)
        async with self._transport.request(
            "DELETE", "", scope=self._scope, url=location, accept=(200, 202, 204, 404, 405), tries=1
        ):
            return False

    async def start_upload(self) -> str:
        """Return where to upload to."""
        async with self._transport.request(
            "POST", self._url("blobs/uploads/"), scope=self._scope, accept=(202,)
        ) as response:
            return self._location(response)

    def _location(self, response: ClientResponse) -> str:
        location = response.headers.get("Location", "")
        if not location:
            raise Unavailable("the registry gave no place to upload to")
        return urllib.parse.urljoin(str(response.url), location)

    async def send(self, location: str, pieces: Pieces, *, offset: int, count: int) -> str | int:
        """Send `count` bytes of a blob; return where the next ones go.

        A registry that takes none this way says so by the status that is returned instead. What a
        broken connection has brought there is unknown: ask `uploaded`.
        """
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(count)}
        if offset:
            headers["Content-Range"] = f"{offset}-{offset + count - 1}"
        async with self._transport.request(
            "PATCH",
            "",
            scope=self._scope,
            url=location,
            headers=headers,
            data=pieces,
            accept=(201, 202, 204, 405, 413, 501),
            tries=1,
        ) as response:
            return self._location(response) if response.status < 300 else response.status

    async def uploaded(self, location: str) -> tuple[str, int]:
        """Ask how much of a broken upload has arrived: (where to go on, bytes)."""
        async with self._transport.request(
            "GET", "", scope=self._scope, url=location, accept=(204, 202)
        ) as response:
            end = response.headers.get("Range", "0-0").rpartition("-")[2]
            count = int(end) + 1 if end.isdecimal() and end != "0" else 0
            return self._location(response), count

    async def finish_upload(
        self, location: str, digest: Digest, pieces: Pieces | None = None, *, count: int = 0
    ) -> None:
        """Close an upload, with its last bytes; the registry checks the digest."""
        joint = "&" if "?" in location else "?"
        url = f"{location}{joint}{urllib.parse.urlencode({'digest': digest})}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(count)}
        async with self._transport.request(
            "PUT",
            "",
            scope=self._scope,
            url=url,
            headers=headers,
            data=pieces or b"",
            accept=(201, 204),
            tries=1 if pieces else None,
        ):
            return

    async def put_manifest(self, reference: str, raw: bytes, media_type: str) -> Digest:
        """Store a manifest under a tag or its digest; return its digest.

        Raises: DataLoss when the registry says that it has stored something else.
        """
        digest = sha256_digest(raw)
        async with self._transport.request(
            "PUT",
            self._url(f"manifests/{reference}"),
            scope=self._scope,
            headers={"Content-Type": media_type},
            data=raw,
            accept=(201, 202),
        ) as response:
            stored = response.headers.get("Docker-Content-Digest", digest)
        if stored.startswith("sha256:") and stored != digest:
            raise DataLoss(
                f"the registry stored the manifest of {self.path} as {stored}, it is {digest}",
                hint="the registry changes what it is sent: ask who runs it",
            )
        return digest


def next_page(response: ClientResponse) -> str:
    """Where a list goes on (RFC 8288), at the same registry; empty at its end."""
    following = response.links.get("next")
    if not following:
        return ""
    target = urllib.parse.urlsplit(str(following["url"]))
    return target.path + (f"?{target.query}" if target.query else "")


def _tags(raw: bytes, path: str) -> list[str]:
    try:
        return list(msgspec.json.decode(raw, type=_TagList).tags or ())
    except msgspec.MsgspecError as err:
        raise DataLoss(
            f"the list of tags of {path} cannot be read: {err}", hint="the registry's own fault"
        ) from err


def _begins_at(response: ClientResponse, offset: int) -> bool:
    """True for a part that is the one that was asked for (RFC 9110 14.4)."""
    unit, _, span = response.headers.get("Content-Range", f"bytes {offset}-").partition(" ")
    return response.status == 206 and unit == "bytes" and span.startswith(f"{offset}-")


def _kind(raw: bytes, header: str) -> str:
    """The media type that the document names itself by, else the header's."""
    try:
        body = msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.MsgspecError as err:
        raise DataLoss("the registry sent a manifest that is not JSON") from err
    own = body.get("mediaType")
    if isinstance(own, str) and own:
        return own
    if "manifests" in body:
        return MediaType.OCI_INDEX
    return header or MediaType.OCI_MANIFEST
