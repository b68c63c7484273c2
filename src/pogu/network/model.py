"""Format: what a network, an endpoint and a published port are. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Endpoint", "Network", "PublishedPort"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPort:
    """One host port that leads to one container port."""

    protocol: str
    container_port: int
    host_ip: str
    """Empty = all addresses, IPv4 and IPv6."""
    host_port: int
    """0 in a request = pick a free one; never 0 in an endpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One network as `network inspect` shows it."""

    id: str
    name: str
    driver: str
    created: str
    subnet: str
    gateway: str
    bridge: str
    internal: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One owner's place in one network. Owner = container ID or a build step's ID."""

    id: str
    owner: str
    network_id: str
    network_name: str
    netns: Path
    address: str
    """IPv4 without prefix; empty for none."""
    prefix_length: int
    gateway: str
    mac_address: str
    interface: str
    """Inside the namespace: eth0; empty for none."""
    ports: tuple[PublishedPort, ...]
    link_local: tuple[str, ...] = ()
    """Addresses besides the own one, IPv4 and IPv6."""
    veth: str = ""
    """The other end of `interface`, on the host."""
