"""Format: the wildcards of COPY and ADD, as Go's filepath.Match has them. Pure."""

from __future__ import annotations

import re

from pogu.errors import InvalidParameter

__all__ = ["PathPattern"]


class PathPattern:
    """A source path, part by part; a backslash takes a wildcard's meaning away."""

    def __init__(self, pattern: str) -> None:
        self._parts = [re.compile(_translate(part), re.DOTALL) for part in pattern.split("/")]
        self.has_wildcards = bool(re.search(r"(?<!\\)[*?\[]", pattern))

    def __len__(self) -> int:
        return len(self._parts)

    def matches_part(self, depth: int, name: str) -> bool:
        return self._parts[depth].fullmatch(name) is not None


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
            end = part.find("]", index + 1)
            if end < 0:
                raise InvalidParameter(f"syntax error in pattern: {part!r}", hint="a [ lacks its ]")
            out.append("[" + part[index:end].replace("\\", "\\\\") + "]")
            index = end + 1
        else:
            out.append(re.escape(char))
    return "".join(out)
