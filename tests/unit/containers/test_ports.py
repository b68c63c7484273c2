"""Exposed and published ports."""

from __future__ import annotations

import pytest

from pogu.containers.ports import (
    PortRange,
    choices,
    parse_exposed,
    ports_to_publish,
    requested_ports,
)
from pogu.errors import InvalidParameter
from pogu.model.container import ContainerConfig, HostConfig, PortBinding
from pogu.network.model import PublishedPort


def a_range(
    container: int, first: int = 0, last: int | None = None, host_ip: str = ""
) -> PortRange:
    port = PublishedPort(protocol="tcp", container_port=container, host_ip=host_ip, host_port=first)
    return PortRange(port=port, last=first if last is None else last)


def a_host(
    container: str, *host_ports: str, host_ip: str = "", publish_all: bool = False
) -> HostConfig:
    bindings = tuple(PortBinding(host_ip=host_ip, host_port=port) for port in host_ports)
    return HostConfig(port_bindings={container: bindings}, publish_all_ports=publish_all)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", (80, 80, "tcp")),
        ("80/udp", (80, 80, "udp")),
        ("80/TCP", (80, 80, "tcp")),
        ("80-90/sctp", (80, 90, "sctp")),
        ("65535", (65535, 65535, "tcp")),
    ],
)
def test_a_port_is_parsed(text: str, expected: tuple[int, int, str]) -> None:
    assert parse_exposed(text) == expected


@pytest.mark.parametrize(
    "text", ["", "x", "0", "65536", "90-80", "80/icmp", "80/", "-1", "80-", " 80", "80,81"]
)
def test_a_wrong_port_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid port specification"):
        parse_exposed(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (HostConfig(), []),
        (HostConfig(port_bindings={"80/tcp": None}), []),
        (a_host("80", ""), [a_range(80)]),
        (a_host("80", "0"), [a_range(80)]),
        (a_host("80", "8080", host_ip="::1"), [a_range(80, 8080, host_ip="::1")]),
        (a_host("80", "8000-8010"), [a_range(80, 8000, 8010)]),
        (a_host("80", "1", "2"), [a_range(80, 1), a_range(80, 2)]),
    ],
)
def test_bindings_are_read(host: HostConfig, expected: list[PortRange]) -> None:
    assert requested_ports(host) == expected


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (a_host("80", "x"), "invalid port specification"),
        (a_host("80", "70000"), "invalid port specification"),
        (a_host("80", "9-8"), "invalid port specification"),
        (a_host("80-81", "8080"), "invalid port specification"),
        (a_host("80", "8080", host_ip="localhost"), "invalid IP address: localhost"),
    ],
)
def test_a_wrong_binding_is_refused(host: HostConfig, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        requested_ports(host)


def test_publish_all_adds_what_is_exposed_and_not_bound() -> None:
    config = ContainerConfig(exposed_ports={"80/tcp": {}, "90-91": {}})
    assert ports_to_publish(config, a_host("80", "8080")) == [a_range(80, 8080)]
    found = ports_to_publish(config, a_host("80", "8080", publish_all=True))
    assert found == [a_range(80, 8080), a_range(90), a_range(91)]


def test_a_range_is_tried_port_by_port() -> None:
    wanted = [a_range(80, 8000, 8002), a_range(81, 9000), a_range(82)]
    tried = [[port.host_port for port in ports] for ports in choices(wanted)]
    assert tried == [[8000, 9000, 0], [8001, 9000, 0], [8002, 9000, 0]]


def test_without_ports_there_is_one_choice() -> None:
    assert list(choices([])) == [[]]
