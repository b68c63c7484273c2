"""Format: the instructions that change an image's config only, from ARG to WORKDIR."""

from __future__ import annotations

from pogu.dockerfile.flags import (
    command_line,
    json_words,
    parse_duration_ns,
    split_pairs,
    split_words,
)
from pogu.dockerfile.instructions import (
    Arg,
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from pogu.dockerfile.statement import Statement
from pogu.errors import InvalidParameter

__all__ = [
    "parse_arg",
    "parse_cmd",
    "parse_entrypoint",
    "parse_env",
    "parse_expose",
    "parse_healthcheck",
    "parse_label",
    "parse_maintainer",
    "parse_shell",
    "parse_stop_signal",
    "parse_user",
    "parse_volume",
    "parse_workdir",
]


def parse_arg(given: Statement) -> Arg:
    words = split_words(given.rest, given.escape)
    if not words:
        raise InvalidParameter("ARG requires at least one argument")
    pairs: list[tuple[str, str | None]] = []
    for word in words:
        key, equals, value = word.partition("=")
        if not key:
            raise InvalidParameter("ARG names can not be blank")
        pairs.append((key, value if equals else None))
    return Arg(text=given.text, source=given.source, pairs=tuple(pairs))


def parse_healthcheck(given: Statement) -> Healthcheck:
    flags = given.flags(
        interval=True, timeout=True, start_period=True, start_interval=True, retries=True
    )
    kind, rest = [*given.rest.split(None, 1), "", ""][:2]
    if kind.upper() == "NONE":
        if rest or flags:
            raise InvalidParameter("HEALTHCHECK NONE takes no arguments")
        return Healthcheck(text=given.text, source=given.source, command=None)
    if kind.upper() != "CMD":
        raise InvalidParameter(
            f"Unknown type {kind.upper()!r} in HEALTHCHECK (try CMD)"
            if kind
            else "HEALTHCHECK requires at least one argument"
        )
    if not rest:
        raise InvalidParameter("Missing command after HEALTHCHECK CMD")

    def duration(name: str) -> int | None:
        value = flags.get(name)
        return None if value is None else parse_duration_ns(value, flag=name)

    retries = flags.get("retries")
    if retries is not None and not (retries.isdecimal() and len(retries) < 10):
        raise InvalidParameter(f"--retries must be a number of at least 0, not {retries!r}")
    return Healthcheck(
        text=given.text,
        source=given.source,
        command=command_line(rest),
        interval_ns=duration("interval"),
        timeout_ns=duration("timeout"),
        start_period_ns=duration("start-period"),
        start_interval_ns=duration("start-interval"),
        retries=None if retries is None else int(retries),
    )


def parse_shell(given: Statement) -> Shell:
    words = json_words(given.rest)
    if words is None:
        raise InvalidParameter(
            "SHELL requires the arguments to be in JSON form", hint='SHELL ["/bin/sh", "-c"]'
        )
    if not words:
        raise InvalidParameter("SHELL requires at least one argument")
    return Shell(text=given.text, source=given.source, shell=words)


def parse_cmd(given: Statement) -> Cmd:
    return Cmd(text=given.text, source=given.source, command=command_line(given.rest))


def parse_entrypoint(given: Statement) -> Entrypoint:
    return Entrypoint(text=given.text, source=given.source, command=command_line(given.rest))


def parse_env(given: Statement) -> Env:
    pairs = split_pairs(given.rest, given.escape, instruction="ENV")
    return Env(text=given.text, source=given.source, pairs=pairs)


def parse_label(given: Statement) -> Label:
    pairs = split_pairs(given.rest, given.escape, instruction="LABEL")
    return Label(text=given.text, source=given.source, pairs=pairs)


def parse_expose(given: Statement) -> Expose:
    return Expose(text=given.text, source=given.source, ports=given.some())


def parse_user(given: Statement) -> User:
    return User(text=given.text, source=given.source, user=given.one())


def parse_workdir(given: Statement) -> Workdir:
    if not given.rest:
        raise InvalidParameter("WORKDIR requires exactly one argument")
    return Workdir(text=given.text, source=given.source, path=given.rest)


def parse_volume(given: Statement) -> Volume:
    paths = given.some()
    if not all(path.strip() for path in paths):
        raise InvalidParameter("VOLUME specified can not be an empty string")
    return Volume(text=given.text, source=given.source, paths=paths)


def parse_stop_signal(given: Statement) -> StopSignal:
    return StopSignal(text=given.text, source=given.source, signal=given.one())


def parse_maintainer(given: Statement) -> Maintainer:
    if not given.rest:
        raise InvalidParameter("MAINTAINER requires exactly one argument")
    return Maintainer(text=given.text, source=given.source, name=given.rest)
