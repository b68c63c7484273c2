"""Edge: requests to one registry: tokens, retries, endpoints in turn. aiohttp's client.

A broken connection, 5xx and 429 are tried again with growing pauses; 401 once, with a new token. A
mirror that fails is left for the next one. Credentials go to the registry itself only, never to a
mirror and never along a redirect to another host.
"""

from __future__ import annotations

import asyncio
import logging
import urllib.parse
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pogu.config import Config
from pogu.errors import EngineError
from pogu.linux.blocking import in_thread
from pogu.registry.challenge import Challenge, parse_challenges
from pogu.registry.credentials import Credentials
from pogu.registry.endpoint import Endpoint, Trust
from pogu.registry.exchange import Again, Body, Exchange, body_of
from pogu.registry.failure import Cause, refusal, retry_after_s, unreachable
from pogu.registry.tokens import Token, basic, fetch_token

if TYPE_CHECKING:
    from aiohttp import ClientResponse

__all__ = ["Body", "Transport", "open_transport"]

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 15.0
_LOGINS = 2
_LARGEST_REFUSAL = 1 << 20
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})


@asynccontextmanager
async def open_transport(
    domain: str,
    config: Config,
    credentials: Credentials | None = None,
    *,
    mirrors: bool = True,
    offline: bool = False,
) -> AsyncIterator[Transport]:
    """Give a transport to a registry. Raises: InvalidParameter for unusable certificates."""
    trust = Trust(config)
    where = await in_thread(trust.endpoints, domain, mirrors=mirrors)
    async with Transport(
        domain,
        where,
        credentials or Credentials(),
        trust=trust,
        tries=config.registry_tries,
        silence_s=config.registry_timeout_s,
        offline=offline,
    ) as transport:
        yield transport


