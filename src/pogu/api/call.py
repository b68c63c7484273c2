"""Format: one API call: its path parameters, query and body, read with clear refusals."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from pogu.api.http_server import BaseRequest, Connection
from pogu.errors import InvalidParameter

if TYPE_CHECKING:
    from pogu.engine import Engine

__all__ = ["Call", "Version", "as_type", "check_until", "parse_filters", "parse_time_ns"]

Version = tuple[int, int]
T = TypeVar("T")

_FALSE = frozenset(("", "0", "no", "false", "none"))
_TIME = re.compile(r"(\d+)(?:\.(\d{1,9})\d*)?")


class Call:
    """What a handler works with: the engine, the request, and typed views of its parts."""

    __slots__ = ("engine", "http", "path", "shutdown", "version")

    def __init__(
        self,
        engine: Engine,
        http: BaseRequest,
        path: Mapping[str, str],
        version: Version,
        shutdown: Callable[[], None],
    ) -> None:
        self.engine = engine
        self.http = http
        self.path = path
        self.version = version
        self.shutdown = shutdown

    @property
    def name(self) -> str:
        """The `{name}` of the path."""
        return self.path["name"]

    @property
    def connection(self) -> Connection:
        protocol = self.http.protocol
        assert isinstance(protocol, Connection)
        return protocol

    def text(self, key: str, default: str = "") -> str:
        return self.http.query.get(key, default)

    def texts(self, key: str) -> list[str]:
        return list(self.http.query.getall(key, ()))

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Docker's truth: absent is the default; "", 0, no, false, none are false."""
        value = self.http.query.get(key)
        return default if value is None else value.strip().lower() not in _FALSE

    def integer(self, key: str) -> int | None:
        """None when absent. Raises: InvalidParameter."""
        value = self.http.query.get(key, "")
        if not value:
            return None
        try:
            return int(value)
        except ValueError:
            raise InvalidParameter(
                f"Invalid value for {key}: {value!r}", hint=f"{key} is a whole number"
            ) from None

    def json(self, key: str, type: type[T], default: T) -> T:
        """A query parameter that holds JSON. Raises: InvalidParameter."""
        value = self.http.query.get(key, "")
        if not value:
            return default
        try:
            return msgspec.json.decode(value, type=type)
        except msgspec.MsgspecError as err:
            raise InvalidParameter(f"error reading {key}: {err}") from err

    def filters(self, *known: str) -> dict[str, list[str]]:
        """The `filters` parameter in either of its two JSON shapes."""
        filters = parse_filters(self.http.query.get("filters", ""))
        for name in filters:
            if known and name not in known:
                raise InvalidParameter(
                    f"invalid filter '{name}'", hint=f"known filters: {', '.join(sorted(known))}"
                )
        return filters

    def time_ns(self, key: str) -> int | None:
        """A unix time with a fraction; None when absent."""
        return parse_time_ns(key, self.http.query.get(key, ""))

    async def body(self) -> bytes:
        """The whole body. Raises: InvalidParameter when it is too large to be one."""
        try:
            return await self.http.read()
        except Exception as err:
            if getattr(err, "status", 0) != 413:
                raise
            raise InvalidParameter(
                "http: request body too large", hint="a body of JSON has at most 16 MiB"
            ) from err

    async def json_body(self) -> dict[str, Any]:
        """The body as a JSON object; {} when it is empty. Raises: InvalidParameter."""
        raw = await self.body()
        if not raw.strip():
            return {}
        try:
            tree = msgspec.json.decode(raw, type=dict[str, Any])
            if b"\\u0000" in raw and _holds_nul(tree):
                raise InvalidParameter(
                    "invalid JSON: a text holds a NUL character",
                    hint="no path, argument or name can have one",
                )
            return tree
        except (msgspec.ValidationError, RecursionError) as err:
            raise InvalidParameter(f"invalid JSON: {err}") from err
        except msgspec.DecodeError as err:
            raise InvalidParameter(
                f"invalid JSON: {err}", hint="the body of this request is a JSON object"
            ) from err

    async def body_as(self, type: type[T]) -> T:
        """The body as one of the wire's types. Raises: InvalidParameter with the path."""
        return as_type(await self.json_body(), type)

    def peer(self) -> tuple[int, int] | None:
        """(pid, uid) of the process at the other end of the unix socket."""
        import socket
        import struct

        transport = self.http.transport
        found = transport.get_extra_info("socket") if transport is not None else None
        if found is None or found.family != socket.AF_UNIX:
            return None
        raw = found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _ = struct.unpack("3i", raw)
        return pid, uid

    def peer_is_trusted(self) -> bool:
        """True when the caller may name files of the host: root or the engine's own user."""
        peer = self.peer()
        return peer is not None and peer[1] in (0, os.geteuid())


def _holds_nul(tree: object) -> bool:
    if isinstance(tree, dict):
        return any(_holds_nul(part) for pair in tree.items() for part in pair)
    if isinstance(tree, list):
        return any(_holds_nul(part) for part in tree)
    return isinstance(tree, str) and "\0" in tree


def as_type(tree: object, type: type[T]) -> T:
    """Turn decoded JSON into a wire type. Raises: InvalidParameter with the path."""
    try:
        return msgspec.convert(tree, type)
    except msgspec.ValidationError as err:
        raise InvalidParameter(f"invalid JSON: {err}") from err


def parse_filters(text: str) -> dict[str, list[str]]:
    """Read `{"label": ["a"]}` or `{"label": {"a": true}}`. Raises: InvalidParameter."""
    if not text:
        return {}
    try:
        tree = msgspec.json.decode(text, type=dict[str, dict[str, bool] | list[str]])
    except msgspec.MsgspecError as err:
        raise InvalidParameter(
            f"invalid filter: {err}", hint='filters look like {"label":["key=value"]}'
        ) from err
    return {
        name: values if isinstance(values, list) else [value for value, on in values.items() if on]
        for name, values in tree.items()
    }


def check_until(filters: Mapping[str, Sequence[str]]) -> None:
    """A prune has one point in time. Raises: InvalidParameter in Docker's words."""
    times = set(filters.get("until", ()))
    if len(times) > 1:
        raise InvalidParameter(
            "more than one until filter specified", hint="give the earlier of the two only"
        )
    for text in times:
        parse_time_ns("until", text)


def parse_time_ns(key: str, text: str) -> int | None:
    """`1700000000.5`, an RFC 3339 time or `24h` (ago) as nanoseconds; None when empty or 0.

    Raises: InvalidParameter.
    """
    if not text or text == "0":
        return None
    match = _TIME.fullmatch(text)
    if match:
        return int(match[1]) * 1_000_000_000 + int((match[2] or "").ljust(9, "0"))
    from pogu.api.units import duration_ns, unix_ns

    ago_ns = duration_ns(text)
    if ago_ns is not None:
        return time.time_ns() - ago_ns
    try:
        return unix_ns(text)
    except ValueError:
        raise InvalidParameter(
            f'invalid value for "{key}": {text!r}',
            hint="seconds since 1970, an RFC 3339 time, or how long ago: 24h",
        ) from None
