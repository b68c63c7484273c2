"""Format: Dockerfile text → typed instructions → stages. Start reading at `parse_dockerfile`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from pogu.dockerfile.flags import (
    command_line,
    json_words,
    near,
    parse_duration_ns,
    split_flags,
    split_pairs,
    split_words,
)
from pogu.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Heredoc,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Run,
    RunMount,
    Shell,
    SourceRange,
    Stage,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from pogu.dockerfile.lines import LogicalLine, excerpt, logical_lines, read_text
from pogu.errors import InvalidParameter

__all__ = ["INSTRUCTIONS", "excerpt", "parse_dockerfile", "parse_instruction"]

_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")


class _Source:
    """What every instruction parser is given: the text after the keyword, and where."""

    def __init__(self, line: LogicalLine, keyword: str, rest: str, escape: str) -> None:
        self.line = line
        self.keyword = keyword
        self.rest = rest
        self.escape = escape

    @property
    def text(self) -> str:
        return self.line.text

    @property
    def source(self) -> SourceRange:
        return self.line.source

    @property
    def heredocs(self) -> tuple[Heredoc, ...]:
        return self.line.heredocs

    def flags(self, **known: bool) -> dict[str, str | None]:
        """Take the flags off; a name given twice is refused."""
        names = {name.replace("_", "-"): value for name, value in known.items()}
        pairs, self.rest = split_flags(self.rest, known=names, instruction=self.keyword)
        found: dict[str, str | None] = {}
        for name, value in pairs:
            if name in found:
                raise InvalidParameter(f"duplicate flag specified: {name}")
            found[name] = value
        return found

    def one(self) -> str:
        words = split_words(self.rest, self.escape)
        if len(words) != 1:
            raise InvalidParameter(f"{self.keyword} requires exactly one argument")
        return words[0]

    def some(self) -> tuple[str, ...]:
        words = json_words(self.rest)
        words = split_words(self.rest, self.escape) if words is None else words
        if not words:
            raise InvalidParameter(f"{self.keyword} requires at least one argument")
        return words


def _from(given: _Source) -> From:
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


def _run(given: _Source) -> Run:
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


def _files(given: _Source) -> tuple[tuple[str, ...], str]:
    words = json_words(given.rest)
    words = split_words(given.rest, given.escape) if words is None else words
    if len(words) < 2:
        raise InvalidParameter(
            f"{given.keyword} requires at least two arguments, but only {len(words)} was provided. "
            "Destination could not be determined.",
            hint=f"{given.keyword} source… destination",
        )
    return words[:-1], words[-1]


def _copy(given: _Source) -> Copy:
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


def _add(given: _Source) -> Add:
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


def _arg(given: _Source) -> Arg:
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


def _healthcheck(given: _Source) -> Healthcheck:
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


def _onbuild(given: _Source) -> Onbuild:
    keyword = given.rest.split(None, 1)[0].upper() if given.rest else ""
    if not keyword:
        raise InvalidParameter("ONBUILD requires at least one argument")
    if keyword == "ONBUILD":
        raise InvalidParameter("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if keyword in ("MAINTAINER", "FROM"):
        raise InvalidParameter(f"{keyword} isn't allowed as an ONBUILD trigger")
    trigger = given.rest
    for heredoc in given.heredocs:
        trigger += f"\n{heredoc.body}{heredoc.name}"
    parse_instruction(trigger, escape=given.escape)
    return Onbuild(text=given.text, source=given.source, trigger=trigger)


def _shell(given: _Source) -> Shell:
    words = json_words(given.rest)
    if words is None:
        raise InvalidParameter(
            "SHELL requires the arguments to be in JSON form", hint='SHELL ["/bin/sh", "-c"]'
        )
    if not words:
        raise InvalidParameter("SHELL requires at least one argument")
    return Shell(text=given.text, source=given.source, shell=words)


def _cmd(given: _Source) -> Cmd:
    return Cmd(text=given.text, source=given.source, command=command_line(given.rest))


def _entrypoint(given: _Source) -> Entrypoint:
    return Entrypoint(text=given.text, source=given.source, command=command_line(given.rest))


def _env(given: _Source) -> Env:
    pairs = split_pairs(given.rest, given.escape, instruction="ENV")
    return Env(text=given.text, source=given.source, pairs=pairs)


def _label(given: _Source) -> Label:
    pairs = split_pairs(given.rest, given.escape, instruction="LABEL")
    return Label(text=given.text, source=given.source, pairs=pairs)


def _expose(given: _Source) -> Expose:
    return Expose(text=given.text, source=given.source, ports=given.some())


def _user(given: _Source) -> User:
    return User(text=given.text, source=given.source, user=given.one())


def _workdir(given: _Source) -> Workdir:
    if not given.rest:
        raise InvalidParameter("WORKDIR requires exactly one argument")
    return Workdir(text=given.text, source=given.source, path=given.rest)


def _volume(given: _Source) -> Volume:
    paths = given.some()
    if not all(path.strip() for path in paths):
        raise InvalidParameter("VOLUME specified can not be an empty string")
    return Volume(text=given.text, source=given.source, paths=paths)


def _stop_signal(given: _Source) -> StopSignal:
    return StopSignal(text=given.text, source=given.source, signal=given.one())


def _maintainer(given: _Source) -> Maintainer:
    if not given.rest:
        raise InvalidParameter("MAINTAINER requires exactly one argument")
    return Maintainer(text=given.text, source=given.source, name=given.rest)


INSTRUCTIONS: dict[str, Callable[[_Source], Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}


def parse_dockerfile(raw: bytes) -> Dockerfile:
    """Parse a whole Dockerfile.

    Raises: InvalidParameter in Docker's words, with the lines around the place as its hint.
    """
    text = read_text(raw)
    meta_args: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    for line in logical_lines(text):
        instruction = _located(line, text.escape, text.lines)
        if isinstance(instruction, From):
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            meta_args.append(instruction)
        else:
            raise _at(
                line,
                text.lines,
                InvalidParameter(
                    "no build stage in current context", hint="the first instruction is FROM"
                ),
            )
    if not stages:
        raise InvalidParameter(
            "file with no instructions" if not meta_args else "no build stage in current context",
            hint="a Dockerfile starts with FROM image",
        )
    built = tuple(
        Stage(index=index, base=base, instructions=tuple(instructions))
        for index, (base, instructions) in enumerate(stages)
    )
    _refuse_duplicate_names(built, text.lines)
    return Dockerfile(
        meta_args=tuple(meta_args), stages=built, lines=text.lines, escape=text.escape
    )


def _refuse_duplicate_names(stages: tuple[Stage, ...], lines: tuple[str, ...]) -> None:
    names: set[str] = set()
    for stage in stages:
        if stage.base.name in names:
            line = LogicalLine(text=stage.base.text, source=stage.base.source, heredocs=())
            message = f"duplicate name {stage.base.name} in build stages"
            raise _at(line, lines, InvalidParameter(message))
        if stage.base.name:
            names.add(stage.base.name)


def parse_instruction(text: str, *, escape: str = "\\") -> Instruction:
    """Parse one instruction, as an ONBUILD trigger holds it. Raises: InvalidParameter."""
    lines = list(logical_lines(replace(read_text(text.encode()), escape=escape)))
    if len(lines) != 1:
        raise InvalidParameter(f"not one instruction: {text!r}")
    return _parse(lines[0], escape)


def _located(line: LogicalLine, escape: str, lines: tuple[str, ...]) -> Instruction:
    try:
        return _parse(line, escape)
    except InvalidParameter as err:
        raise _at(line, lines, err) from err


def _at(line: LogicalLine, lines: tuple[str, ...], err: InvalidParameter) -> InvalidParameter:
    """Say where: Docker's prefix in front of the message, the lines in the hint."""
    if err.message.startswith("dockerfile parse error"):
        return err
    shown = excerpt(lines, line.source)
    return InvalidParameter(
        f"dockerfile parse error on line {line.source.first_line}: {err.message}",
        hint=f"{err.hint}\n{shown}" if err.hint else f"here:\n{shown}",
    )


def _parse(line: LogicalLine, escape: str) -> Instruction:
    keyword, _, rest = line.text.partition(" ")
    head, tab, tail = keyword.partition("\t")
    if tab:
        keyword, rest = head, f"{tail} {rest}"
    parser = INSTRUCTIONS.get(keyword.upper())
    if parser is None:
        raise InvalidParameter(
            f"unknown instruction: {keyword}", hint=near(keyword.upper(), list(INSTRUCTIONS))
        )
    return parser(_Source(line, keyword.upper(), rest.strip(), escape))
