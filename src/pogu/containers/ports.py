"""Format: exposed and published ports (`80/tcp` → host ports, single or a range). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pogu.errors import InvalidParameter
from pogu.model.container import ContainerConfig, HostConfig
from pogu.network.service import PublishedPort

__all__ = ["PortRange", "choices", "parse_exposed", "ports_to_publish", "requested_ports"]

_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRange:
    """One published port; any host port from `port.host_port` to `last` will do."""

    port: PublishedPort
    last: int


def _number(text: str, whole: str) -> int:
    if int(text) > 65535:
        raise InvalidParameter(f"invalid port specification: {whole!r}", hint="ports end at 65535")
    return int(text)


def parse_exposed(text: str) -> tuple[int, int, str]:
    """Return first port, last port and protocol of `80`, `80/udp`, `80-90/tcp`.

    Raises: InvalidParameter in Docker's words.
    """
    match = _PORT.fullmatch(text)
    if not match:
        raise InvalidParameter(
            f"invalid port specification: {text!r}", hint="for example 80/tcp or 8000-8010/udp"
        )
    first = _number(match[1], text)
    last = _number(match[2], text) if match[2] else first
    if first == 0 or last < first:
        raise InvalidParameter(f"invalid port specification: {text!r}")
    return first, last, (match[3] or "tcp").lower()


def _host_range(text: str) -> tuple[int, int]:
    if not text:
        return 0, 0
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text)
    if not match:
        raise InvalidParameter(f"invalid port specification: {text!r}", hint="for example 8080")
    first = _number(match[1], text)
    last = _number(match[2], text) if match[2] else first
    if last < first:
        raise InvalidParameter(f"invalid port specification: {text!r}")
    return first, last


def _check_address(address: str) -> str:
    import ipaddress

    try:
        if address:
            ipaddress.ip_address(address)
    except ValueError as err:
        raise InvalidParameter(f"invalid IP address: {address}") from err
    return address


def requested_ports(host: HostConfig) -> list[PortRange]:
    """Return what `-p` asks for. Raises: InvalidParameter."""
    wanted: list[PortRange] = []
    for text, bindings in (host.port_bindings or {}).items():
        first, last, protocol = parse_exposed(text)
        if first != last:
            raise InvalidParameter(f"invalid port specification: {text!r}")
        for binding in bindings or ():
            low, high = _host_range(binding.host_port)
            port = PublishedPort(
                protocol=protocol,
                container_port=first,
                host_ip=_check_address(binding.host_ip),
                host_port=low,
            )
            wanted.append(PortRange(port=port, last=high))
    return wanted


def ports_to_publish(config: ContainerConfig, host: HostConfig) -> list[PortRange]:
    """Return what `-p` and `-P` ask for together."""
    wanted = requested_ports(host)
    if not host.publish_all_ports:
        return wanted
    bound = {(one.port.container_port, one.port.protocol) for one in wanted}
    for text in config.exposed_ports or ():
        first, last, protocol = parse_exposed(text)
        for number in range(first, last + 1):
            if (number, protocol) not in bound:
                port = PublishedPort(
                    protocol=protocol, container_port=number, host_ip="", host_port=0
                )
                wanted.append(PortRange(port=port, last=0))
    return wanted


def choices(wanted: list[PortRange]) -> Iterator[list[PublishedPort]]:
    """Yield what to try in turn: the nth port of every range; one choice without a range."""
    longest = max((one.last - one.port.host_port + 1 for one in wanted), default=1)
    for step in range(max(longest, 1)):
        yield [
            replace(one.port, host_port=min(one.port.host_port + step, one.last)) for one in wanted
        ]
