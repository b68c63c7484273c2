"""Format: what a registry, or the way to it, says no with, in Docker's words and with a hint."""

from __future__ import annotations

import email.utils
import socket
import ssl
import time
import urllib.parse
from enum import StrEnum
from typing import Any

import msgspec

from pogu.errors import (
    EngineError,
    Forbidden,
    InvalidParameter,
    NotFound,
    Unauthorized,
    Unavailable,
)

__all__ = ["Cause", "cause_of", "refusal", "retry_after_s", "unreachable"]

_UNTRUSTED = {
    9: "certificate has expired or is not yet valid",
    10: "certificate has expired or is not yet valid",
    18: "certificate signed by unknown authority",
    19: "certificate signed by unknown authority",
    20: "certificate signed by unknown authority",
    21: "certificate signed by unknown authority",
    62: "certificate is not valid for any names that match",
    64: "certificate is not valid for any names that match",
}
_OF_PROXIES = ("ClientProxyConnectionError", "ClientHttpProxyError")
_PROXY_HINT = (
    "HTTPS_PROXY, HTTP_PROXY and NO_PROXY say which proxy is used, http://USER:PASSWORD@HOST:PORT"
    " where it wants a login; after a change: pogu engine stop"
)
_SPEAKS_HTTP = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")
_WANTS_CERTIFICATE = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "BAD_CERTIFICATE", "UNKNOWN_CA")


class Cause(StrEnum):
    """What kind of failure it is: whether it helps to try again, and how."""

    UNTRUSTED = "untrusted"
    """The other side is not who it should be: never tried in another way."""
    UNREACHABLE = "unreachable"
    """Nothing answers there."""
    BROKEN = "broken"
    """Something answered and broke off."""


def _root(err: BaseException) -> BaseException:
    """The system's own error below those of the HTTP client."""
    for name in ("certificate_error", "os_error"):
        found = getattr(err, name, None)
        if isinstance(found, BaseException):
            return found
    return err.__cause__ if isinstance(err.__cause__, (ssl.SSLError, OSError)) else err


def cause_of(err: BaseException) -> Cause:
    root = _root(err)
    if isinstance(root, ssl.SSLCertVerificationError):
        return Cause.UNTRUSTED
    if isinstance(root, ssl.SSLError) and any(word in str(root) for word in _WANTS_CERTIFICATE):
        return Cause.UNTRUSTED
    if isinstance(root, (ssl.SSLError, ConnectionRefusedError, socket.gaierror)):
        return Cause.UNREACHABLE
    if isinstance(root, (ConnectionError, BrokenPipeError)):
        return Cause.BROKEN
    if type(err).__name__ in ("ConnectionTimeoutError", *_OF_PROXIES):
        return Cause.UNREACHABLE
    if isinstance(root, OSError) and not isinstance(root, TimeoutError) and root.errno is not None:
        return Cause.UNREACHABLE
    return Cause.BROKEN


def unreachable(method: str, url: str, err: BaseException) -> Unavailable:
    """Docker's sentence for a request that got no answer; the query (it may hold keys) is left out.

    A failure of the name or the certificate says what to do about it.
    """
    parts = urllib.parse.urlsplit(url)
    shown = urllib.parse.urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    if type(err).__name__ in _OF_PROXIES:
        words, hint = _of_proxy(err), _PROXY_HINT
    else:
        words, hint = _words(_root(err), err, parts)
    return Unavailable(f'{method.capitalize()} "{shown}": {words}', hint=hint)


def _words(
    root: BaseException, err: BaseException, parts: urllib.parse.SplitResult
) -> tuple[str, str]:
    host = parts.netloc
    if isinstance(root, ssl.SSLCertVerificationError):
        return _untrusted(root, host)
    if isinstance(root, ssl.SSLError):
        if any(word in str(root) for word in _SPEAKS_HTTP):
            return (
                "http: server gave HTTP response to HTTPS client",
                f'to allow plain http there: [registry] insecure = ["{host}"] in'
                " /etc/pogu/config.toml",
            )
        if any(word in str(root) for word in _WANTS_CERTIFICATE):
            return (
                "remote error: tls: certificate required",
                f"put your certificate and its key into /etc/pogu/certs.d/{host}/client.cert and"
                " client.key",
            )
        return f"tls: {root.reason or root}", "a proxy in between, or a very old server?"
    if isinstance(root, socket.gaierror):
        known = root.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", -5))
        why = "no such host" if known else (root.strerror or str(root))
        return f"dial tcp: lookup {parts.hostname}: {why}", _NO_NETWORK
    if isinstance(root, ConnectionRefusedError):
        return f"dial tcp {_with_port(parts)}: connect: connection refused", (
            "does the registry run there, and is that its port?"
        )
    if isinstance(root, TimeoutError) or isinstance(err, TimeoutError):
        if cause_of(err) is Cause.UNREACHABLE:
            return f"dial tcp {_with_port(parts)}: i/o timeout", _NO_NETWORK
        return "net/http: timeout awaiting response headers", "the registry is silent: try again"
    if isinstance(root, ConnectionError) and root.errno is None:
        return "EOF", "the connection was cut: try again"
    reason = getattr(root, "strerror", None) or str(root) or type(root).__name__
    return str(reason), _NO_NETWORK


