"""Holding ports, without root: ports of the ephemeral range on loopback."""

from __future__ import annotations

import os
import socket

import pytest

from pogu.errors import Conflict, NotImplementedByEngine, SystemFailure
from pogu.linux.socket_holder import inodes_of_port
from pogu.network.model import PublishedPort
from pogu.network.ports import PortTaken, hold_port, hold_ports, overlaps, refusal


def a_port(host_ip: str = "", host_port: int = 0, *, protocol: str = "tcp") -> PublishedPort:
    return PublishedPort(protocol=protocol, container_port=80, host_ip=host_ip, host_port=host_port)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (a_port("", 80), a_port("127.0.0.1", 80), True),
        (a_port("0.0.0.0", 80), a_port("127.0.0.1", 80), True),
        (a_port("0.0.0.0", 80), a_port("::1", 80), False),
        (a_port("127.0.0.1", 80), a_port("127.0.0.2", 80), False),
        (a_port("", 80), a_port("", 81), False),
        (a_port("", 80), a_port("", 80, protocol="udp"), False),
    ],
)
def test_two_ports_overlap_when_one_covers_the_other(
    one: PublishedPort, other: PublishedPort, expected: bool
) -> None:
    assert overlaps(one, other) is expected
    assert overlaps(other, one) is expected


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_free_port_is_picked_and_held(protocol: str) -> None:
    held = hold_port(a_port("127.0.0.1", protocol=protocol))
    try:
        assert held.port.host_port >= 1024
        with pytest.raises(PortTaken):
            hold_port(held.port)
    finally:
        held.close()
    hold_port(held.port).close()


def test_a_taken_port_names_the_process_and_frees_the_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        free = hold_port(a_port("127.0.0.1"))
        free.close()
        with pytest.raises(PortTaken) as caught:
            hold_ports([free.port, a_port("127.0.0.1", number)])
        said = refusal(caught.value, [])
        assert isinstance(said, Conflict)
        assert said.message == f"Bind for 127.0.0.1:{number} failed: port is already allocated"
        assert f"(pid {os.getpid()})" in str(said.hint)
    hold_port(free.port).close()


def test_an_address_of_another_host_is_refused() -> None:
    with pytest.raises(PortTaken) as caught:
        hold_port(a_port("198.51.100.7"))
    said = refusal(caught.value, [])
    assert isinstance(said, SystemFailure)
    assert "198.51.100.7" in str(said.hint)


def test_sctp_is_refused() -> None:
    with pytest.raises(NotImplementedByEngine):
        hold_port(a_port(protocol="sctp"))


def test_only_listening_sockets_of_the_port_count() -> None:
    table = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid timeout\n"
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 71 1\n"
        "   1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000 0 0 72 1\n"
        "   2: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 73 1\n"
    )
    assert inodes_of_port(table, 8080, listening_only=True) == {"71"}
    assert inodes_of_port(table, 8080, listening_only=False) == {"71", "72"}
