"""Edge: rtnetlink(7): links, addresses, routes. Messages are built by pure functions.

pyroute2 can do this too, but its import alone costs 190 ms; what is needed here is little.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

__all__ = [
    "Message",
    "Rtnetlink",
    "attribute",
    "attributes",
    "delete_link",
    "new_address",
    "new_bridge",
    "new_default_route",
    "new_veth",
    "set_link_up",
]

_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST, _ACK, _EXCL, _CREATE = 0x1, 0x4, 0x200, 0x400
_REPLACE, _DUMP = 0x100, 0x300
_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_RTM_NEWADDR, _RTM_GETADDR = 20, 22
_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER = 1, 3, 4, 10
_IFLA_LINKINFO, _IFLA_NET_NS_FD = 18, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFA_F_NODAD = 2
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_RT_TABLE_MAIN, _RTPROT_BOOT, _RTN_UNICAST = 254, 3, 1
_IFF_UP = 1
_SOL_NETLINK, _NETLINK_EXT_ACK = 270, 11
_ACK_HAS_TLVS, _ACK_CAPPED, _NLMSGERR_ATTR_MSG = 0x200, 0x100, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One request without its header."""

    type: int
    flags: int
    body: bytes
    what: str
    """For the error text: what was asked."""


def attribute(kind: int, data: bytes) -> bytes:
    """Pack one netlink attribute."""
    length = 4 + len(data)
    return struct.pack("=HH", length, kind) + data + bytes(-length % 4)


def _text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def _mac(value: str) -> bytes:
    return attribute(_IFLA_ADDRESS, bytes.fromhex(value.replace(":", "")))


def new_bridge(name: str, *, mac_address: str, mtu: int) -> Message:
    """A bridge, up; fails with EEXIST when there is one."""
    info = attribute(_IFLA_LINKINFO, _text(_IFLA_INFO_KIND, "bridge"))
    body = _LINK.pack(0, 0, 0, _IFF_UP, _IFF_UP) + _text(_IFLA_IFNAME, name) + info
    body += _mac(mac_address) + _number(_IFLA_MTU, mtu)
    return Message(
        type=_RTM_NEWLINK, flags=_CREATE | _EXCL, body=body, what=f"create bridge {name}"
    )


def new_veth(
    name: str, *, master: int, mtu: int, peer: str, peer_mac: str, peer_netns_fd: int
) -> Message:
    """A pair: one end is a port of the bridge and up, the other in a namespace and down.

    (The kernel refuses to bring the peer up while it makes the pair.)
    """
    far = (
        _LINK.pack(0, 0, 0, 0, 0)
        + _text(_IFLA_IFNAME, peer)
        + _mac(peer_mac)
        + _number(_IFLA_MTU, mtu)
    )
    far += _number(_IFLA_NET_NS_FD, peer_netns_fd)
    data = attribute(_IFLA_INFO_DATA, attribute(_VETH_INFO_PEER, far))
    info = attribute(_IFLA_LINKINFO, _text(_IFLA_INFO_KIND, "veth") + data)
    near = (
        _LINK.pack(0, 0, 0, _IFF_UP, _IFF_UP) + _text(_IFLA_IFNAME, name) + _number(_IFLA_MTU, mtu)
    )
    near += _number(_IFLA_MASTER, master) + info
    return Message(type=_RTM_NEWLINK, flags=_CREATE | _EXCL, body=near, what=f"create {name}")


def set_link_up(index: int) -> Message:
    """Bring a link up."""
    body = _LINK.pack(0, 0, index, _IFF_UP, _IFF_UP)
    return Message(type=_RTM_NEWLINK, flags=0, body=body, what=f"set link {index} up")


def delete_link(name: str) -> Message:
    """Remove a link; its peer goes with it."""
    body = _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, name)
    return Message(type=_RTM_DELLINK, flags=0, body=body, what=f"delete link {name}")


def new_address(
    index: int, interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface
) -> Message:
    """Give a link an address, usable at once; no error when it has it."""
    address = attribute(_IFA_LOCAL, interface.ip.packed)
    address += attribute(_IFA_ADDRESS, interface.ip.packed)
    family, flags = socket.AF_INET6, _IFA_F_NODAD
    if interface.version == 4:
        family, flags = socket.AF_INET, 0
        address += attribute(_IFA_BROADCAST, interface.network.broadcast_address.packed)
    body = _ADDRESS.pack(family, interface.network.prefixlen, flags, 0, index) + address
    return Message(
        type=_RTM_NEWADDR, flags=_CREATE | _REPLACE, body=body, what=f"add address {interface}"
    )


