"""Format: who we are at a registry: what clients send in `X-Registry-Auth`. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

__all__ = ["Credentials", "credentials_for", "decode_auth", "decode_auth_map"]

_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "docker.io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Empty = anonymous. Secrets stay out of every printed form."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    server: str = ""

    @property
    def is_anonymous(self) -> bool:
        return not (self.username or self.identity_token or self.registry_token)


class _Wire(msgspec.Struct, frozen=True):
    username: str = ""
    password: str = ""
    auth: str = ""
    identitytoken: str = ""
    registrytoken: str = ""
    serveraddress: str = ""

    def credentials(self) -> Credentials:
        username, password = self.username, self.password
        if self.auth and not username:
            username, _, password = _decoded(self.auth).decode(errors="replace").partition(":")
        return Credentials(
            username=username,
            password=password.rstrip("\0"),
            identity_token=self.identitytoken,
            registry_token=self.registrytoken,
            server=self.serveraddress,
        )


def _decoded(text: str) -> bytes:
    """Standard or URL-safe base64, padded or not; empty when it is neither."""
    plain = text.replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4))
    except binascii.Error:
        return b""


def decode_auth(header: str) -> Credentials:
    """Read `X-Registry-Auth`; what cannot be read is anonymous, as Docker takes it."""
    try:
        return msgspec.json.decode(_decoded(header) or b"{}", type=_Wire).credentials()
    except msgspec.MsgspecError:
        return Credentials()


def decode_auth_map(header: str) -> dict[str, Credentials]:
    """Read `X-Registry-Config`: credentials by registry."""
    try:
        found = msgspec.json.decode(_decoded(header) or b"{}", type=dict[str, _Wire])
    except msgspec.MsgspecError:
        return {}
    return {server: wire.credentials() for server, wire in found.items()}


def credentials_for(domain: str, known: Mapping[str, Credentials]) -> Credentials:
    """Return who we are at a registry; anonymous when nothing is known."""
    keys = _HUB_KEYS if domain == "docker.io" else (domain,)
    return next((known[key] for key in keys if key in known), Credentials())
