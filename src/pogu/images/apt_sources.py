"""Format: apt's source lists (sources.list(5), one-line and deb822): where Debian is fetched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["debian_mirrors", "source_uris", "sources_for"]

_DEFAULT = "http://deb.debian.org/debian"
_WITHOUT_UPDATES = frozenset({"sid", "unstable", "experimental", "rc-buggy"})


def source_uris(text: str) -> list[str]:
    """Return the URIs of one file of either form, disabled ones left out."""
    if re.search(r"^Types:", text, re.MULTILINE | re.IGNORECASE):
        return [uri for stanza in re.split(r"\n\s*\n", text) for uri in _stanza_uris(stanza)]
    found = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[[^]]*\]\s*)?(\S+)\s+\S+", line)
        if match:
            found.append(match[1])
    return found


def _stanza_uris(stanza: str) -> list[str]:
    lines = [line for line in stanza.splitlines() if not line.startswith("#")]
    fields = {}
    for match in re.finditer(r"^([\w-]+):((?:.*)(?:\n[ \t].*)*)", "\n".join(lines), re.MULTILINE):
        fields[match[1].lower()] = match[2].split()
    if fields.get("enabled", ["yes"])[:1] == ["no"] or "deb" not in fields.get("types", ()):
        return []
    return fields.get("uris", [])


def debian_mirrors(texts: Iterable[str]) -> tuple[str, str]:
    """Return the URIs of the archive and of its security updates that these files name.

    Only what a container can reach as well (http, https) counts; Debian's own when none is named.
    """
    uris = [uri for text in texts for uri in source_uris(text) if uri.startswith("http")]
    archive = next((uri for uri in uris if re.search(r"/debian(/|$)", uri)), _DEFAULT)
    security = next((uri for uri in uris if re.search(r"/debian-security(/|$)", uri)), None)
    return archive, security or "http://deb.debian.org/debian-security"


def sources_for(suite: str, mirrors: Sequence[str]) -> list[str]:
    """Return the one-line sources of `suite`: archive, updates, security."""
    archive, security = mirrors
    lines = [f"deb {archive} {suite} main"]
    if suite not in _WITHOUT_UPDATES:
        lines += [f"deb {archive} {suite}-updates main", f"deb {security} {suite}-security main"]
    return lines
