"""Format: Dockerfile text → typed instructions → stages. Start reading at `parse_dockerfile`."""

from __future__ import annotations

from pogu.dockerfile.grammar import INSTRUCTIONS, parse_instruction, parse_line
from pogu.dockerfile.instructions import Arg, Dockerfile, From, Instruction, Stage
from pogu.dockerfile.lines import LogicalLine, excerpt, logical_lines, read_text
from pogu.errors import InvalidParameter

__all__ = ["INSTRUCTIONS", "excerpt", "parse_dockerfile", "parse_instruction"]


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


def _located(line: LogicalLine, escape: str, lines: tuple[str, ...]) -> Instruction:
    try:
        return parse_line(line, escape=escape)
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
