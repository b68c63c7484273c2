"""Edge: the kernel's table of connections (nfnetlink, ctnetlink)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from pogu.linux.rtnetlink import attribute, attributes

__all__ = ["forget_connections"]

_NETLINK_NETFILTER = 12
_GET, _DELETE = 0x101, 0x102
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_TUPLE_ORIG, _TUPLE_REPLY, _TUPLE_IP, _IP_V4_SRC = 1, 2, 1, 1
_IPV4 = struct.pack("=BBH", socket.AF_INET, 0, 0)


def forget_connections(address: str) -> int:
    """Forget every connection that was led to `address`; return how many.

    Else a client that keeps sending UDP from one port is led to the old address for ever. Does
    nothing on a kernel without ctnetlink. Raises: OSError.
    """
    wanted = socket.inet_aton(address)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as kernel:
            kernel.bind((0, 0))
            found = [origin for origin, answers in _connections(kernel) if answers == wanted]
            for origin in found:
                _send(kernel, _DELETE, _REQUEST | _ACK, attribute(_TUPLE_ORIG | 0x8000, origin))
                kernel.recv(1 << 16)  # an error means: ended by itself
            return len(found)
    except ProtocolError:
        return 0


class ProtocolError(Exception):
    """The kernel does not offer this."""


def _send(kernel: socket.socket, kind: int, flags: int, body: bytes) -> None:
    kernel.send(struct.pack("=IHHII", 20 + len(body), kind, flags, 0, 0) + _IPV4 + body)


def _connections(kernel: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """Yield of each connection its original tuple and the address that answers."""
    _send(kernel, _GET, _REQUEST | _DUMP, b"")
    while True:
        data, at = kernel.recv(1 << 17), 0
        while at + 16 <= len(data):
            length, kind = struct.unpack_from("=IH", data, at)
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise ProtocolError
            found = dict(attributes(data[at + 20 : at + length]))
            reply = dict(attributes(found.get(_TUPLE_REPLY, b"")))
            address = dict(attributes(reply.get(_TUPLE_IP, b""))).get(_IP_V4_SRC, b"")
            yield found.get(_TUPLE_ORIG, b""), address
            at += length + (-length % 4)
