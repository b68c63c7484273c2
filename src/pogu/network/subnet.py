"""Format: which subnet a bridge gets and which address an endpoint. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import chain

from pogu.errors import Conflict, InvalidParameter, Unavailable

__all__ = [
    "choose_subnet",
    "gateway_of",
    "mac_of",
    "next_address",
    "parse_mac",
    "parse_subnet",
    "refuse_to_cover",
]

_NEVER = (IPv4Network("172.17.0.0/16"), IPv4Network("172.30.0.0/24"))
"""Docker's own bridge, wherever it may come up later, and a range clouds like to use."""


def _candidates() -> Iterator[IPv4Network]:
    for second in range(88, 256):
        yield IPv4Network(f"10.{second}.0.0/16")
    for second in range(18, 32):
        yield IPv4Network(f"172.{second}.0.0/16")
    for second in range(1, 88):
        yield IPv4Network(f"10.{second}.0.0/16")
    for third in range(200, 256):
        yield IPv4Network(f"192.168.{third}.0/24")


def choose_subnet(taken: Collection[IPv4Network]) -> IPv4Network:
    """Return the first candidate that overlaps nothing. Raises: Unavailable."""
    for candidate in _candidates():
        if not any(candidate.overlaps(other) for other in (*taken, *_NEVER)):
            return candidate
    raise Unavailable(
        "could not find an available, non-overlapping IPv4 address pool",
        hint="every private range is routed already; set bridge_subnet in the configuration",
    )


def refuse_to_cover(asked: IPv4Network, taken: Collection[IPv4Network]) -> None:
    """A bridge with a network of the host's in its subnet would cut the host off from it.

    One inside a wider network of the host's is the owner's to decide. Raises: Conflict.
    """
    for other in taken:
        if other.subnet_of(asked):
            raise Conflict(
                f"network.bridge_subnet {asked} covers {other}, which this host uses",
                hint="choose a range that `ip route` does not show, or leave the key out",
            )


def parse_subnet(text: str) -> IPv4Network:
    """Read `10.99.0.0/24` or `10.99.0.1/24`. Raises: InvalidParameter."""
    try:
        subnet = IPv4Network(text, strict=False)
    except ValueError as err:
        raise InvalidParameter(
            f"invalid subnet {text!r}: {err}", hint="for example 10.99.0.0/16"
        ) from err
    if subnet.prefixlen > 29:
        raise InvalidParameter(f"invalid subnet {text!r}: too small", hint="at most /29")
    return subnet


def gateway_of(subnet: IPv4Network) -> IPv4Interface:
    """Return the bridge's own address: the first of the subnet."""
    return IPv4Interface((int(subnet.network_address) + 1, subnet.prefixlen))


def next_address(subnet: IPv4Network, used: Collection[str], last: str) -> str:
    """Return the next free address after `last`, round and round; never the gateway.

    Going on after the last one keeps an address just released out of use as long as possible:
    neighbours and connection tracking still remember it. Raises: Unavailable.
    """
    first, end = int(subnet.network_address) + 2, int(subnet.broadcast_address)
    start = int(IPv4Address(last)) + 1 if last and IPv4Address(last) in subnet else first
    for number in chain(range(max(start, first), end), range(first, min(start, end))):
        address = str(IPv4Address(number))
        if address not in used:
            return address
    raise Unavailable(
        f"no available IPv4 addresses on this network's address pools: {subnet}",
        hint="remove containers, or set a larger bridge_subnet",
    )


def mac_of(address: str) -> str:
    """Return the MAC that belongs to an address: 02:42 and its four bytes."""
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x42, *IPv4Address(address).packed))


def parse_mac(text: str) -> str:
    """Read a MAC address with `:` or `-`. Raises: InvalidParameter."""
    if not re.fullmatch(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}", text):
        raise InvalidParameter(f"invalid MAC address: {text}", hint="for example 02:42:ac:11:00:02")
    return text.lower().replace("-", ":")
