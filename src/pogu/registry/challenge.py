"""Format: `WWW-Authenticate` as registries send it (RFC 9110 11.6.1, distribution token spec)."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Challenge", "parse_challenges"]

_PARAMETER = re.compile(r'\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))\s*(?:,|$)')
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9_-]*)(?:\s+|$)(?!=)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One scheme, lower case, and its parameters."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """Return every challenge of the header; what cannot be read is left out."""
    found: list[Challenge] = []
    position = 0
    while position < len(header):
        scheme = _SCHEME.match(header, position)
        if scheme is None:
            break
        position = scheme.end()
        parameters: dict[str, str] = {}
        while match := _PARAMETER.match(header, position):
            quoted = match[2]
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else match[3]
            parameters[match[1].lower()] = value
            position = match.end()
        found.append(Challenge(scheme=scheme[1].lower(), parameters=parameters))
    return found
