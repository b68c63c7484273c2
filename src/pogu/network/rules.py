"""Format: the nft table of one engine, as text. Pure.

Publishing a port is one element of a map, so the rules themselves never change:

    tcp_any  port            → container address . port    published on all IPv4 addresses
    tcp_at   address . port  → container address . port    published on one
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from pogu.network.model import Endpoint, Network, PublishedPort

__all__ = ["add_elements", "delete_elements", "delete_table", "table_text"]

_TABLE = """\
table ip {table} {{}}
delete table ip {table}
table ip {table} {{
\tmap tcp_any {{ type inet_service : ipv4_addr . inet_service; }}
\tmap udp_any {{ type inet_service : ipv4_addr . inet_service; }}
\tmap tcp_at {{ type ipv4_addr . inet_service : ipv4_addr . inet_service; }}
\tmap udp_at {{ type ipv4_addr . inet_service : ipv4_addr . inet_service; }}

\tchain published {{
\t\tdnat ip to ip daddr . tcp dport map @tcp_at
\t\tdnat ip to ip daddr . udp dport map @udp_at
\t\tdnat ip to tcp dport map @tcp_any
\t\tdnat ip to udp dport map @udp_any
\t}}
\tchain prerouting {{
\t\ttype nat hook prerouting priority dstnat; policy accept;
\t\tfib daddr type local jump published
\t}}
\tchain output {{
\t\ttype nat hook output priority -100; policy accept;
\t\tfib daddr type local jump published
\t}}
\tchain guard {{
\t\ttype filter hook prerouting priority raw; policy accept;
{guard}\t}}
\tchain postrouting {{
\t\ttype nat hook postrouting priority srcnat; policy accept;
{postrouting}\t}}
}}
"""

_GUARD = """\
\t\tiifname "{bridge}" ip daddr 127.0.0.0/8 drop
\t\tiifname != {{ "{bridge}", "lo" }} ip daddr {subnet} drop
"""
"""route_localnet must not lead containers to the host's own loopback, and from outside the
host a container is reached by its published ports only."""

_POSTROUTING = """\
\t\tip saddr {subnet} oifname != "{bridge}" masquerade
\t\tip saddr {subnet} oifname "{bridge}" ct status dnat masquerade
\t\tip saddr 127.0.0.0/8 oifname "{bridge}" masquerade
"""
"""Outwards; container to container by the host's port; from the host's 127.0.0.1."""


def table_text(table: str, networks: Iterable[Network], endpoints: Iterable[Endpoint]) -> str:
    """Return the transaction that replaces the whole table."""
    places = [
        {"bridge": network.bridge, "subnet": network.subnet}
        for network in networks
        if network.bridge and network.subnet
    ]
    text = _TABLE.format(
        table=table,
        guard="".join(_GUARD.format(**place) for place in places),
        postrouting="".join(_POSTROUTING.format(**place) for place in places),
    )
    return text + "".join(add_elements(table, endpoint) for endpoint in endpoints)


def _key(port: PublishedPort) -> tuple[str, str] | None:
    """Return map and key of a port; None when IPv4 does not come into it."""
    if port.host_ip in ("", "0.0.0.0"):
        return f"{port.protocol}_any", str(port.host_port)
    if ipaddress.ip_address(port.host_ip).version == 6:
        return None
    return f"{port.protocol}_at", f"{port.host_ip} . {port.host_port}"


def add_elements(table: str, endpoint: Endpoint) -> str:
    """Return the commands that publish an endpoint's ports; empty when it has none."""
    lines = []
    for port in endpoint.ports:
        if place := _key(port):
            target = f"{endpoint.address} . {port.container_port}"
            lines.append(f"add element ip {table} {place[0]} {{ {place[1]} : {target} }}\n")
    return "".join(lines)


def delete_elements(table: str, endpoint: Endpoint) -> str:
    """Return the commands that take an endpoint's ports away."""
    places = filter(None, map(_key, endpoint.ports))
    return "".join(f"delete element ip {table} {where} {{ {key} }}\n" for where, key in places)


def delete_table(table: str) -> str:
    """Return the transaction that removes the table, there or not."""
    return f"table ip {table} {{}}\ndelete table ip {table}\n"
