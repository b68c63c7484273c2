"""Format: Docker's legacy links of the default network: names in /etc/hosts and variables. Pure.

A record keeps a link as `<ID>:<alias>`, because containers may be renamed.
"""

from __future__ import annotations

from collections.abc import Iterable

from pogu.containers.model import ContainerRecord
from pogu.errors import InvalidParameter

__all__ = ["link_environment", "link_names", "parse_link"]

_LEFT_OUT = ("HOME", "PATH")


def parse_link(text: str) -> tuple[str, str]:
    """`name[:alias]`, or `/name:/other/alias` as inspect shows it → name and alias.

    Raises: InvalidParameter in Docker's words.
    """
    if not text:
        raise InvalidParameter("empty string specified for links", hint="--link NAME:ALIAS")
    name, colon, alias = text.partition(":")
    if ":" in alias or not name:
        raise InvalidParameter(f"bad format for links: {text}", hint="--link NAME:ALIAS")
    if name.startswith("/"):
        return name[1:], alias.rpartition("/")[2]
    return name, alias if colon else name


def link_names(alias: str, *, hostname: str, name: str) -> str:
    """Return the names that the other container has in the hosts file."""
    return " ".join(dict.fromkeys((alias, hostname, name)))


def link_environment(
    other: ContainerRecord, *, owner: str, alias: str, address: str
) -> tuple[str, ...]:
    """Return what the container called `owner` is told of the one that it calls `alias`."""
    prefix = alias.rpartition("/")[2].upper().replace("-", "_")
    found: list[str] = []
    ports = _ports(other.config.exposed_ports or ())
    for number, protocol in ports:
        url = f"{protocol}://{address}:{number}"
        if not found:
            found.append(f"{prefix}_PORT={url}")
        one = f"{prefix}_PORT_{number}_{protocol.upper()}"
        found += [f"{one}={url}", f"{one}_ADDR={address}"]
        found += [f"{one}_PORT={number}", f"{one}_PROTO={protocol}"]
    found.append(f"{prefix}_NAME=/{owner}/{alias}")
    for pair in other.config.env or ():
        key, equals, value = pair.partition("=")
        if equals and key not in _LEFT_OUT:
            found.append(f"{prefix}_ENV_{key}={value}")
    return tuple(found)


def _ports(names: Iterable[str]) -> list[tuple[int, str]]:
    """TCP first, then by number."""
    found = []
    for name in names:
        number, _, protocol = name.partition("/")
        found.append((int(number.partition("-")[0]), protocol or "tcp"))
    return sorted(found, key=lambda port: (port[1] != "tcp", port[1], port[0]))
