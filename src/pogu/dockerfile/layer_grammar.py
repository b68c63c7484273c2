"""Format: the instructions that begin a stage or make a layer: FROM, RUN, COPY, ADD."""

from __future__ import annotations

import re

from pogu.dockerfile.flags import command_line, json_words, split_flags, split_words
from pogu.dockerfile.instructions import Add, Copy, From, Run, RunMount
from pogu.dockerfile.statement import Statement
from pogu.errors import InvalidParameter

__all__ = ["parse_add", "parse_copy", "parse_from", "parse_run"]

_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")


def parse_from(given: Statement) -> From:
    flags = given.flags(platform=True)
    words = split_words(given.rest, given.escape)
    if len(words) == 1:
        name = None
    elif len(words) == 3 and words[1].upper() == "AS":
        name = words[2].lower()
        if not _STAGE_NAME.fullmatch(name):
            raise InvalidParameter(
                f'invalid name for build stage: "{words[2]}"',
                hint='a stage name starts with a letter and contains a-z, 0-9, "-", "_", "."',
            )
    else:
        raise InvalidParameter(
            "FROM requires either one or three arguments", hint="FROM image [AS name]"
        )
    return From(
        text=given.text,
        source=given.source,
        image=words[0],
        name=name,
        platform=flags.get("platform"),
    )


def parse_run(given: Statement) -> Run:
    pairs, rest = split_flags(
        given.rest,
        known={"mount": True, "network": True, "security": True, "device": True},
        instruction="RUN",
    )
    if not rest:
        raise InvalidParameter("RUN requires at least one argument")
    network = [value for name, value in pairs if name == "network"]
    for name, _ in pairs:
        if name in ("security", "device"):
            raise InvalidParameter(f"RUN --{name} is not supported", hint="leave the flag out")
    return Run(
        text=given.text,
        source=given.source,
        command=command_line(rest),
        mounts=tuple(_run_mount(value or "") for name, value in pairs if name == "mount"),
        network=network[-1] if network else None,
        heredocs=given.heredocs,
    )


def _run_mount(text: str) -> RunMount:
    options: list[tuple[str, str | None]] = []
    for part in text.split(","):
        key, equals, value = part.partition("=")
        options.append((key.strip().lower(), value if equals else None))
    return RunMount(options=tuple(options))


def _files(given: Statement) -> tuple[tuple[str, ...], str]:
    words = json_words(given.rest)
    words = split_words(given.rest, given.escape) if words is None else words
    if len(words) < 2:
        raise InvalidParameter(
            f"{given.keyword} requires at least two arguments, but only {len(words)} was provided. "
            "Destination could not be determined.",
            hint=f"{given.keyword} source… destination",
        )
    return words[:-1], words[-1]


def parse_copy(given: Statement) -> Copy:
    flags = given.flags(chown=True, chmod=True, link=False, **{"from": True})
    sources, destination = _files(given)
    return Copy(
        text=given.text,
        source=given.source,
        sources=sources,
        destination=destination,
        from_stage=flags.get("from"),
        chown=flags.get("chown"),
        chmod=flags.get("chmod"),
        link=_boolean(flags, "link"),
        heredocs=given.heredocs,
    )


def parse_add(given: Statement) -> Add:
    flags = given.flags(chown=True, chmod=True, link=False, checksum=True)
    sources, destination = _files(given)
    return Add(
        text=given.text,
        source=given.source,
        sources=sources,
        destination=destination,
        chown=flags.get("chown"),
        chmod=flags.get("chmod"),
        link=_boolean(flags, "link"),
        checksum=flags.get("checksum"),
        heredocs=given.heredocs,
    )


def _boolean(flags: dict[str, str | None], name: str) -> bool:
    if name not in flags:
        return False
    value = flags[name]
    if value is not None and value.lower() not in ("true", "false"):
        raise InvalidParameter(f"expecting boolean value for flag {name}, not: {value}")
    return value is None or value.lower() == "true"
