"""Format: one instruction before its meaning: keyword, flags, words, heredocs."""

from __future__ import annotations

from pogu.dockerfile.flags import json_words, split_flags, split_words
from pogu.dockerfile.instructions import Heredoc, SourceRange
from pogu.dockerfile.lines import LogicalLine
from pogu.errors import InvalidParameter

__all__ = ["Statement"]


class Statement:
    """What every instruction parser is given: the text after the keyword, and where.

    The methods take words off it; each may raise InvalidParameter.
    """

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
        """Return the only word."""
        words = split_words(self.rest, self.escape)
        if len(words) != 1:
            raise InvalidParameter(f"{self.keyword} requires exactly one argument")
        return words[0]

    def some(self) -> tuple[str, ...]:
        """Return one word or more, written as words or as JSON."""
        words = json_words(self.rest)
        words = split_words(self.rest, self.escape) if words is None else words
        if not words:
            raise InvalidParameter(f"{self.keyword} requires at least one argument")
        return words
