"""Edge: sockets of the engine that hold the published ports, and who has a port that is taken."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pogu.errors import Conflict, EngineError, NotImplementedByEngine, SystemFailure
from pogu.linux.socket_holder import holder_of_port
from pogu.network.model import Endpoint, PublishedPort

__all__ = ["HeldPort", "PortTaken", "hold_port", "hold_ports", "overlaps", "refusal", "taken_by"]

_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_WILDCARDS = ("0.0.0.0", "::")
_TRIES_FOR_A_FREE_PORT = 32
_NO_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldPort:
    """A published port with the sockets that keep others off it."""

    port: PublishedPort
    sockets: tuple[socket.socket, ...]

    def close(self) -> None:
        """Let go of the port. Idempotent."""
        for held in self.sockets:
            held.close()


class PortTaken(Exception):
    """A socket could not be bound."""

    def __init__(self, port: PublishedPort, address: str, error: OSError) -> None:
        super().__init__(f"{address}:{port.host_port}: {error.strerror}")
        self.port = port
        self.address = address
        self.error = error


def overlaps(one: PublishedPort, other: PublishedPort) -> bool:
    """True when both cannot be published."""
    if (one.protocol, one.host_port) != (other.protocol, other.host_port) or not one.host_port:
        return False
    if "" in (one.host_ip, other.host_ip):
        return True
    a, b = ipaddress.ip_address(one.host_ip), ipaddress.ip_address(other.host_ip)
    return a == b or (a.version == b.version and (a.is_unspecified or b.is_unspecified))


def taken_by(port: PublishedPort, endpoints: Iterable[Endpoint]) -> Endpoint | None:
    """Return the endpoint that has published the port already."""
    for endpoint in endpoints:
        if any(overlaps(port, other) for other in endpoint.ports):
            return endpoint
    return None


def hold_ports(ports: Sequence[PublishedPort]) -> list[HeldPort]:
    """Hold all or none; 0 becomes a free port. Raises: PortTaken."""
    with contextlib.ExitStack() as undo:
        held = []
        for port in dict.fromkeys(p for p in ports if p.host_port):
            held.append(hold_port(port))
            undo.callback(held[-1].close)
        for port in (p for p in ports if not p.host_port):
            held.append(_hold_free_port(port))
            undo.callback(held[-1].close)
        undo.pop_all()
        return held


def _hold_free_port(port: PublishedPort) -> HeldPort:
    for attempt in range(_TRIES_FOR_A_FREE_PORT):
        try:
            return hold_port(port)
        except PortTaken as err:
            last = attempt == _TRIES_FOR_A_FREE_PORT - 1
            if last or err.error.errno != errno.EADDRINUSE:
                raise
    raise AssertionError("unreachable")


def hold_port(port: PublishedPort) -> HeldPort:
    """Bind the sockets of one port; with host_port 0 the kernel picks. Raises: PortTaken."""
    if port.protocol not in _KINDS:
        raise NotImplementedByEngine(
            f"publishing {port.container_port}/{port.protocol} is not supported",
            hint="tcp and udp are; other protocols work between containers",
        )
    with contextlib.ExitStack() as undo:
        sockets: list[socket.socket] = []
        for address in [port.host_ip] if port.host_ip else _WILDCARDS:
            try:
                sockets.append(undo.enter_context(_bind(port, address)))
            except OSError as err:
                if not (sockets and err.errno in _NO_IPV6):
                    raise PortTaken(port, address, err) from err
            else:
                port = replace(port, host_port=sockets[-1].getsockname()[1])
        undo.pop_all()
        return HeldPort(port=port, sockets=tuple(sockets))


def _bind(port: PublishedPort, address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    held = socket.socket(family, _KINDS[port.protocol])
    try:
        held.setblocking(False)
        if family == socket.AF_INET6:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if port.protocol == "tcp":
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((address, port.host_port))
        if port.protocol == "tcp":
            held.listen(1024)
    except OSError:
        held.close()
        raise
    return held


def refusal(taken: PortTaken, endpoints: Iterable[Endpoint]) -> EngineError:
    """Return the error for a client. Looks through /proc: some milliseconds, call in a thread."""
    port = taken.port
    shown = f"[{taken.address}]" if ":" in taken.address else taken.address
    where = f"{shown}:{port.host_port}"
    if taken.error.errno == errno.EADDRNOTAVAIL:
        return SystemFailure(
            f"failed to bind host port {where}/{port.protocol}: cannot assign requested address",
            hint=f"no interface of this host has the address {taken.address}",
        )
    if taken.error.errno != errno.EADDRINUSE:
        return SystemFailure(
            f"failed to bind host port {where}/{port.protocol}: {taken.error.strerror}"
        )
    return Conflict(
        f"Bind for {where} failed: port is already allocated",
        hint=f"port {port.host_port}/{port.protocol} is used by {_user(port, endpoints)}",
    )


def _user(port: PublishedPort, endpoints: Iterable[Endpoint]) -> str:
    if endpoint := taken_by(port, endpoints):
        return f"container {endpoint.owner[:12]}"
    holder = holder_of_port(port.protocol, port.host_port)
    if holder is None:
        return "a process that cannot be seen from here"
    return f"process {holder.name} (pid {holder.pid})"
