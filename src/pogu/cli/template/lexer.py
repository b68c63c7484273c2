"""Format: a template's text → tokens, and what a literal token stands for."""

from __future__ import annotations

import re

from pogu.cli.template.error import syntax_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LITERALS", "Token", "lex", "literal"]

LITERALS = ("string", "number", "char")
"""Kinds of tokens that stand for a value."""

_SPACE = " \t\r\n"
_TOKEN = re.compile(
    r"""(?P<close>[ \t\r\n]+-\}\}|\}\})
    |(?P<space>[ \t\r\n]+)
    |(?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`)
    |(?P<char>'(?:\\.|[^'\\\n])+')
    |(?P<number>[+-]?\.?[0-9][\w.]*(?:(?<=[eE])[+-][0-9]+)?)
    |(?P<field>\.[^\W\d]\w*)
    |(?P<variable>\$\w*)
    |(?P<word>[^\W\d]\w*)
    |(?P<mark>:=|[=|(),.])""",
    re.VERBOSE,
)
_OPEN = re.compile(r"\{\{(?:-(?=[ \t\r\n]))?")
# Compiled at their first use, which most templates never reach.
_COMMENT = r"(?s:\s*/\*.*?\*/(\s+-)?\}\})"
_ESCAPE = r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|([0-7]{3})|(.))"
_ESCAPED = dict(zip("abfnrtv\\'\"", "\a\b\f\n\r\t\v\\'\"", strict=True))


class Token:
    """A word with its place; `spaced`: there is white space before it."""

    __slots__ = ("kind", "position", "spaced", "text")

    def __init__(self, kind: str, text: str, position: int, *, spaced: bool = False) -> None:
        self.kind = kind
        self.text = text
        self.position = position
        self.spaced = spaced


def lex(template: str) -> Iterator[Token | list[Token]]:
    """Yield text as tokens and actions as lists of them; trim markers and comments applied."""
    at, trim = 0, False
    while at <= len(template):
        start = _OPEN.search(template, at)
        text = template[at : start.start()] if start else template[at:]
        text = text.lstrip(_SPACE) if trim else text
        if start and start[0].endswith("-"):
            text = text.rstrip(_SPACE)
        if text:
            yield Token("text", text, at)
        if not start:
            return
        if template[start.end() :].lstrip(_SPACE).startswith("/*"):
            comment = re.compile(_COMMENT).match(template, start.end())
            if not comment:
                raise syntax_error(template, start.start(), "unclosed comment")
            at, trim = comment.end(), bool(comment[1])
        else:
            tokens, at, trim = _lex_action(template, start.end())
            yield tokens


def _lex_action(template: str, at: int) -> tuple[list[Token], int, bool]:
    tokens: list[Token] = []
    spaced, depth = True, 0
    while match := _TOKEN.match(template, at):
        kind, text = str(match.lastgroup), match[0]
        if kind == "close":
            if depth:
                raise syntax_error(template, at, "unclosed left paren")
            tokens.append(Token("close", "", at))
            return tokens, match.end(), len(text) > 2
        if kind != "space":
            depth += (text == "(") - (text == ")")
            if depth < 0:
                raise syntax_error(template, at, "unexpected right paren")
            tokens.append(Token(kind, text, at, spaced=spaced))
        spaced = kind == "space"
        at = match.end()
    if at >= len(template):
        raise syntax_error(template, at, "unclosed action")
    char = template[at]
    if char in "\"`'":
        what = {'"': "quoted string", "`": "raw quoted string", "'": "character constant"}[char]
        raise syntax_error(template, at, f"unterminated {what}")
    raise syntax_error(template, at, f"bad character U+{ord(char):04X} {char!r}")


def literal(token: Token) -> object:
    """Return what a number, a string, a character or true, false, nil stands for.

    Raises: ValueError with the words for a syntax error.
    """
    text = token.text
    if token.kind == "word":
        return {"true": True, "false": False}.get(text)
    if text[0] == "`":
        return text[1:-1]
    if token.kind == "string":
        return _unquoted(text)
    if token.kind == "char":
        return ord(_unquoted(text)[:1] or "\0")
    for convert in (lambda: int(text, 0), lambda: float(text)):
        try:
            return convert()
        except ValueError:
            continue
    raise ValueError(f'bad number syntax: "{text}"')


def _unquoted(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        number = int(code, 16) if code else int(match[4] or "0", 8)
        if number > 0x10FFFF or (match[5] and match[5] not in _ESCAPED):
            raise ValueError("invalid syntax")
        return _ESCAPED[match[5]] if match[5] else chr(number)

    return re.sub(_ESCAPE, replace, text[1:-1])
