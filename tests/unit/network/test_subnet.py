"""The choice of subnets and addresses."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from pogu.errors import Conflict, InvalidParameter, Unavailable
from pogu.network.subnet import (
    choose_subnet,
    gateway_of,
    mac_of,
    next_address,
    parse_subnet,
    refuse_to_cover,
)

SMALL = IPv4Network("10.99.0.0/29")


def test_the_first_free_subnet_is_chosen() -> None:
    assert choose_subnet([]) == IPv4Network("10.88.0.0/16")
    taken = [IPv4Network("10.88.3.0/24"), IPv4Network("10.89.0.1/32")]
    assert choose_subnet(taken) == IPv4Network("10.90.0.0/16")


def test_a_route_for_all_of_ten_leads_to_another_range() -> None:
    assert choose_subnet([IPv4Network("10.0.0.0/8")]) == IPv4Network("172.18.0.0/16")
    taken = [IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12")]
    assert choose_subnet(taken) == IPv4Network("192.168.200.0/24")


def test_nothing_free_says_what_to_do() -> None:
    with pytest.raises(Unavailable) as caught:
        choose_subnet([IPv4Network("0.0.0.0/1"), IPv4Network("128.0.0.0/1")])
    assert "bridge_subnet" in str(caught.value.hint)


def test_a_subnet_that_is_asked_for_never_covers_one_of_the_hosts() -> None:
    host = [IPv4Network("10.0.0.0/8"), IPv4Network("192.168.1.0/24")]
    refuse_to_cover(SMALL, host)  # within a wider one
    for asked in ("192.168.1.0/24", "192.168.0.0/16"):
        with pytest.raises(Conflict, match=r"covers 192\.168\.1\.0/24"):
            refuse_to_cover(IPv4Network(asked), host)


def test_addresses_go_on_after_the_last() -> None:
    assert next_address(SMALL, set(), "") == "10.99.0.2"
    assert next_address(SMALL, set(), "10.99.0.4") == "10.99.0.5"
    assert next_address(SMALL, {"10.99.0.5"}, "10.99.0.4") == "10.99.0.6"
    assert next_address(SMALL, {"10.99.0.2"}, "10.99.0.6") == "10.99.0.3"
    assert next_address(SMALL, set(), "10.1.0.9") == "10.99.0.2"


def test_a_full_subnet_is_refused() -> None:
    with pytest.raises(Unavailable):
        next_address(SMALL, {f"10.99.0.{n}" for n in range(2, 7)}, "10.99.0.4")


def test_gateway_and_mac_come_from_the_address() -> None:
    assert str(gateway_of(SMALL)) == "10.99.0.1/29"
    assert mac_of("10.99.0.16") == "02:42:0a:63:00:10"


@pytest.mark.parametrize("text", ["10.0.0.0/33", "x", "10.0.0.0/30", "fd00::/64"])
def test_an_unusable_subnet_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter):
        parse_subnet(text)


def test_a_subnet_may_be_written_with_a_host_part() -> None:
    assert parse_subnet("10.99.0.1/24") == IPv4Network("10.99.0.0/24")