def new_default_route(gateway: str) -> Message:
    """Send everything else to `gateway`."""
    body = _ROUTE.pack(
        socket.AF_INET, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, 0, _RTN_UNICAST, 0
    ) + attribute(_RTA_GATEWAY, socket.inet_aton(gateway))
    return Message(
        type=_RTM_NEWROUTE, flags=_CREATE | _REPLACE, body=body, what=f"route by {gateway}"
    )


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Unpack a row of netlink attributes: kind and value."""
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += length + (-length % 4)


class Rtnetlink:
    """A socket to the network namespace of the thread that opens it, wherever it is used."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.bind((0, 0))

    def __enter__(self) -> Rtnetlink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None
    ) -> None:
        self._socket.close()

    def request(self, *messages: Message) -> None:
        """Send all in one go. Raises: OSError, of the first that failed, when all are done."""
        packed = [
            _HEADER.pack(16 + len(m.body), m.type, m.flags | _REQUEST | _ACK, number, 0)
            + m.body
            + bytes(-len(m.body) % 4)
            for number, m in enumerate(messages)
        ]
        self._socket.send(b"".join(packed))
        failed: OSError | None = None
        waiting = len(messages)
        while waiting:
            for kind, flags, number, body in self._receive():
                if kind == _NLMSG_ERROR:
                    waiting -= 1
                    failed = failed or _error(body, flags, messages[number].what)
        if failed:
            raise failed

    def _receive(self) -> list[tuple[int, int, int, bytes]]:
        data = self._socket.recv(1 << 17)
        found, at = [], 0
        while at + 16 <= len(data):
            length, kind, flags, number, _ = _HEADER.unpack_from(data, at)
            found.append((kind, flags, number, data[at + 16 : at + length]))
            at += length + (-length % 4)
        return found

    def _dump(self, kind: int, family: int, body: bytes) -> Iterator[bytes]:
        header = _HEADER.pack(16 + len(body), kind, _REQUEST | _DUMP, 0, 0)
        self._socket.send(header + body)
        while True:
            for found, _, _, data in self._receive():
                if found == _NLMSG_DONE:
                    return
                if found == _NLMSG_ERROR:
                    raise _error(data, 0, "list") or OSError("netlink")
                if data[0] == family:
                    yield data

    def networks(self, *, except_link: int = 0) -> list[ipaddress.IPv4Network]:
        """Return every network that a route or an address of the host covers."""
        found: set[ipaddress.IPv4Network] = set()
        family = socket.AF_INET
        for data in self._dump(_RTM_GETADDR, family, _ADDRESS.pack(family, 0, 0, 0, 0)):
            _, prefix, _, _, index = _ADDRESS.unpack_from(data)
            address = dict(attributes(data[_ADDRESS.size :])).get(_IFA_LOCAL)
            if address and index != except_link:
                found.add(ipaddress.IPv4Network((address, prefix), strict=False))
        empty = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        for data in self._dump(_RTM_GETROUTE, family, empty):
            found_in = dict(attributes(data[_ROUTE.size :]))
            link = int.from_bytes(found_in.get(_RTA_OIF, b""), "little")
            if data[1] and _RTA_DST in found_in and link != except_link:
                found.add(ipaddress.IPv4Network((found_in[_RTA_DST], data[1]), strict=False))
        return sorted(found)

    def ports_of(self, master: int) -> list[str]:
        """Return the names of the links that are ports of a bridge."""
        found = []
        for data in self._dump(_RTM_GETLINK, socket.AF_UNSPEC, _LINK.pack(0, 0, 0, 0, 0)):
            found_in = dict(attributes(data[_LINK.size :]))
            if int.from_bytes(found_in.get(_IFLA_MASTER, b""), "little") == master:
                found.append(found_in[_IFLA_IFNAME].rstrip(b"\0").decode())
        return found

    def delete_links(self, names: Sequence[str]) -> None:
        """Remove links; those already gone are no error."""
        for name in names:
            try:
                self.request(delete_link(name))
            except OSError as err:
                if err.errno != 19:  # ENODEV
                    raise


def _error(body: bytes, flags: int, what: str) -> OSError | None:
    (code,) = struct.unpack_from("=i", body)
    if code == 0:
        return None
    said = ""
    if flags & _ACK_HAS_TLVS:
        (length,) = struct.unpack_from("=I", body, 4)
        skip = 4 + (16 if flags & _ACK_CAPPED else length + (-length % 4))
        said = dict(attributes(body[skip:])).get(_NLMSGERR_ATTR_MSG, b"").decode().rstrip("\0")
    return OSError(-code, said or os.strerror(-code), what)
