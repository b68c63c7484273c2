"""Edge: the bridge and the links on it. Plain functions that talk to the kernel; a few ms each."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, ip_address, ip_interface
from pathlib import Path

from pogu.linux.netns import make_netns
from pogu.linux.rtnetlink import (
    Message,
    Rtnetlink,
    new_address,
    new_bridge,
    new_default_route,
    new_veth,
    set_link_up,
)
from pogu.network.model import Endpoint
from pogu.network.subnet import choose_subnet, gateway_of, mac_of, refuse_to_cover

__all__ = [
    "Claim",
    "attach",
    "delete_links",
    "ensure_bridge",
    "free_subnet",
    "link_index",
    "ports_of_bridge",
]

log = logging.getLogger(__name__)

_SYSCTL = Path("/proc/sys/net")
_LOOPBACK_INDEX = 1
_LINK_LOCAL_PREFIXES = {4: 16, 6: 64}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a bridge may be given: what it has while it is in use, else what the configuration
    asks, else what it had, else the first free subnet; the last two overlap nothing."""

    bridge: str
    old: IPv4Network | None = None
    in_use: bool = False
    asked: IPv4Network | None = None
    avoid: Sequence[IPv4Network] = ()


def link_index(name: str) -> int:
    """Return the index of a link of the host; 0 when there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


@contextlib.contextmanager
def _host_lock() -> Iterator[None]:
    """Keep other engines from choosing a subnet meanwhile; ends with the process."""
    fd = os.open("/sys/class/net", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _choose(host: Rtnetlink, claim: Claim, index: int) -> IPv4Network:
    if claim.old and claim.in_use:
        return claim.old
    taken = [*host.networks(except_link=index), *claim.avoid]
    if claim.asked:
        refuse_to_cover(claim.asked, taken)
        return claim.asked
    if claim.old and not any(claim.old.overlaps(other) for other in taken):
        return claim.old
    return choose_subnet(taken)


def free_subnet(claim: Claim) -> IPv4Network:
    """Return the subnet that the bridge would get now, without making it."""
    with Rtnetlink() as host:
        return _choose(host, claim, link_index(claim.bridge))


def ensure_bridge(claim: Claim) -> IPv4Network:
    """Make the bridge with its address unless it is there; return its subnet. Idempotent."""
    with _host_lock(), Rtnetlink() as host:
        index = link_index(claim.bridge)
        subnet = _choose(host, claim, index)
        if index and claim.old != subnet:  # it has the address of another
            host.delete_links([claim.bridge])
            index = 0
        gateway = gateway_of(subnet)
        if not index:
            mac = mac_of(str(gateway.ip))
            host.request(new_bridge(claim.bridge, mac_address=mac, mtu=uplink_mtu()))
            index = link_index(claim.bridge)
        host.request(set_link_up(index), new_address(index, gateway))
    _write_sysctl("ipv4/ip_forward", "1")
    _write_sysctl(f"ipv4/conf/{claim.bridge}/route_localnet", "1")
    log.info("bridge ready bridge=%s subnet=%s", claim.bridge, subnet)
    return subnet


def _write_sysctl(name: str, value: str) -> None:
    path = _SYSCTL / name
    if path.read_text().strip() != value:
        path.write_text(value)


def uplink_mtu() -> int:
    """Return the MTU of the default route's link, at most 1500: larger packets cannot leave."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        words = line.split()
        if words[1] == "00000000" and words[7] == "00000000":
            found = int(Path("/sys/class/net", words[0], "mtu").read_text())
            return min(found, 1500)
    return 1500


def attach(endpoint: Endpoint, *, bridge: str, netns: Path | None = None) -> None:
    """Make the namespace of an endpoint with lo up and, when it has an address, its eth0.

    `netns`: the namespace to take, made by somebody else. A failure leaves no namespace; a veth
    made by then goes with it. Raises: OSError.
    """
    # Found out here: in the new namespace the host's links have no names.
    master = socket.if_nametoindex(bridge) if endpoint.address else 0
    mtu = uplink_mtu() if endpoint.address else 0
    with Rtnetlink() as host:
        inside = functools.partial(_set_up_inside, host, endpoint, master, mtu)
        make_netns(endpoint.netns, inside, of=netns)


def _set_up_inside(host: Rtnetlink, endpoint: Endpoint, master: int, mtu: int) -> None:
    with Rtnetlink() as here:
        if not endpoint.address:
            here.request(set_link_up(_LOOPBACK_INDEX))
            return
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            _write_sysctl("ipv6/conf/default/disable_ipv6", "1")
        _add_veth(host, endpoint, master, mtu)
        index = socket.if_nametoindex(endpoint.interface)
        interface = IPv4Interface(f"{endpoint.address}/{endpoint.prefix_length}")
        messages = [set_link_up(_LOOPBACK_INDEX), set_link_up(index)]
        messages.append(new_address(index, interface))
        messages += _link_local_addresses(endpoint, index)
        if endpoint.gateway:
            messages.append(new_default_route(endpoint.gateway))
        here.request(*messages)


def _link_local_addresses(endpoint: Endpoint, index: int) -> list[Message]:
    """IPv6 is off in a container but where an address of it was asked for."""
    found = []
    for text in endpoint.link_local:
        version = ip_address(text).version
        if version == 6:
            _write_sysctl(f"ipv6/conf/{endpoint.interface}/disable_ipv6", "0")
        prefix = _LINK_LOCAL_PREFIXES[version]
        found.append(new_address(index, ip_interface(f"{text}/{prefix}")))
    return found


def _add_veth(host: Rtnetlink, endpoint: Endpoint, master: int, mtu: int) -> None:
    """`host` is the socket to the host's namespace, the calling thread is in the new one."""
    netns = os.open(endpoint.netns, os.O_RDONLY)
    try:
        host.request(
            new_veth(
                endpoint.veth,
                master=master,
                mtu=mtu,
                peer=endpoint.interface,
                peer_mac=endpoint.mac_address,
                peer_netns_fd=netns,
            )
        )
    finally:
        os.close(netns)
    _allow_hairpin(endpoint.veth)


def _allow_hairpin(veth: str) -> None:
    """Let the bridge send a packet back where it came from: a container that asks for its own
    published port, when br_netfilter translates addresses inside the bridge."""
    with contextlib.suppress(OSError):  # a read-only /sys; only that one case is lost
        Path("/sys/class/net", veth, "brport", "hairpin_mode").write_text("1")


def delete_links(names: Sequence[str]) -> None:
    """Remove links of the host; those already gone are no error."""
    present = [name for name in names if link_index(name)]
    if present:
        with Rtnetlink() as host:
            host.delete_links(present)


def ports_of_bridge(bridge: str) -> list[str]:
    """Return the names of the links on a bridge; none when there is no bridge."""
    index = link_index(bridge)
    if not index:
        return []
    with Rtnetlink() as host:
        return host.ports_of(index)
