"""Format: a container's /etc/resolv.conf and /etc/hosts, in Docker's layout. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

__all__ = ["hosts_text", "nameservers_in", "resolv_conf_text", "with_address"]

_HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def nameservers_in(text: str) -> list[str]:
    """Return the nameservers that a container can reach: IPv4 ones that are not loopback."""
    found = []
    for words in _lines(text, "nameserver"):
        try:
            address = ipaddress.ip_address(words[0].partition("%")[0])
        except ValueError:
            continue
        if address.version == 4 and not address.is_loopback and not address.is_unspecified:
            found.append(str(address))
    return found


def _lines(text: str, keyword: str) -> list[list[str]]:
    split = (line.split() for line in text.splitlines())
    return [words[1:] for words in split if len(words) > 1 and words[0] == keyword]


def _last(text: str, keyword: str) -> list[str]:
    lines = _lines(text, keyword)
    return lines[-1] if lines else []


def resolv_conf_text(
    host_text: str,
    *,
    dns: Sequence[str],
    dns_search: Sequence[str],
    dns_options: Sequence[str],
    default_dns: Sequence[str],
) -> str:
    """Return the container's resolv.conf: the host's, each kind of line replaced where given.

    The host's own nameservers stand for themselves as far as a container can reach them, else
    `default_dns` does (`Networks.nameservers`). A search domain `.` means none at all.
    """
    servers = list(dns) or nameservers_in(host_text) or list(default_dns)
    search = list(dns_search) or _last(host_text, "search") or _last(host_text, "domain")
    options = list(dns_options) or _last(host_text, "options")
    lines = [f"nameserver {server}" for server in servers]
    if search and search != ["."]:
        lines.append(f"search {' '.join(search)}")
    if options:
        lines.append(f"options {' '.join(options)}")
    return "".join(f"{line}\n" for line in lines)


def hosts_text(
    *,
    hostname: str,
    domainname: str,
    address: str,
    extra_hosts: Sequence[str],
    gateway: str,
) -> str:
    """Return the container's hosts file.

    An extra host is `name:address` (the address may be IPv6, or `host-gateway`).
    """
    lines = []
    for entry in extra_hosts:
        name, _, target = entry.partition(":")
        target = target.removeprefix("[").removesuffix("]")
        target = gateway if target == "host-gateway" else target
        if target:
            lines.append(f"{target}\t{name}\n")
    if address:
        names = f"{hostname}.{domainname} {hostname}" if domainname else hostname
        lines.append(f"{address}\t{names}\n")
    return _HOSTS + "".join(lines)


def with_address(hosts: str, name: str, address: str) -> str:
    """Return a hosts file where `name`, the first of its line, has that address; empty: none."""
    lines = []
    for line in hosts.splitlines(keepends=True):
        words = line.split(None, 2)
        if words[1:2] != [name] or words[0].startswith("#"):
            lines.append(line)
        elif address:
            lines.append(line.replace(words[0], address, 1))
    return "".join(lines)