class Transport:
    """For one registry and one set of credentials. An async context manager."""

    def __init__(
        self,
        domain: str,
        endpoints: list[Endpoint],
        credentials: Credentials,
        *,
        trust: Trust | None = None,
        tries: int = 5,
        first_pause_s: float = _FIRST_PAUSE_S,
        silence_s: float = 60,
        offline: bool = False,
    ) -> None:
        self._domain = domain
        self._endpoints = endpoints
        self._credentials = credentials
        self._exchange = Exchange(domain, trust or Trust(Config()), silence_s=silence_s)
        self._tries = tries
        self._first_pause_s = first_pause_s
        self._silence_s = silence_s
        self._offline = offline
        self._tokens: dict[tuple[str, str], Token] = {}
        self._asking: dict[tuple[str, str], asyncio.Lock] = {}
        self._answered = False
        """Something answered once: what fails afterwards may work again."""
        self.identity_token = ""
        """What a token server gave in place of the password (`offline`)."""

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._exchange.close()

    @property
    def url(self) -> str:
        """The base address of the registry itself."""
        return self._endpoints[-1].url

    def leave_mirrors(self) -> bool:
        """What a mirror sent is damaged: ask the registry itself. False when there are none."""
        own = [one for one in self._endpoints if not one.is_mirror]
        had = len(own) < len(self._endpoints)
        self._endpoints = own
        return had

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        data: Body = None,
        accept: tuple[int, ...] = (200,),
        url: str | None = None,
        tries: int | None = None,
    ) -> AsyncIterator[ClientResponse]:
        """Give the answer, whose status is one of `accept`, its body still unread.

        `url` instead of a path goes to exactly there (an upload's location). `tries` bounds how
        often (a chunk cannot just be sent again).
        Raises: NotFound, Unauthorized, Forbidden, Unavailable, in Docker's words.
        """
        pause_s = self._first_pause_s
        most = tries or self._tries
        for attempt in range(1, most + 1):
            try:
                response = await self._in_turn(
                    method, path, scope, dict(headers or {}), data, accept, url
                )
                break
            except Again as again:
                wait_s = again.pause_s if again.pause_s is not None else pause_s
                if attempt == most or wait_s > _LONGEST_PAUSE_S or not self._helps(again.cause):
                    raise again.error from again
                log.info("registry=%s again in %.1f s: %s", self._domain, wait_s, again.error)
                await asyncio.sleep(wait_s)
                pause_s *= 3
        try:
            yield response
        finally:
            response.release()

    def _helps(self, cause: Cause | None) -> bool:
        """Whether the same request may have another outcome in a moment."""
        return cause is None or cause is Cause.BROKEN or self._answered

    async def _in_turn(
        self,
        method: str,
        path: str,
        scope: str,
        headers: dict[str, str],
        data: Body,
        accept: tuple[int, ...],
        url: str | None,
    ) -> ClientResponse:
        """One round: each endpoint until one answers."""
        failure: EngineError | None = None
        cause: Cause | None = None
        for endpoint in list(self._endpoints):
            target = url if url is not None else endpoint.url + path
            try:
                response = await self._authorized(method, target, endpoint, scope, headers, data)
            except Again as again:
                if not endpoint.is_mirror and again.cause is Cause.UNTRUSTED:
                    raise again.error from again
                failure, cause = again.error, again.cause
                self._failed(endpoint, failure, drop=again.cause is not None)
                continue  # the next endpoint: a mirror is down, or it speaks http only
            except EngineError as err:
                if not endpoint.is_mirror:
                    raise
                self._failed(endpoint, err, drop=True)
                continue
            if response.status in accept:
                self._settle(endpoint)
                return response
            error, retry = await self._refused(response, path)
            if endpoint.is_mirror:
                self._failed(endpoint, error, drop=response.status in (401, 403))
                continue
            raise retry or error
        assert failure is not None
        raise Again(failure, cause=cause)

    def _failed(self, endpoint: Endpoint, error: EngineError, *, drop: bool) -> None:
        if endpoint.is_mirror:
            log.info("registry=%s mirror=%s failed: %s", self._domain, endpoint.url, error)
            if drop:
                self._endpoints = [one for one in self._endpoints if one is not endpoint]

    def _settle(self, endpoint: Endpoint) -> None:
        """This is the one that answers: https and http need not both be asked again."""
        if not endpoint.is_mirror:
            self._endpoints = [one for one in self._endpoints if one.is_mirror or one is endpoint]

    async def _refused(
        self, response: ClientResponse, path: str
    ) -> tuple[EngineError, Again | None]:
        """Read what the registry says no with, and whether another try may help."""
        import aiohttp

        try:
            async with asyncio.timeout(self._silence_s):
                raw = await body_of(response, _LARGEST_REFUSAL)
        except (aiohttp.ClientError, TimeoutError):
            raw = b""
        finally:
            response.release()
        pause_s = retry_after_s(response.headers.get("Retry-After", ""))
        challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
        error = refusal(
            response.status,
            raw,
            domain=self._domain,
            path=path,
            anonymous=self._credentials.is_anonymous,
            insufficient=_is_insufficient(challenges),
            retry_after=pause_s,
        )
        again = Again(error, pause_s=pause_s) if response.status in _RETRIED else None
        return error, again

    # ---- who we are ----------------------------------------------------------------------

    async def _authorized(
        self,
        method: str,
        url: str,
        endpoint: Endpoint,
        scope: str,
        headers: dict[str, str],
        data: Body,
    ) -> ClientResponse:
        """Send with the token there is; get one where it is asked for, another if it ran out."""
        key = (endpoint.url, scope)
        token = self._tokens.get(key)
        if token is not None and token.is_stale and token.challenge is not None:
            token = await self._renew(key, token, [token.challenge], endpoint)
        response = await self._send(method, url, endpoint, headers, data, token)
        for _ in range(_LOGINS):
            if response.status != 401 or not url.startswith(endpoint.url + "/"):
                return response
            challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
            if token is not None and _is_insufficient(challenges):
                return response
            try:
                fresh = await self._renew(key, token, challenges, endpoint)
            except BaseException:
                response.release()
                raise
            if fresh is None or (token is not None and fresh.header == token.header):
                return response
            response.release()
            token = fresh
            response = await self._send(method, url, endpoint, headers, data, token)
        return response

    async def _renew(
        self,
        key: tuple[str, str],
        used: Token | None,
        challenges: list[Challenge],
        endpoint: Endpoint,
    ) -> Token | None:
        """Return a token other than `used`: what a neighbour fetched meanwhile, or a new one."""
        async with self._asking.setdefault(key, asyncio.Lock()):
            current = self._tokens.get(key)
            if current is not None and current is not used and not current.is_stale:
                return current
            fresh = await self._answer(challenges, endpoint, key[1])
            if fresh is not None:
                self._tokens[key] = fresh
                self.identity_token = fresh.identity_token or self.identity_token
            return fresh

    async def _answer(
        self, challenges: list[Challenge], endpoint: Endpoint, scope: str
    ) -> Token | None:
        """Return what answers one of the challenges; None when nothing of ours does."""
        own = Credentials() if endpoint.is_mirror else self._credentials
        for challenge in challenges:
            if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
                if own.registry_token:
                    return Token(header=f"Bearer {own.registry_token}")
                return await fetch_token(
                    self._ask_token_server,
                    challenge,
                    own,
                    scope,
                    domain=self._domain,
                    offline=self._offline,
                )
            if challenge.scheme == "basic" and own.username:
                return Token(header=basic(own.username, own.password))
        return None

    async def _ask_token_server(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        """Raises: Again when it does not answer, or is too busy to."""
        import aiohttp

        response = await self._exchange.send(method, url, headers, body)
        try:
            async with asyncio.timeout(self._silence_s):
                raw = await body_of(response, _LARGEST_REFUSAL)
        except (aiohttp.ClientError, TimeoutError, OSError) as err:
            raise Again(unreachable(method, url, err), cause=Cause.BROKEN) from err
        finally:
            response.release()
        if response.status in _RETRIED:
            pause_s = retry_after_s(response.headers.get("Retry-After", ""))
            where = f"the token server of {self._domain}"
            error = refusal(
                response.status,
                raw,
                domain=where,
                path=urllib.parse.urlsplit(url).path,
                anonymous=self._credentials.is_anonymous,
                retry_after=pause_s,
            )
            raise Again(error, pause_s=pause_s)
        return response.status, raw

    async def _send(
        self,
        method: str,
        url: str,
        endpoint: Endpoint,
        headers: dict[str, str],
        data: Body,
        token: Token | None,
    ) -> ClientResponse:
        sent = dict(headers)
        if token is not None and url.startswith(endpoint.url + "/"):
            sent["Authorization"] = token.header
        response = await self._exchange.send(method, url, sent, data, endpoint)
        self._answered = True
        return response


def _is_insufficient(challenges: list[Challenge]) -> bool:
    """A token was sent that holds, and does not allow this (RFC 6750 3.1)."""
    return any(one.parameters.get("error") == "insufficient_scope" for one in challenges)
