"""Service: networks and endpoints; owns the tables `networks` and `endpoints`, the bridge
`pogu0`, the nft table `pogu` and the files under `<run_root>/netns/`.

Three networks exist from the start, with Docker's names: `bridge`, `host`, `none`. User-defined
networks are rows of the same table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pogu.config import Config
from pogu.db import Database
from pogu.events import EventBus

__all__ = ["Endpoint", "Network", "Networks", "PublishedPort"]


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
    ports: tuple[PublishedPort, ...]


class Networks:
    """Bridges, addresses and ports. Async where it talks to the kernel for long."""

    def __init__(self, *, config: Config, db: Database, events: EventBus) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """At engine start: bridge, sysctls and nft base rules exist (lazily where that is
        cheaper), endpoints whose owner is gone are released, listeners for IPv6 come back.
        Idempotent; heavy imports stay out of the engine's way to readiness.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Stop listening; the kernel's state stays, containers keep their network."""
        raise NotImplementedError

    def all(self) -> list[Network]:
        raise NotImplementedError

    def resolve(self, name: str) -> Network:
        """By name, ID or ID prefix. Raises: NotFound("network … not found")."""
        raise NotImplementedError

    async def connect(
        self,
        owner: str,
        *,
        network: str,
        ports: Sequence[PublishedPort] = (),
        mac_address: str = "",
    ) -> Endpoint:
        """Make the network namespace file `<run_root>/netns/<owner>`, with lo up, and, on a
        bridge network, eth0 with an address and route, and publish the ports.

        `network="none"` gives only lo. (`host` and `container:` never come here.) Raises:
        Conflict when a port is taken, naming the container or process that has it, in Docker's
        words ("Bind for 0.0.0.0:80 failed: port is already allocated"); a failure leaves
        nothing behind.
        """
        raise NotImplementedError

    async def disconnect(self, owner: str) -> None:
        """Close ports, release the address, remove veth and namespace. Idempotent."""
        raise NotImplementedError

    def endpoint(self, owner: str) -> Endpoint | None:
        raise NotImplementedError

    async def retain(self, owners: set[str]) -> None:
        """At engine start: disconnect every owner that is not in `owners`, sweep leftovers."""
        raise NotImplementedError

    def nameservers(self) -> list[str]:
        """What goes into a container's resolv.conf: the host's, loopback ones replaced."""
        raise NotImplementedError
