"""Service: networks and endpoints; owns the tables `networks` and `endpoints`, the bridge
`pogu0`, the nft table `pogu` and the files under `<run_root>/netns/`.

Three networks exist from the start, with Docker's names: `bridge`, `host`, `none`. User-defined
networks are rows of the same table.

An engine on another root than the default one has `pogu-<suffix>` and `pogu_<suffix>` instead,
made at its first endpoint and removed after its last.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from pogu.config import Config
from pogu.db import Database
from pogu.errors import InvalidParameter, NotFound, SystemFailure
from pogu.events import EventBus
from pogu.host_failure import host_failure
from pogu.linux.blocking import in_thread
from pogu.linux.netns import is_netns, remove_netns
from pogu.network import bridge as links
from pogu.network.files import nameservers_in
from pogu.network.firewall import Firewall
from pogu.network.model import Endpoint, Network, PublishedPort
from pogu.network.publisher import Publisher
from pogu.network.rules import table_text
from pogu.network.store import NetworkStore
from pogu.network.subnet import gateway_of, mac_of, next_address, parse_mac, parse_subnet

__all__ = ["Endpoint", "Network", "Networks", "PublishedPort"]

log = logging.getLogger(__name__)

_RESOLV_CONFS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
_PUBLIC_DNS = ("8.8.8.8", "8.8.4.4")
_VETH_PREFIX = "pg"
_TIDY_AFTER_S = 0.5
"""The kernel removes a veth with its namespace, some time later; what is left then, we do."""


@contextlib.contextmanager
def _host_errors() -> Iterator[None]:
    try:
        yield
    except OSError as err:
        doing = "failed to set up container networking"
        what = f"{err.filename}: {err.strerror}" if err.filename else str(err)
        raise host_failure(err, doing) or SystemFailure(
            f"{doing}: {what}", hint="`pogu doctor` says what the host lacks"
        ) from err


class Networks:
    """Bridges, addresses and ports. Async where it talks to the kernel for long."""

    def __init__(self, *, config: Config, db: Database, events: EventBus) -> None:
        suffix = config.paths.suffix
        self._config = config
        self._events = events
        self._keeps_bridge = not suffix
        self._store = NetworkStore(db, bridge=f"pogu-{suffix}" if suffix else "pogu0")
        table = f"pogu_{suffix}" if suffix else "pogu"
        self._firewall = Firewall(table, whole_table=lambda: self._table_text(table))
        self._publisher = Publisher()
        self._bridge_lock = asyncio.Lock()
        self._ready: set[str] = set()
        addresses = [e.address for e in self._store.endpoints.values() if e.address]
        self._last_address = max(addresses, key=IPv4Address, default="")
        self._old_veths: set[str] = set()
        self._tidying: asyncio.Task[None] | None = None

    def _table_text(self, table: str) -> str:
        endpoints = [endpoint for endpoint in self._store.endpoints.values() if endpoint.address]
        return table_text(table, self._store.networks.values(), endpoints)

    async def start(self) -> None:
        """At engine start: bridge, sysctls and nft base rules exist (lazily where that is
        cheaper), endpoints whose owner is gone are released, listeners for IPv6 come back.
        Idempotent; heavy imports stay out of the engine's way to readiness.

        With no endpoint nothing is made until the first connect. The listeners wait for
        `retain`, which says whose they are.
        """
        for endpoint in list(self._store.endpoints.values()):
            if not is_netns(endpoint.netns):  # after a reboot, or killed in the middle of connect
                self._forget(endpoint)
        with _host_errors():
            for network in self.all():
                if network.bridge and self._store.on_network(network):
                    await self._ensure(network)
                elif network.bridge and not network.subnet:
                    subnet = await in_thread(links.free_subnet, self._claim(network))
                    self._set_subnet(network, subnet)

    async def close(self) -> None:
        """Stop listening; the kernel's state stays, containers keep their network."""
        if self._tidying:
            self._tidying.cancel()
            await asyncio.gather(self._tidying, return_exceptions=True)
            await self._tidy()
        await self._publisher.close()

    def all(self) -> list[Network]:
        """Every network, by name."""
        return [self._store.networks[name] for name in sorted(self._store.networks)]

    def resolve(self, name: str) -> Network:
        """By name, ID or ID prefix. Raises: NotFound("network … not found")."""
        if name in self._store.networks:
            return self._store.networks[name]
        found = [network for network in self.all() if name and network.id.startswith(name)]
        if len(found) > 1:
            raise InvalidParameter(f"network {name} is ambiguous ({len(found)} matches found)")
        if not found:
            names = ", ".join(sorted(self._store.networks))
            raise NotFound(f"network {name} not found", hint=f"there are: {names}")
        return found[0]

    async def connect(
        self,
        owner: str,
        *,
        network: str,
        ports: Sequence[PublishedPort] = (),
        mac_address: str = "",
        link_local: Sequence[str] = (),
        netns: Path | None = None,
    ) -> Endpoint:
        """Make the network namespace file `<run_root>/netns/<owner>`, with lo up, and, on a
        bridge network, eth0 with an address and route, and publish the ports.

        `network="none"` gives only lo. `netns` is a namespace to take instead of a new one: that
        of a container with a user namespace belongs to this. (`host` and `container:` never come
        here.) Raises: Conflict when a port is taken, naming the container or process that has it,
        in Docker's words ("Bind for 0.0.0.0:80 failed: port is already allocated"); a failure
        leaves nothing behind.
        """
        mac_address = parse_mac(mac_address) if mac_address else ""
        place = self.resolve("bridge" if network == "default" else network)
        await self.disconnect(owner)
        with _host_errors():
            if place.bridge:
                place = await self._ensure(place)
                endpoint = await self._reserve(owner, place, ports, mac_address, link_local)
            else:
                endpoint = self._lo_only(owner, place)
                self._store.put_endpoint(endpoint)
            await self._build(endpoint, place, netns)
        self._publish_event("connect", endpoint, place)
        return endpoint

    async def _ensure(self, network: Network) -> Network:
        """Make bridge and table unless they are there; return the network with its subnet."""
        async with self._bridge_lock:
            if network.name in self._ready and links.link_index(network.bridge):
                return self._store.networks[network.name]
            subnet = await in_thread(links.ensure_bridge, self._claim(network))
            network = self._set_subnet(network, subnet)
            await self._firewall.rebuild()
            await self._firewall.open_bridge(network.bridge)
            self._ready.add(network.name)
            return network

    def _claim(self, network: Network) -> links.Claim:
        asked = self._config.bridge_subnet if network.name == "bridge" else ""
        return links.Claim(
            bridge=network.bridge,
            old=IPv4Network(network.subnet) if network.subnet else None,
            in_use=bool(self._store.on_network(network)),
            asked=parse_subnet(asked) if asked else None,
            avoid=[IPv4Network(server) for server in self.nameservers() if ":" not in server],
        )

    def _set_subnet(self, network: Network, subnet: IPv4Network) -> Network:
        gateway = str(gateway_of(subnet).ip)
        return self._store.set_subnet(network, subnet=str(subnet), gateway=gateway)

    async def _reserve(
        self,
        owner: str,
        network: Network,
        ports: Sequence[PublishedPort],
        mac_address: str,
        link_local: Sequence[str],
    ) -> Endpoint:
        """Take address and ports, in the row and in the kernel, without a pause between."""
        held = await self._publisher.hold(ports, self._store.endpoints.values())
        with contextlib.ExitStack() as undo:
            for one in held:
                undo.callback(one.close)
            subnet = IPv4Network(network.subnet)
            used = {endpoint.address for endpoint in self._store.on_network(network)}
            address = next_address(subnet, used, self._last_address)
            endpoint = replace(
                self._lo_only(owner, network),
                address=address,
                prefix_length=subnet.prefixlen,
                gateway=network.gateway,
                mac_address=mac_address or mac_of(address),
                interface="eth0",
                ports=tuple(one.port for one in held),
                link_local=tuple(link_local),
                veth=_VETH_PREFIX + secrets.token_hex(6),
            )
            self._store.put_endpoint(endpoint)
            self._publisher.serve(endpoint, held)
            undo.pop_all()
        self._last_address = address
        return endpoint

    def _lo_only(self, owner: str, network: Network) -> Endpoint:
        return Endpoint(
            id=secrets.token_hex(32),
            owner=owner,
            network_id=network.id,
            network_name=network.name,
            netns=self._config.paths.netns / owner,
            address="",
            prefix_length=0,
            gateway="",
            mac_address="",
            interface="",
            ports=(),
        )

    async def _build(self, endpoint: Endpoint, network: Network, netns: Path | None) -> None:
        """Make what the row says, rules beside namespace; on failure or cancel take all away."""
        attach = in_thread(links.attach, endpoint, bridge=network.bridge, netns=netns)
        tasks = [asyncio.ensure_future(attach)]
        if endpoint.address:
            tasks.append(asyncio.ensure_future(self._firewall.publish(endpoint)))
        try:
            await asyncio.shield(asyncio.gather(*tasks))
        except BaseException:
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._release(endpoint)
            raise

    async def disconnect(self, owner: str) -> None:
        """Close ports, release the address, remove veth and namespace. Idempotent.

        The link itself may stay visible for half a second after this returns.
        """
        endpoint = self._store.endpoints.get(owner)
        if endpoint is None:
            return
        with _host_errors():
            await self._release(endpoint)
        network = self._store.networks.get(endpoint.network_name)
        if network:
            self._publish_event("disconnect", endpoint, network)

    async def _release(self, endpoint: Endpoint) -> None:
        await self._publisher.release(endpoint.owner)
        await self._firewall.withdraw(endpoint)
        remove_netns(endpoint.netns)
        self._forget(endpoint)
        if self._tidying is None or self._tidying.done():
            self._tidying = asyncio.create_task(self._tidy_later())

    def _forget(self, endpoint: Endpoint) -> None:
        self._store.delete_endpoint(endpoint.owner)
        if endpoint.veth:
            self._old_veths.add(endpoint.veth)

    async def _tidy_later(self) -> None:
        while self._old_veths:
            await asyncio.sleep(_TIDY_AFTER_S)
            await self._tidy()

    async def _tidy(self) -> None:
        """Delete the links of old endpoints that are still there, and a bridge without use."""
        veths, self._old_veths = self._old_veths, set()
        try:
            await in_thread(links.delete_links, sorted(veths))
            if not self._keeps_bridge:
                await self._remove_unused_bridges()
        except (OSError, SystemFailure):
            log.exception("cannot tidy links=%s", sorted(veths))

    async def _remove_unused_bridges(self) -> None:
        async with self._bridge_lock:
            if any(endpoint.address for endpoint in self._store.endpoints.values()):
                return
            present = [n.bridge for n in self.all() if n.bridge and links.link_index(n.bridge)]
            if present:
                await self._firewall.remove(present)
                await in_thread(links.delete_links, present)
            self._ready.clear()

    def _publish_event(self, action: str, endpoint: Endpoint, network: Network) -> None:
        attributes = {"container": endpoint.owner, "name": network.name, "type": network.driver}
        self._events.publish("network", action, network.id, attributes)

    def endpoint(self, owner: str) -> Endpoint | None:
        return self._store.endpoints.get(owner)

    async def retain(self, owners: set[str]) -> None:
        """At engine start: disconnect every owner that is not in `owners`, sweep leftovers."""
        for owner in self._store.endpoints.keys() - owners:
            await self.disconnect(owner)
        for path in list(self._config.paths.netns.iterdir()):
            if path.name not in self._store.endpoints:
                remove_netns(path)
        with _host_errors():
            await self._sweep_links()
        for endpoint in self._store.endpoints.values():
            self._publisher.serve_again(endpoint)

    async def _sweep_links(self) -> None:
        known = {endpoint.veth for endpoint in self._store.endpoints.values()}
        for network in self.all():
            on_bridge = await in_thread(links.ports_of_bridge, network.bridge)
            own = {name for name in on_bridge if name.startswith(_VETH_PREFIX)}
            self._old_veths |= own - known
        await self._tidy()

    def nameservers(self) -> list[str]:
        """What goes into a container's resolv.conf: the host's, loopback ones replaced."""
        if self._config.dns:
            return list(self._config.dns)
        for path in _RESOLV_CONFS:
            with contextlib.suppress(OSError):
                if found := nameservers_in(path.read_text(errors="replace")):
                    return found
        return list(_PUBLIC_DNS)
