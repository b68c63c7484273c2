"""Proxies are chosen as Go's clients choose them."""

from __future__ import annotations

import pytest

from pogu.registry.proxy import proxy_for

HTTPS = "https://registry.example/v2/"


def test_the_scheme_of_the_url_chooses_the_variable() -> None:
    environ = {"HTTPS_PROXY": "http://s:3128", "http_proxy": "p:8080"}
    assert proxy_for(HTTPS, environ) == "http://s:3128"
    assert proxy_for("http://registry.example/", environ) == "http://p:8080"
    assert proxy_for(HTTPS, {}) is None


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000", "[::1]:5000"])
def test_loopback_is_never_asked_through_a_proxy(host: str) -> None:
    assert proxy_for(f"http://{host}/v2/", {"HTTP_PROXY": "http://p"}) is None


@pytest.mark.parametrize(
    "rule",
    ["*", "registry.example", "example", ".example", "a, registry.example:443", "*.example"],
)
def test_names_are_excluded(rule: str) -> None:
    assert proxy_for(HTTPS, {"HTTPS_PROXY": "http://p", "NO_PROXY": rule}) is None


@pytest.mark.parametrize(
    "rule", ["", ".registry.example", "registry.example:444", "other", "ry.example", "10.0.0.0/8"]
)
def test_other_names_are_not(rule: str) -> None:
    assert proxy_for(HTTPS, {"HTTPS_PROXY": "http://p", "NO_PROXY": rule}) == "http://p"


@pytest.mark.parametrize("rule", ["10.0.0.0/8", "10.1.2.3", "10.1.2.3:5000"])
def test_addresses_are_excluded_one_by_one_and_as_networks(rule: str) -> None:
    url = "https://10.1.2.3:5000/v2/"
    assert proxy_for(url, {"HTTPS_PROXY": "http://p", "NO_PROXY": rule}) is None
    assert proxy_for("https://11.1.2.3/", {"HTTPS_PROXY": "http://p", "NO_PROXY": rule})
