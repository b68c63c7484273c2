"""Edge: requests to one registry: tokens, retries, endpoints in turn. aiohttp's client.

A broken connection, 5xx and 429 are tried again with growing pauses; 401 once, with a token.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from pogu import __version__
from pogu.errors import EngineError, Forbidden, NotFound, Unauthorized, Unavailable
from pogu.registry.challenge import Challenge, parse_challenges
from pogu.registry.credentials import Credentials
from pogu.registry.endpoint import Endpoint

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

__all__ = ["Transport"]

log = logging.getLogger(__name__)

_TRIES = 5
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 30.0
_CONNECT_S = 10.0
_SILENCE_S = 60.0
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    header: str
    scope: str


class _Again(Exception):
    """A failure that may be gone the next time."""

    def __init__(self, error: EngineError, pause_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.pause_s = pause_s


class Transport:
    """For one registry and one set of credentials. An async context manager."""

    def __init__(
        self,
        domain: str,
        endpoints: list[Endpoint],
        credentials: Credentials,
        *,
        tries: int = _TRIES,
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        self._domain = domain
        self._endpoints = endpoints
        self._credentials = credentials
        self._tries = tries
        self._first_pause_s = first_pause_s
        self._tokens: dict[tuple[str, str], _Token] = {}
        self._session: ClientSession | None = None
        self._answered = False
        """Something answered once: what fails afterwards may work again."""

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> ClientSession:
        if self._session is None:
            import aiohttp

            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S
            )
            self._session = aiohttp.ClientSession(
                timeout=timeout,
                trust_env=True,
                auto_decompress=False,
                headers={"User-Agent": f"pogu/{__version__}"},
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            )
        return self._session

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        accept: tuple[int, ...] = (200,),
        url: str | None = None,
    ) -> AsyncIterator[ClientResponse]:
        """Give the answer, whose status is one of `accept`, its body still unread.

        `url` instead of a path goes to exactly there (an upload's location). `data` that is no
        bytes cannot be sent twice: then only the first try counts.
        Raises: NotFound, Unauthorized, Forbidden, Unavailable, in Docker's words.
        """
        repeatable = data is None or isinstance(data, (bytes, bytearray, memoryview))
        pause_s = self._first_pause_s
        for attempt in range(1, self._tries + 1):
            try:
                response = await self._once(method, path, scope, headers, data, accept, url)
                break
            except _Again as again:
                if attempt == self._tries or not repeatable or not self._answered:
                    raise again.error from again
                wait_s = min(
                    again.pause_s if again.pause_s is not None else pause_s, _LONGEST_PAUSE_S
                )
                log.info("registry=%s again in %.1f s: %s", self._domain, wait_s, again.error)
                await asyncio.sleep(wait_s)
                pause_s *= 2
        try:
            yield response
        finally:
            response.release()

    async def _once(
        self,
        method: str,
        path: str,
        scope: str,
        headers: Mapping[str, str] | None,
        data: Any,
        accept: tuple[int, ...],
        url: str | None,
    ) -> ClientResponse:
        failure: EngineError | None = None
        for endpoint in list(self._endpoints):
            target = url if url is not None else endpoint.url + path
            try:
                response = await self._authorized(method, target, endpoint, scope, headers, data)
            except _Again as again:
                failure = again.error
                continue  # the next endpoint: a mirror is down, or it speaks http only
            if response.status in accept:
                if not endpoint.is_mirror:
                    # This is the one that answers: the others need not be asked again.
                    self._endpoints = [
                        one for one in self._endpoints if one.is_mirror or one is endpoint
                    ]
                return response
            error = await self._error(response, path)
            if endpoint.is_mirror and response.status != 401:
                failure = error
                continue
            if response.status in _RETRIED:
                raise _Again(error, _retry_after(response))
            raise error
        assert failure is not None
        raise _Again(failure)

    async def _authorized(
        self,
        method: str,
        url: str,
        endpoint: Endpoint,
        scope: str,
        headers: Mapping[str, str] | None,
        data: Any,
    ) -> ClientResponse:
        key = (endpoint.url, scope)
        token = self._tokens.get(key)
        response = await self._send(method, url, endpoint, headers, data, token)
        if response.status != 401:
            return response
        challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
        fresh = await self._answer(challenges, endpoint, scope)
        if fresh is None or (token is not None and fresh.header == token.header):
            return response
        response.release()
        self._tokens[key] = fresh
        return await self._send(method, url, endpoint, headers, data, fresh)

    async def _send(
        self,
        method: str,
        url: str,
        endpoint: Endpoint,
        headers: Mapping[str, str] | None,
        data: Any,
        token: _Token | None,
    ) -> ClientResponse:
        import aiohttp

        sent = dict(headers or {})
        if token is not None and url.startswith(endpoint.url + "/"):
            sent["Authorization"] = token.header
        try:
            response = await self._open().request(
                method, url, headers=sent, data=data, ssl=endpoint.tls or True
            )
            self._answered = True
            return response
        except (aiohttp.ClientError, TimeoutError, ssl.SSLError, OSError) as err:
            raise _Again(_unreachable(self._domain, err)) from err

    async def _answer(
        self, challenges: list[Challenge], endpoint: Endpoint, scope: str
    ) -> _Token | None:
        """Return what answers one of the challenges; None when nothing of ours does."""
        own = self._credentials
        for challenge in challenges:
            if challenge.scheme == "bearer":
                if own.registry_token:
                    return _Token(header=f"Bearer {own.registry_token}", scope=scope)
                return await self._fetch_token(challenge, endpoint, scope)
            if challenge.scheme == "basic" and own.username:
                return _Token(header=_basic(own), scope=scope)
        return None

    async def _fetch_token(
        self, challenge: Challenge, endpoint: Endpoint, scope: str
    ) -> _Token | None:
        """The token server (distribution-spec, "Token Authentication")."""
        import aiohttp

        realm = challenge.parameters.get("realm", "")
        if not realm.startswith(("https://", "http://")):
            return None
        query = {"service": challenge.parameters.get("service", "")}
        wanted = challenge.parameters.get("scope") or scope
        own = self._credentials
        tls: ssl.SSLContext | bool = endpoint.tls if endpoint.tls is not None else True
        try:
            if own.identity_token:
                form = {
                    **query,
                    "grant_type": "refresh_token",
                    "refresh_token": own.identity_token,
                    "client_id": "pogu",
                    "scope": wanted,
                }
                response = await self._open().post(realm, data=form, ssl=tls)
            else:
                headers = {"Authorization": _basic(own)} if own.username else {}
                asked = {**query, "scope": wanted}
                if own.username:
                    asked["account"] = own.username
                response = await self._open().get(realm, params=asked, headers=headers, ssl=tls)
            async with response:
                raw = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as err:
            raise _Again(_unreachable(realm, err)) from err
        if status in (401, 403):
            raise self._denied(own)
        if status != 200:
            raise _Again(Unavailable(f"token server of {self._domain} answered {status}"))
        try:
            body = msgspec.json.decode(raw, type=dict[str, Any])
            token = str(body.get("token") or body["access_token"])
        except (msgspec.MsgspecError, KeyError) as err:
            raise Unavailable(f"the token server of {self._domain} sent no token") from err
        return _Token(header=f"Bearer {token}", scope=scope)

    def _denied(self, own: Credentials) -> Unauthorized:
        if own.is_anonymous:
            return Unauthorized(
                "unauthorized: authentication required", hint=f"log in: pogu login {self._domain}"
            )
        return Unauthorized(
            "unauthorized: incorrect username or password",
            hint=f"log in again: pogu login {self._domain}",
        )

    async def _error(self, response: ClientResponse, path: str) -> EngineError:
        """Read the registry's error (distribution-spec, "Error Codes")."""
        raw = await response.read()
        try:
            first = msgspec.json.decode(raw, type=dict[str, Any])["errors"][0]
            code = str(first.get("code", "")).lower().replace("_", " ")
            words = f"{first.get('code', '').lower()}: {first.get('message', '')}".strip(": ")
            words = str(first.get("message") or code) if code == "manifest unknown" else words
        except (msgspec.MsgspecError, KeyError, IndexError, TypeError, AttributeError):
            code, words = "", f"status {response.status} from {self._domain}"
        login = f"log in: pogu login {self._domain}"
        match response.status:
            case 401:
                anonymous = self._credentials.is_anonymous
                text = "authentication required" if anonymous else "incorrect username or password"
                return Unauthorized(f"unauthorized: {text}", hint=login)
            case 403:
                return Forbidden("denied: requested access to the resource is denied", hint=login)
            case 404:
                return NotFound(words if code else f"{path}: not found")
            case 429:
                return Unavailable(
                    f"toomanyrequests: {words}",
                    hint=f"the registry limits how often you may ask: wait, or {login}",
                )
        return Unavailable(f"{self._domain}: {words}", hint="the registry's own fault; try again")


def _basic(own: Credentials) -> str:
    pair = f"{own.username}:{own.password}".encode()
    return "Basic " + base64.b64encode(pair).decode()


def _retry_after(response: ClientResponse) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None


def _unreachable(where: str, err: BaseException) -> Unavailable:
    cause = getattr(err, "os_error", None) or err
    reason = getattr(cause, "strerror", None) or str(cause) or type(err).__name__
    return Unavailable(
        f"failed to reach {where}: {reason}",
        hint="is the name right, and the network up? `pogu image bootstrap debian:bookworm` makes"
        " a base image without a registry",
    )
