"""Format: `.dockerignore`: `!`, `**`, the last rule that matches wins (moby/patternmatcher)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from pogu.errors import InvalidParameter

__all__ = ["IgnoreRules"]

_CLASS = re.compile(r"\[(\^?)(\]?(?:\\.|[^\]\\])*)\]", re.DOTALL)
_MEMBER = re.compile(r"\\?(.)", re.DOTALL)


class _Rule:
    """One line: what it says, where it stands, the compiled form."""

    __slots__ = ("line", "negated", "pattern", "regex", "segments")

    def __init__(self, pattern: str, *, line: int, negated: bool) -> None:
        self.pattern = pattern
        self.line = line
        self.negated = negated
        try:
            self.segments = [_segment(part) for part in pattern.split("/")]
            self.regex = re.compile(_translate(pattern) + r"(?:/.*)?", re.DOTALL)
        except re.error as err:
            raise InvalidParameter(
                f"error checking context: syntax error in pattern {pattern!r}",
                hint=f".dockerignore line {line}",
            ) from err


class IgnoreRules:
    """The rules of one file; paths are relative to the context, with `/`."""

    def __init__(self, lines: Sequence[str] = ()) -> None:
        self._rules = [
            rule for number, line in enumerate(lines, 1) if (rule := _rule(line, number))
        ]
        self._has_exceptions = any(rule.negated for rule in self._rules)

    @classmethod
    def parse(cls, text: str) -> IgnoreRules:
        """Read a file's text. Raises: InvalidParameter for a pattern that cannot be."""
        return cls(text.removeprefix("\ufeff").splitlines())

    def __bool__(self) -> bool:
        return bool(self._rules)

    def _decisive(self, path: str) -> _Rule | None:
        for rule in reversed(self._rules):
            if rule.regex.fullmatch(path):
                return rule
        return None

    def ignored(self, path: str) -> bool:
        """True when `path` is not in the context."""
        rule = self._decisive(path)
        return rule is not None and not rule.negated

    def rule_for(self, path: str) -> str | None:
        """Return the rule that hid `path`, with its line: `line 3: *.log`."""
        rule = self._decisive(path)
        return f"line {rule.line}: {rule.pattern}" if rule and not rule.negated else None

    def may_reinclude_below(self, directory: str) -> bool:
        """True when a `!` rule could match something below an ignored directory."""
        if not self._has_exceptions:
            return False
        parts = directory.split("/")
        return any(rule.negated and _could_lie_below(rule.segments, parts) for rule in self._rules)


def _segment(part: str) -> re.Pattern[str] | None:
    """Compile one name of a pattern; None is `**`."""
    return None if part == "**" else re.compile(_translate(part), re.DOTALL)


def _could_lie_below(segments: list[re.Pattern[str] | None], parts: list[str]) -> bool:
    for segment, part in zip(segments, parts, strict=False):
        if segment is None:
            return True
        if not segment.fullmatch(part):
            return False
    return True


def _rule(line: str, number: int) -> _Rule | None:
    if line.startswith("#") or not line.strip():
        return None
    pattern = line.strip()
    negated = pattern.startswith("!")
    if negated:
        pattern = pattern[1:].strip()
        if not pattern:
            raise InvalidParameter(
                'error checking context: illegal exclusion pattern: "!"',
                hint=f".dockerignore line {number}",
            )
    pattern = posixpath.normpath(pattern)
    if len(pattern) > 1:
        pattern = pattern.lstrip("/")
    return _Rule(pattern, line=number, negated=negated)


def _member(match: re.Match[str]) -> str:
    return "-" if match[0] == "-" else re.escape(match[1])


def _translate(pattern: str) -> str:
    """Turn Go's filepath.Match syntax with `**` into a regular expression."""
    out: list[str] = []
    index = 0
    while index < len(pattern):
        char = pattern[index]
        if pattern.startswith("**", index):
            index += 2
            if pattern.startswith("/", index):
                index += 1
                out.append("(?:.*/)?")
            else:
                out.append(".*")
            continue
        index += 1
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            members = _CLASS.match(pattern, index - 1)
            if not members or "--" in members[2]:
                raise re.error("bad class")
            out.append(f"[{members[1]}{_MEMBER.sub(_member, members[2])}]")
            index = members.end()
        elif char == "\\" and index < len(pattern):
            out.append(re.escape(pattern[index]))
            index += 1
        else:
            out.append(re.escape(char))
    return "".join(out)
