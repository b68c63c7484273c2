"""Edge: read what a URL gives, with the proxies of the environment; http and https only."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse

from pogu import __version__
from pogu.errors import InvalidParameter

__all__ = ["UrlContent", "opened_url"]

_TIMEOUT_S = 60
_HINT = "does the URL work with curl?"


class UrlContent:
    """What a URL gives, as a file."""

    def __init__(self, reply: HTTPResponse, words: str) -> None:
        self._reply = reply
        self._words = words
        self._left = reply.length
        self.last_modified: str | None = reply.headers.get("Last-Modified")

    def read(self, size: int) -> bytes:
        """Raises: InvalidParameter when the connection breaks, before the announced end too."""
        try:
            data = self._reply.read(size)
        except (OSError, HTTPException) as err:
            raise InvalidParameter(f"{self._words}: {_reason(err)}", hint="try again") from err
        if self._left is not None:
            self._left -= len(data)
            if self._left > 0 and not data and size:
                raise InvalidParameter(f"{self._words}: unexpected EOF", hint="try again")
        return data


@contextmanager
def opened_url(url: str, *, failure: str = "failed to GET") -> Iterator[UrlContent]:
    """Give the content of a URL. Slow.

    Raises: InvalidParameter("failed to GET …"), for an answer that is an error too.
    """
    words = f"{failure} {url}"
    try:
        scheme = urllib.parse.urlsplit(url).scheme
        if scheme not in ("http", "https"):
            raise ValueError(f"unsupported protocol scheme {scheme!r}")
        request = urllib.request.Request(url, headers={"User-Agent": f"pogu/{__version__}"})
        reply = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as err:
        err.close()
        raise InvalidParameter(f"{words} with status {err.code} {err.reason}", hint=_HINT) from err
    except (OSError, ValueError, HTTPException) as err:
        raise InvalidParameter(f"{words}: {_reason(err)}", hint=_HINT) from err
    with reply:
        yield UrlContent(reply, words)


def _reason(err: Exception) -> object:
    reason = getattr(err, "reason", None) or err
    return getattr(reason, "strerror", None) or reason
