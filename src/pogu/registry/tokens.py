"""Edge: token servers (distribution-spec, "Token Authentication" and its OAuth2 form).

A token is asked for by GET with the password as Basic, or, when we hold an identity token, by POST
as its refresh; a server that knows no POST is asked by GET then.
"""

from __future__ import annotations

import base64
import math
import time
import urllib.parse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pogu.errors import EngineError, Unauthorized, Unavailable
from pogu.registry.challenge import Challenge
from pogu.registry.credentials import Credentials
from pogu.registry.failure import refusal

__all__ = ["Exchange", "Token", "basic", "fetch_token", "merged_scopes"]

_CLIENT = "pogu"
_DEFAULT_LIFE_S = 60
_KNOWS_NO_POST = frozenset({404, 405, 501})

Exchange = Callable[[str, str, dict[str, str], bytes | None], Awaitable[tuple[int, bytes]]]
"""(method, URL, headers, body) → (status, body)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What goes into `Authorization`, until when, and how to get the next one."""

    header: str = field(repr=False)
    challenge: Challenge | None = None
    expires_at: float = math.inf
    """On the clock of `time.monotonic`."""
    identity_token: str = field(default="", repr=False)

    @property
    def is_stale(self) -> bool:
        return time.monotonic() >= self.expires_at


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def merged_scopes(*texts: str) -> list[str]:
    """Scopes, each resource once with all the actions that anyone wants of it."""
    wanted: dict[str, list[str]] = {}
    for scope in " ".join(texts).split():
        resource, _, actions = scope.rpartition(":")
        known = wanted.setdefault(resource, [])
        known += [action for action in actions.split(",") if action not in known]
    return [f"{resource}:{','.join(actions)}" for resource, actions in wanted.items()]


async def fetch_token(
    exchange: Exchange,
    challenge: Challenge,
    own: Credentials,
    scope: str,
    *,
    domain: str,
    offline: bool = False,
) -> Token:
    """Ask the server that the challenge names; `offline` asks for an identity token besides.

    Raises: Unauthorized when it refuses us; Unavailable.
    """
    scopes = merged_scopes(scope, challenge.parameters.get("scope", ""))
    service = challenge.parameters.get("service", "")
    realm = challenge.parameters.get("realm", "")
    status, raw = 404, b""
    if own.identity_token:
        status, raw = await exchange("POST", realm, _FORM, _form(own, service, scopes))
    if status in _KNOWS_NO_POST:
        url, headers = _question(realm, own, service, scopes, offline=offline)
        status, raw = await exchange("GET", url, headers, None)
    if status != 200:
        raise _refused(status, raw, own, domain, realm)
    return _read(raw, challenge, domain)


_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def _form(own: Credentials, service: str, scopes: list[str]) -> bytes:
    fields = {
        "grant_type": "refresh_token",
        "refresh_token": own.identity_token,
        "client_id": _CLIENT,
        "service": service,
        "scope": " ".join(scopes),
    }
    return urllib.parse.urlencode({key: value for key, value in fields.items() if value}).encode()


def _question(
    realm: str, own: Credentials, service: str, scopes: list[str], *, offline: bool
) -> tuple[str, dict[str, str]]:
    fields = [("service", service)] if service else []
    fields += [("scope", scope) for scope in scopes]
    if own.username:
        fields.append(("account", own.username))
    if offline:
        fields += [("offline_token", "true"), ("client_id", _CLIENT)]
    secret = own.password or own.identity_token
    headers = {"Authorization": basic(own.username or "<token>", secret)} if secret else {}
    joint = "&" if urllib.parse.urlsplit(realm).query else "?"
    return f"{realm}{joint}{urllib.parse.urlencode(fields)}", headers


def _refused(status: int, raw: bytes, own: Credentials, domain: str, realm: str) -> EngineError:
    if status in (400, 401, 403):
        login = f"pogu login{'' if domain == 'docker.io' else f' {domain}'}"
        if own.is_anonymous:
            return Unauthorized("unauthorized: authentication required", hint=f"log in: {login}")
        return Unauthorized(
            "unauthorized: incorrect username or password", hint=f"log in again: {login}"
        )
    where = urllib.parse.urlsplit(realm)
    return refusal(
        status,
        raw,
        domain=f"the token server {where.netloc} of {domain}",
        path=where.path,
        anonymous=own.is_anonymous,
    )


def _read(raw: bytes, challenge: Challenge, domain: str) -> Token:
    try:
        body = msgspec.json.decode(raw, type=dict[str, Any])
        token = str(body.get("token") or body["access_token"])
        life_s = float(body.get("expires_in") or _DEFAULT_LIFE_S)
    except (msgspec.MsgspecError, KeyError, ValueError, TypeError) as err:
        raise Unavailable(
            f"the token server of {domain} sent no token", hint="its own fault; try again"
        ) from err
    return Token(
        header=f"Bearer {token}",
        challenge=challenge,
        # Renewed a little early: a request takes its time.
        expires_at=time.monotonic() + max(life_s - 5, life_s / 2),
        identity_token=str(body.get("refresh_token") or ""),
    )
