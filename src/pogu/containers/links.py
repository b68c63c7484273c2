"""Format: Docker's legacy links of the default network: names in /etc/hosts and variables. Pure.

A record keeps a link as `<ID>:<alias>`, because containers may be renamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pogu.containers.model import ContainerRecord
from pogu.errors import InvalidParameter
from pogu.model.container import HostConfig

__all__ = ["link_environment", "link_names", "parse_link", "parts_of_link"]

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


def parts_of_link(host: HostConfig) -> Iterator[tuple[str, str]]:
    """Yield ID and alias of each link of a record."""
    for link in host.links or ():
        other, _, alias = link.partition(":")
        yield other, alias


def link_names(alias: str, *, hostname: str, name: str) -> str:
    """Return the names that the other container has in the hosts file."""
    return " ".join(dict.fromkeys((alias, hostname, name)))


def link_environment(
    other: ContainerRecord, *, owner: str, alias: str, address: str
) -> tuple[str, ...]:
    """Return what the container called `owner` is told of the one that it calls `alias`."""
    prefix = alias.rpartition("/")[2].upper().replace("-", "_")
    found: list[str] = []
    for ports in _ranges(_ports(other.config.exposed_ports or ())):
        for number, protocol in ports:
            url = f"{protocol}://{address}:{number}"
            if not found:
                found.append(f"{prefix}_PORT={url}")
            one = f"{prefix}_PORT_{number}_{protocol.upper()}"
            found += [f"{one}={url}", f"{one}_ADDR={address}"]
            found += [f"{one}_PORT={number}", f"{one}_PROTO={protocol}"]
        found += _of_range(prefix, address, ports) if len(ports) > 1 else []
    found.append(f"{prefix}_NAME=/{owner}/{alias}")
    for pair in other.config.env or ():
        key, equals, value = pair.partition("=")
        if equals and key not in _LEFT_OUT:
            found.append(f"{prefix}_ENV_{key}={value}")
    return tuple(found)


def _of_range(prefix: str, address: str, ports: list[tuple[int, str]]) -> list[str]:
    """What is said of ports that follow each other."""
    (first, protocol), (last, _) = ports[0], ports[-1]
    name, url = f"{prefix}_PORT_{first}_{protocol.upper()}", f"{protocol}://{address}"
    return [
        f"{name}_START={url}:{first}",
        f"{name}_PORT_START={first}",
        f"{name}_END={url}:{last}",
        f"{name}_PORT_END={last}",
    ]


def _ranges(ports: list[tuple[int, str]]) -> list[list[tuple[int, str]]]:
    """Those whose numbers follow each other stand together."""
    found: list[list[tuple[int, str]]] = []
    for number, protocol in ports:
        if found and found[-1][-1] == (number - 1, protocol):
            found[-1].append((number, protocol))
        else:
            found.append([(number, protocol)])
    return found


def _ports(names: Iterable[str]) -> list[tuple[int, str]]:
    """TCP first, then by number."""
    found = []
    for name in names:
        number, _, protocol = name.partition("/")
        found.append((int(number.partition("-")[0]), protocol or "tcp"))
    return sorted(found, key=lambda port: (port[1] != "tcp", port[1], port[0]))