_NO_NETWORK = (
    "is the name right, and the network up? `pogu image bootstrap debian:bookworm` makes a base"
    " image without a registry"
)


def _of_proxy(err: BaseException) -> str:
    """A proxy that does not answer, or refuses; its URL (it may hold a password) is left out."""
    status, host = getattr(err, "status", None), getattr(err, "host", "")
    if status is not None:
        return f"proxyconnect tcp: {status} {getattr(err, 'message', '')}".rstrip()
    proxy = urllib.parse.urlsplit(f"http://{host}:{getattr(err, 'port', '')}")
    return f"proxyconnect tcp: {_words(_root(err), err, proxy)[0]}"


def _with_port(parts: urllib.parse.SplitResult) -> str:
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _untrusted(err: ssl.SSLCertVerificationError, host: str) -> tuple[str, str]:
    words = _UNTRUSTED.get(err.verify_code, err.verify_message)
    hints = {
        9: "is the clock right?",
        10: "the registry must renew it (or is the clock wrong here?)",
        62: "use the name that the certificate is made for",
        64: "use the name that the certificate is made for",
    }
    hint = hints.get(
        err.verify_code,
        f"if you trust it, put its authority's certificate into /etc/pogu/certs.d/{host}/ca.crt",
    )
    if err.verify_code in (62, 64):
        words = f"{words} {urllib.parse.urlsplit(f'//{host}').hostname}"
    return f"tls: failed to verify certificate: x509: {words}", hint


def retry_after_s(text: str) -> float | None:
    """Read `Retry-After` (RFC 9110 10.2.3): seconds or a date."""
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def refusal(
    status: int,
    raw: bytes,
    *,
    domain: str,
    path: str,
    anonymous: bool,
    insufficient: bool = False,
    retry_after: float | None = None,
) -> EngineError:
    """Turn a registry's answer (distribution-spec, "Error Codes") into one of our errors.

    `insufficient`: a token was sent and does not allow this.
    """
    code, said = _first_error(raw)
    login = f"log in: pogu login{'' if domain == 'docker.io' else f' {domain}'}"
    if status == 403 or (status == 401 and insufficient):
        return Forbidden("denied: requested access to the resource is denied", hint=login)
    if status == 401:
        text = "authentication required" if anonymous else "incorrect username or password"
        return Unauthorized(f"unauthorized: {text}", hint=login)
    if status == 404:
        words = said or code.replace("_", " ")
        words = words if code == "manifest_unknown" else f"{code.replace('_', ' ')}: {said}"
        return NotFound(words.strip(": ") if code else f"{path}: not found")
    if status == 429:
        wait = f"wait {retry_after:.0f} s" if retry_after else "wait a while"
        return Unavailable(
            f"toomanyrequests: {said or 'the registry answered 429'}",
            hint=f"the registry limits how often you may ask: {wait}"
            + (f", or {login} (a login raises the limit)" if anonymous else ""),
        )
    words = f"{code}: {said}".strip(": ") or f"received unexpected HTTP status: {status}"
    if status < 500:
        return InvalidParameter(f"{domain}: {words}", hint=f"the registry refused {path}")
    return Unavailable(f"{domain}: {words}", hint="the registry's own fault; try again")


def _first_error(raw: bytes) -> tuple[str, str]:
    """(code in lower case, message) of the registry's first error; both empty without one."""
    try:
        first = msgspec.json.decode(raw, type=dict[str, Any])["errors"][0]
        return str(first.get("code") or "").lower(), str(first.get("message") or "")
    except (msgspec.MsgspecError, KeyError, IndexError, TypeError, AttributeError, ValueError):
        return "", ""
