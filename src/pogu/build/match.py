"""Format: the wildcards of COPY and ADD, as Go's filepath.Match has them. Pure."""

from __future__ import annotations

import re

from pogu.errors import InvalidParameter

__all__ = ["PathPattern"]

_CLASS = re.compile(r"\[(\^?+)((?:\\.|[^\]\\])+)\]", re.DOTALL)
_MEMBER = re.compile(r"\\(.)|(.)", re.DOTALL)


class PathPattern:
    """A source path, part by part; a backslash takes a wildcard's meaning away."""

    def __init__(self, pattern: str) -> None:
        self._parts = [_compile(part) for part in pattern.split("/")]
        self.has_wildcards = bool(re.search(r"(?<!\\)[*?\[]", pattern))

    def __len__(self) -> int:
        return len(self._parts)

    def matches_part(self, depth: int, name: str) -> bool:
        return self._parts[depth].fullmatch(name) is not None


def _compile(part: str) -> re.Pattern[str]:
    try:
        return re.compile(_translate(part), re.DOTALL)
    except re.error as err:
        raise InvalidParameter(
            f"syntax error in pattern: {part!r}", hint=f"a class in [ ]: {err.msg}"
        ) from err


def _translate(part: str) -> str:
    out: list[str] = []
    index = 0
    while index < len(part):
        char = part[index]
        index += 1
        if char == "*":
            out.append(".*")
        elif char == "?":
            out.append(".")
        elif char == "\\" and index < len(part):
            out.append(re.escape(part[index]))
            index += 1
        elif char == "[":
            members = _CLASS.match(part, index - 1)
            if not members:
                raise InvalidParameter(f"syntax error in pattern: {part!r}", hint="a [ lacks its ]")
            out.append(f"[{members[1]}{_MEMBER.sub(_member, members[2])}]")
            index = members.end()
        else:
            out.append(re.escape(char))
    return "".join(out)


def _member(match: re.Match[str]) -> str:
    """One character of a class; only a bare `-` has a meaning there."""
    return "-" if match[0] == "-" else re.escape(match[1] or match[2])
