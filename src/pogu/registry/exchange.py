"""Edge: one HTTP exchange: proxy, TLS of whatever host, redirects, silence. aiohttp's client."""

from __future__ import annotations

import asyncio
import os
import urllib.parse
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from pogu import __version__
from pogu.errors import EngineError, Unavailable
from pogu.linux.blocking import in_thread
from pogu.registry.endpoint import Endpoint, Trust
from pogu.registry.failure import Cause, cause_of, unreachable
from pogu.registry.proxy import proxy_for

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

__all__ = ["Again", "Body", "Exchange", "body_of"]

_CONNECT_S = 10.0
_REDIRECTS = 10
_REDIRECTED = frozenset({301, 302, 303, 307, 308})

Body = bytes | Callable[[], AsyncIterator[bytes]] | None
"""What is sent; a function begins anew when the request has to be made again."""


class Again(Exception):
    """A failure that may be gone the next time; `cause` None = the registry answered so."""

    def __init__(
        self, error: EngineError, *, pause_s: float | None = None, cause: Cause | None = None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.pause_s = pause_s
        self.cause = cause


class Exchange:
    """Sends requests; `close` ends it. `silence_s`: how long nothing may move."""

    def __init__(self, domain: str, trust: Trust, *, silence_s: float) -> None:
        self._domain = domain
        self._trust = trust
        self._silence_s = silence_s
        self._session: ClientSession | None = None

    async def close(self) -> None:
        """Idempotent."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> ClientSession:
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                headers={"User-Agent": f"pogu/{__version__}"},
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def send(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        data: Body,
        endpoint: Endpoint | None = None,
    ) -> ClientResponse:
        """Follow redirects; what says who we are stays behind at the first other host."""
        for _ in range(_REDIRECTS):
            response = await self._once(method, url, headers, data, endpoint)
            location = response.headers.get("Location", "")
            if response.status not in _REDIRECTED or not location:
                return response
            response.release()
            target = urllib.parse.urljoin(url, location)
            if _origin(target) != _origin(url):
                headers = {
                    name: value for name, value in headers.items() if name != "Authorization"
                }
            if response.status == 303 or (response.status < 303 and method == "POST"):
                method, data = "GET", None
            url = target
        raise Unavailable(
            f"stopped after {_REDIRECTS} redirects from {self._domain}",
            hint="the registry's own fault; is a mirror or proxy set up in a circle?",
        )

    async def _once(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        data: Body,
        endpoint: Endpoint | None,
    ) -> ClientResponse:
        """Raises: Again when no answer came; Unavailable for plain http where it is not allowed."""
        import aiohttp
        import yarl

        loop = asyncio.get_running_loop()
        tls = await self._tls(url, endpoint)
        # While a body is sent nothing is received: its own progress is watched instead.
        silent_s = None if callable(data) else self._silence_s
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=silent_s)
        try:
            async with asyncio.timeout(self._silence_s) as limit:

                def moved() -> None:
                    limit.reschedule(loop.time() + self._silence_s)

                return await self._open().request(
                    method,
                    yarl.URL(url, encoded=True),
                    headers=headers,
                    data=_watched(data(), moved) if callable(data) else data,
                    ssl=tls,
                    proxy=proxy_for(url, os.environ),
                    allow_redirects=False,
                    timeout=timeout,
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as err:
            raise Again(unreachable(method, url, err), cause=cause_of(err)) from err
        except ValueError as err:
            raise Unavailable(
                f"{self._domain} named an address that is none: {url.partition('?')[0][:200]!r}",
                hint="the registry's own fault",
            ) from err

    async def _tls(self, url: str, endpoint: Endpoint | None) -> Any:
        """How to speak to the URL's host. Raises: Unavailable for plain http not allowed."""
        parts = urllib.parse.urlsplit(url)
        if endpoint is not None and _origin(url) == _origin(endpoint.url):
            return endpoint.tls or True
        if parts.scheme == "https":
            return await in_thread(self._trust.context, parts.netloc)
        if parts.scheme == "http" and await in_thread(self._trust.allows_http, parts.netloc):
            return True
        raise Unavailable(
            f"{self._domain} sends us to {parts.scheme}://{parts.netloc}, which is not secured",
            hint=f'to allow that: [registry] insecure = ["{parts.netloc}"] in'
            " /etc/pogu/config.toml",
        )


async def body_of(response: ClientResponse, most: int) -> bytes:
    """Return the whole body; of one that is longer than `most` a little more than that."""
    raw = bytearray()
    while len(raw) <= most and (more := await response.content.read(1 << 16)):
        raw += more
    return bytes(raw)


async def _watched(pieces: AsyncIterator[bytes], moved: Callable[[], None]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        moved()
        yield piece
    moved()


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
