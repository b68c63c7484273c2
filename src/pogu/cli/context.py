"""Service: what every command works with: the engine's connection and the standard streams."""

from __future__ import annotations

import os
import sys

from pogu.cli.connection import Address, connect
from pogu.cli.failure import ApiError, CliError
from pogu.cli.http import Http, Reply
from pogu.cli.wire import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Context"]


class Context:
    """Connects at the first request; the connection is used again."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._http: Http | None = None

    def connection(self) -> Http:
        """A new connection of its own, for a stream."""
        return connect(self.address)

    @property
    def http(self) -> Http:
        if self._http is None:
            self._http = connect(self.address)
        return self._http

    def drop(self) -> None:
        """Connect anew at the next request: the last answer was not read to its end."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def request(
        self,
        method: str,
        path: str,
        parameters: dict[str, object] | None = None,
        *,
        body: object = None,
        stream: Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """As `Http.request`."""
        return self.http.request(
            method, path, parameters, body=body, stream=stream, headers=headers
        )

    def get(self, path: str, parameters: dict[str, object] | None = None) -> object:
        """GET and return the JSON of the answer."""
        return self.request("GET", path, parameters).json()

    def post(
        self, path: str, parameters: dict[str, object] | None = None, *, body: object = None
    ) -> object:
        """POST and return the JSON of the answer, None when it has none."""
        return _json_or_none(self.request("POST", path, parameters, body=body))

    def delete(self, path: str, parameters: dict[str, object] | None = None) -> object:
        """DELETE and return the JSON of the answer, None when it has none."""
        return _json_or_none(self.request("DELETE", path, parameters))

    # ---- printing ------------------------------------------------------------------------

    def out(self, text: str) -> None:
        """Print a line."""
        write(1, text + "\n")

    def error(self, text: str) -> None:
        """Print a line to standard error."""
        write(2, text + "\n")

    def each(self, names: Iterable[str], work: Callable[[str], object]) -> int:
        """Do `work` for every name, print the name or the error, and return the exit code."""
        code = 0
        for name in names:
            try:
                work(name)
            except ApiError as err:
                show_error(err)
                code = 1
            else:
                self.out(name)
        return code


def _json_or_none(reply: Reply) -> object:
    raw = reply.read()
    return decode(raw) if raw.strip() else None


def write(fd: int, text: str) -> None:
    """Write all; a reader that went away ends the command quietly."""
    data = memoryview(text.encode("utf-8", "surrogateescape"))
    try:
        while data:
            data = data[os.write(fd, data) :]
    except BrokenPipeError:
        sys.exit(141)


def show_error(err: CliError, *, prefix: str = "") -> None:
    """Print message and hint to standard error."""
    write(2, f"{prefix}{err.message}\n")
    if err.hint:
        lines = err.hint.splitlines()
        if len(lines) > 1:
            write(2, err.hint.rstrip() + "\n")
        else:
            write(2, f"hint: {err.hint}\n")
