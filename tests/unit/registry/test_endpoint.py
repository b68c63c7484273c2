"""Where a registry is reached, and who is believed there."""

from __future__ import annotations

import ssl

import pytest

from pogu.config import Config
from pogu.errors import InvalidParameter
from pogu.registry.endpoint import Trust


def urls(domain: str, *, mirrors: bool = True, **config: tuple[str, ...]) -> list[str]:
    trust = Trust(Config(registry_certs=(), **config))  # type: ignore[arg-type]
    return [one.url for one in trust.endpoints(domain, mirrors=mirrors)]


def test_plain_http_is_for_loopback_and_what_is_named() -> None:
    assert urls("reg.example") == ["https://reg.example"]
    assert urls("docker.io") == ["https://registry-1.docker.io"]
    assert urls("localhost:5000") == ["https://localhost:5000", "http://localhost:5000"]
    assert urls("[::1]:5000")[-1] == "http://[::1]:5000"
    named = ("reg.example:5000",)
    assert urls("reg.example:5000", registry_insecure=named)[-1] == "http://reg.example:5000"
    assert urls("reg.example:5001", registry_insecure=named) == ["https://reg.example:5001"]


@pytest.mark.parametrize(("address", "count"), [("10.1.2.3:5000", 2), ("11.1.2.3:5000", 1)])
def test_a_network_of_addresses_can_be_insecure(address: str, count: int) -> None:
    assert len(urls(address, registry_insecure=("10.0.0.0/8",))) == count


def test_mirrors_come_first_in_their_order_and_are_not_written_to() -> None:
    mirrors = ("docker.io=https://one.example", "docker.io=http://two.example/hub", "x=https://y")
    assert urls("docker.io", registry_mirrors=mirrors) == [
        "https://one.example",
        "http://two.example/hub",
        "https://registry-1.docker.io",
    ]
    assert len(urls("docker.io", mirrors=False, registry_mirrors=mirrors)) == 1


def test_only_what_is_insecure_is_not_verified() -> None:
    trust = Trust(Config(registry_certs=(), registry_insecure=("lax.example",)))
    assert trust.context("reg.example").verify_mode is ssl.CERT_REQUIRED
    assert trust.context("lax.example").verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize("domain", ["reg:port", "reg:99999", "ex ample", "ht!tp:", "", "-x", "a/b"])
def test_what_is_no_address_is_refused(domain: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid registry address"):
        urls(domain)
