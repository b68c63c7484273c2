"""Format: whole answers: JSON, and errors in Docker's form with our hint."""

from __future__ import annotations

import logging
import secrets

import msgspec

from pogu import __version__
from pogu.api.http_server import Response
from pogu.errors import (
    Conflict,
    EngineError,
    Forbidden,
    InvalidParameter,
    NotFound,
    NotImplementedByEngine,
    NotModified,
    Unauthorized,
    Unavailable,
)
from pogu.host_failure import host_failure

__all__ = [
    "API_VERSION",
    "HEADERS",
    "MIN_API_VERSION",
    "empty",
    "error_body",
    "error_reply",
    "hinted",
    "json_reply",
    "status_of",
    "unexpected",
]

log = logging.getLogger(__name__)

API_VERSION = (1, 51)
MIN_API_VERSION = (1, 24)

_STATUS: dict[type[EngineError], int] = {
    NotFound: 404,
    InvalidParameter: 400,
    Conflict: 409,
    NotModified: 304,
    Unauthorized: 401,
    Forbidden: 403,
    Unavailable: 503,
    NotImplementedByEngine: 501,
}
HEADERS = {
    "Api-Version": f"{API_VERSION[0]}.{API_VERSION[1]}",
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"Docker/28.5.0 (linux) Pogu/{__version__}",
}
_JSON = HEADERS | {"Content-Type": "application/json"}


def status_of(error: EngineError) -> int:
    """Return the HTTP status that stands for this kind of error."""
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return 500


def hinted(error: EngineError) -> str:
    """Return message and hint as one text, for clients that know no hint."""
    return f"{error.message}\n{error.hint}" if error.hint else error.message


def error_body(error: EngineError) -> dict[str, str]:
    """`message` for every client; ours also finds the two parts apart."""
    body = {"message": hinted(error), "docker_message": error.message}
    return body | {"hint": error.hint} if error.hint else body


def error_reply(error: EngineError) -> Response:
    """Return the answer that an error becomes; 304 has no body."""
    if isinstance(error, NotModified):
        return Response(status=304, headers=HEADERS)
    return json_reply(error_body(error), status=status_of(error))


def unexpected(error: Exception, what: str) -> EngineError:
    """Return what clients are told of a failure that nobody foresaw: no traceback.

    What the host lacks is said; anything else is a defect, logged under an id.
    """
    refused = host_failure(error)
    if refused is not None:
        log.warning("the host refused call=%s: %s", what, error)
        return refused
    mark = secrets.token_hex(4)
    log.error("unexpected error id=%s call=%s", mark, what, exc_info=error)
    return EngineError(
        f"unexpected error: {type(error).__name__}: {error}",
        hint=f"this is a defect of Pogu; the engine's log has the details under {mark}",
    )


def json_reply(value: object, *, status: int = 200) -> Response:
    return Response(body=msgspec.json.encode(value), status=status, headers=_JSON)


def empty(status: int = 204) -> Response:
    return Response(status=status, headers=HEADERS)
