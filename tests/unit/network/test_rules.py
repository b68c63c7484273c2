"""The text of the nft table."""

from __future__ import annotations

from pathlib import Path

from pogu.network.model import Endpoint, Network, PublishedPort
from pogu.network.rules import add_elements, delete_elements, table_text


def a_port(host_ip: str = "", *, protocol: str = "tcp") -> PublishedPort:
    return PublishedPort(protocol=protocol, container_port=80, host_ip=host_ip, host_port=8080)


def an_endpoint(*ports: PublishedPort) -> Endpoint:
    return Endpoint(
        id="e",
        owner="o",
        network_id="n",
        network_name="bridge",
        netns=Path("/run/pogu/netns/o"),
        address="10.88.0.2",
        prefix_length=16,
        gateway="10.88.0.1",
        mac_address="02:42:0a:58:00:02",
        interface="eth0",
        ports=ports,
    )


def a_network(*, bridge: str = "pogu0", subnet: str = "10.88.0.0/16") -> Network:
    return Network(
        id="n",
        name="bridge",
        driver="bridge",
        created="",
        subnet=subnet,
        gateway="10.88.0.1",
        bridge=bridge,
    )


def test_a_port_on_all_addresses_is_one_element() -> None:
    text = add_elements("pogu", an_endpoint(a_port()))
    assert text == "add element ip pogu tcp_any { 8080 : 10.88.0.2 . 80 }\n"


def test_a_port_on_one_address_has_the_address_in_its_key() -> None:
    endpoint = an_endpoint(a_port("127.0.0.1", protocol="udp"))
    expected = "add element ip pogu udp_at { 127.0.0.1 . 8080 : 10.88.0.2 . 80 }\n"
    assert add_elements("pogu", endpoint) == expected
    expected = "delete element ip pogu udp_at { 127.0.0.1 . 8080 }\n"
    assert delete_elements("pogu", endpoint) == expected


def test_an_ipv6_port_needs_no_rule() -> None:
    assert add_elements("pogu", an_endpoint(a_port("::1"))) == ""


def test_the_whole_table_replaces_the_old_one_with_all_elements() -> None:
    networks = [a_network(), a_network(bridge="", subnet="")]
    text = table_text("pogu_ab", networks, [an_endpoint(a_port())])
    assert text.startswith("table ip pogu_ab {}\ndelete table ip pogu_ab\ntable ip pogu_ab {\n")
    assert text.endswith("add element ip pogu_ab tcp_any { 8080 : 10.88.0.2 . 80 }\n")
    assert text.count('ip saddr 10.88.0.0/16 oifname != "pogu0" masquerade') == 1
    assert 'iifname "pogu0" ip daddr 127.0.0.0/8 drop' in text
