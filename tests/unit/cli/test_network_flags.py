from __future__ import annotations

import pytest

from pogu.cli.create_body import create_body
from pogu.cli.create_flags import CREATE_FLAGS
from pogu.cli.failure import CliError, UsageError
from pogu.cli.flags import Command, Values, parse
from pogu.cli.foreign_flags import refuse_foreign

_CREATE = Command("create", "", "", lambda context, values: 0, CREATE_FLAGS, least=1, stops=True)


def given(*words: str) -> Values:
    return parse(_CREATE, [*words, "busybox"])


def body_of(*words: str) -> tuple[dict[str, object], dict[str, object]]:
    body = create_body(given(*words), attach=set())
    host, networking = body["HostConfig"], body["NetworkingConfig"]
    assert isinstance(host, dict)
    assert isinstance(networking, dict)
    return host, networking["EndpointsConfig"]


def test_without_network_flags_nothing_is_asked_of_a_network() -> None:
    host, endpoints = body_of()
    assert (host["NetworkMode"], host["Links"], endpoints) == ("default", None, {})


def test_links_of_the_default_network_are_the_hosts() -> None:
    host, endpoints = body_of("--link", "db:store", "--link", "cache")
    assert (host["Links"], endpoints) == (["db:store", "cache"], {})


def test_links_and_aliases_of_an_own_network_are_the_endpoints() -> None:
    words = ("--network", "back", "--link", "db:store", "--network-alias", "web")
    host, endpoints = body_of(*words, "--net-alias", "www", "--ip", "10.0.0.5", "--ip6", "fd00::5")
    assert (host["NetworkMode"], host["Links"]) == ("back", None)
    assert endpoints["back"] == {
        "IPAMConfig": {"IPv4Address": "10.0.0.5", "IPv6Address": "fd00::5"},
        "Aliases": ["web", "www"],
        "Links": ["db:store"],
    }


def test_a_network_may_say_all_of_itself() -> None:
    long = "name=back,alias=a,alias=b,ip=10.0.0.5,driver-opt=x=y,gw-priority=-2"
    _, endpoints = body_of("--network", long, "--network", "front")
    assert endpoints == {
        "back": {
            "IPAMConfig": {"IPv4Address": "10.0.0.5"},
            "Aliases": ["a", "b"],
            "DriverOpts": {"x": "y"},
            "GwPriority": -2,
        },
        "front": {},
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--network-alias", "a"), "network-scoped aliases are only supported for user-defined"),
        (("--link", ""), 'invalid argument "" for "--link" flag: empty string specified for links'),
        (("--link", "a:b:c"), "bad format for links: a:b:c"),
        (("--network", "bridge", "--network", "bridge"), '"bridge" is specified multiple times'),
        (("--network", "bridge", "--network", "back"), "cannot attach both user-defined and non-"),
        (
            ("--network", "foo=bar"),
            'argument "foo=bar" for "--network" flag: invalid field key foo',
        ),
        (("--network", "name=x,ip=3", "--ip", "1.2.3.4"), "both --ip and per-network IPv4 address"),
        (("--network", "name=b,driver-opt=x"), "invalid key value pair format in driver options"),
        (("--network", "name=b,gw-priority=x"), "invalid gw-priority (x): invalid syntax"),
        (("--network", ""), "no name set for network"),
        (("--storage-opt", "x"), "invalid storage option"),
        (("--kernel-memory", "x"), "invalid size: 'x'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_dockers_words(
    words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        body_of(*words)
    assert message in caught.value.message


@pytest.mark.parametrize("flag", ["cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops"])
def test_what_only_windows_has_is_refused(flag: str) -> None:
    with pytest.raises(CliError, match=f'"--{flag}" is only supported on a Docker daemon running'):
        refuse_foreign(given(f"--{flag}", "1"))


def test_content_trust_may_be_off_but_not_on() -> None:
    refuse_foreign(given("--disable-content-trust"))
    with pytest.raises(CliError, match="content trust"):
        refuse_foreign(given("--disable-content-trust=false"))
