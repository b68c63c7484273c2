"""Format: Dockerfile text → logical lines: directives, comments, continuations, heredocs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pogu.dockerfile.instructions import Heredoc, SourceRange
from pogu.errors import InvalidParameter

__all__ = ["LogicalLine", "Text", "excerpt", "logical_lines", "read_text"]

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9_-]*)\s*=\s*(.+?)\s*")
_HEREDOC = re.compile(r"(?<!\S)(\d*)<<(-?)(['\"]?)([^\s<'\"\\-][^\s<'\"\\]*)\3(?!\S)")
_HEREDOC_INSTRUCTIONS = ("RUN", "COPY", "ADD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A decoded Dockerfile: its physical lines and its parser directives."""

    lines: tuple[str, ...]
    escape: str
    directives: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalLine:
    """One instruction's text, continuation lines joined, with its heredocs."""

    text: str
    source: SourceRange
    heredocs: tuple[Heredoc, ...]


def read_text(raw: bytes) -> Text:
    """Decode and read the parser directives. Raises: InvalidParameter for what is no text."""
    if b"\0" in raw:
        raise InvalidParameter(
            "dockerfile parse error: the Dockerfile is not a text file",
            hint="it holds NUL bytes; -f names the Dockerfile when it has another name",
        )
    try:
        text = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as err:
        line = raw[: err.start].count(b"\n") + 1
        raise InvalidParameter(
            f"dockerfile parse error on line {line}: the Dockerfile is not valid UTF-8",
            hint="is it a text file? -f names the Dockerfile when it has another name",
        ) from err
    lines = tuple(line.removesuffix("\r") for line in text.split("\n"))
    directives = _directives(lines)
    escape = directives.get("escape", "\\")
    if escape not in ("\\", "`"):
        raise InvalidParameter(f"invalid escape token '{escape}' does not match ` or \\")
    return Text(lines=lines, escape=escape, directives=directives)


def _directives(lines: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        match = _DIRECTIVE.fullmatch(line.strip())
        if not match or match[1].lower() not in ("escape", "syntax", "check"):
            break
        key = match[1].lower()
        if key in found:
            raise InvalidParameter(f"only one {key} parser directive can be used")
        found[key] = match[2]
    return found


def logical_lines(text: Text) -> Iterator[LogicalLine]:
    """Join continuation lines, leave out comments and empty lines, collect heredocs."""
    number = 0
    escape = re.escape(text.escape)
    continuation = re.compile(rf"(?<!{escape}){escape}[ \t]*$")
    while number < len(text.lines):
        stripped = text.lines[number].strip()
        if not stripped or stripped.startswith("#"):
            number += 1
            continue
        first = number
        joined, number = _join(text.lines, number, continuation)
        if not joined.strip():
            continue
        heredocs, number = _heredocs(text, joined, first, number)
        yield LogicalLine(
            text=joined.strip(),
            source=SourceRange(first_line=first + 1, last_line=number),
            heredocs=heredocs,
        )


def _join(lines: tuple[str, ...], number: int, continuation: re.Pattern[str]) -> tuple[str, int]:
    """Return the joined text and the index of the line after it."""
    parts = [lines[number].lstrip()]
    while continuation.search(parts[-1]):
        parts[-1] = continuation.sub("", parts[-1])
        number += 1
        while number < len(lines) and _is_blank_or_comment(lines[number]):
            number += 1
        if number >= len(lines):
            break
        parts.append(lines[number])
    return "".join(parts), min(number + 1, len(lines))


def _is_blank_or_comment(line: str) -> bool:
    stripped = line.strip()
    return not stripped or stripped.startswith("#")


def _heredocs(text: Text, joined: str, first: int, number: int) -> tuple[tuple[Heredoc, ...], int]:
    words = joined.split(None, 2)
    keyword = words[0].upper()
    if keyword == "ONBUILD" and len(words) > 1:
        keyword = words[1].upper()
    if keyword not in _HEREDOC_INSTRUCTIONS or "<<" not in joined:
        return (), number
    found = []
    for match in _HEREDOC.finditer(_without_quoted(joined)):
        name = match[4]
        body = []
        while True:
            if number >= len(text.lines):
                raise InvalidParameter(
                    f"dockerfile parse error on line {first + 1}: unterminated heredoc",
                    hint=f"a line with {name} alone ends it",
                )
            line = text.lines[number]
            number += 1
            if (line.lstrip("\t") if match[2] else line) == name:
                break
            body.append((line.lstrip("\t") if match[2] else line) + "\n")
        found.append(
            Heredoc(name=name, body="".join(body), expand=not match[3], chomp=bool(match[2]))
        )
    return tuple(found), number


def _without_quoted(text: str) -> str:
    """Blank out quoted parts that are not a heredoc's own quotes."""
    return re.sub(r"(?<!<)(?<!<-)(['\"])(?:\\.|(?!\1).)*\1", lambda m: " " * len(m[0]), text)


def excerpt(lines: tuple[str, ...], source: SourceRange, *, around: int = 2) -> str:
    """Show the lines around a place, the place itself marked with `>>>`."""
    last = source.last_line
    start = max(source.first_line - 1 - around, 0)
    end = min(last + around, len(lines))
    while end > last and not lines[end - 1].strip():
        end -= 1
    shown = [
        f"{number:4d} | {'>>>' if source.first_line <= number <= last else '   '} {line}"
        for number, line in enumerate(lines[start:end], start + 1)
    ]
    rule = "-" * 20
    return "\n".join([rule, *(line.rstrip() for line in shown), rule])
