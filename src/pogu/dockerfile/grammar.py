"""Format: one line → one typed instruction, by its keyword. Start reading at `INSTRUCTIONS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pogu.dockerfile.flags import near
from pogu.dockerfile.instructions import Instruction, Onbuild
from pogu.dockerfile.layer_grammar import parse_add, parse_copy, parse_from, parse_run
from pogu.dockerfile.lines import LogicalLine, logical_lines, read_text
from pogu.dockerfile.metadata_grammar import (
    parse_arg,
    parse_cmd,
    parse_entrypoint,
    parse_env,
    parse_expose,
    parse_healthcheck,
    parse_label,
    parse_maintainer,
    parse_shell,
    parse_stop_signal,
    parse_user,
    parse_volume,
    parse_workdir,
)
from pogu.dockerfile.statement import Statement
from pogu.errors import InvalidParameter

__all__ = ["INSTRUCTIONS", "parse_instruction", "parse_line"]


def _onbuild(given: Statement) -> Onbuild:
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


INSTRUCTIONS: dict[str, Callable[[Statement], Instruction]] = {
    "ADD": parse_add,
    "ARG": parse_arg,
    "CMD": parse_cmd,
    "COPY": parse_copy,
    "ENTRYPOINT": parse_entrypoint,
    "ENV": parse_env,
    "EXPOSE": parse_expose,
    "FROM": parse_from,
    "HEALTHCHECK": parse_healthcheck,
    "LABEL": parse_label,
    "MAINTAINER": parse_maintainer,
    "ONBUILD": _onbuild,
    "RUN": parse_run,
    "SHELL": parse_shell,
    "STOPSIGNAL": parse_stop_signal,
    "USER": parse_user,
    "VOLUME": parse_volume,
    "WORKDIR": parse_workdir,
}


def parse_line(line: LogicalLine, *, escape: str) -> Instruction:
    """Parse one logical line. Raises: InvalidParameter, without the place."""
    keyword, _, rest = line.text.partition(" ")
    head, tab, tail = keyword.partition("\t")
    if tab:
        keyword, rest = head, f"{tail} {rest}"
    parser = INSTRUCTIONS.get(keyword.upper())
    if parser is None:
        raise InvalidParameter(
            f"unknown instruction: {keyword}", hint=near(keyword.upper(), list(INSTRUCTIONS))
        )
    return parser(Statement(line, keyword.upper(), rest.strip(), escape))


def parse_instruction(text: str, *, escape: str = "\\") -> Instruction:
    """Parse one instruction, as an ONBUILD trigger holds it. Raises: InvalidParameter."""
    lines = list(logical_lines(replace(read_text(text.encode()), escape=escape)))
    if len(lines) != 1:
        raise InvalidParameter(f"not one instruction: {text!r}")
    return parse_line(lines[0], escape=escape)
