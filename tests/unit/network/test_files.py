"""resolv.conf and hosts of a container."""

from __future__ import annotations

from pogu.network.files import hosts_text, resolv_conf_text, with_address


def a_resolv_conf(
    host: str,
    *,
    dns: tuple[str, ...] = (),
    search: tuple[str, ...] = (),
    options: tuple[str, ...] = (),
) -> str:
    return resolv_conf_text(
        host, dns=dns, dns_search=search, dns_options=options, default_dns=["8.8.8.8"]
    )


def some_hosts(*, domainname: str = "", extra: tuple[str, ...] = (), address: str = "") -> str:
    return hosts_text(
        hostname="web",
        domainname=domainname,
        address=address,
        extra_hosts=extra,
        gateway="10.88.0.1",
    )


def test_the_hosts_servers_search_and_options_are_taken_over() -> None:
    host = (
        "# comment\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch a.test b.test\noptions x\n"
    )
    expected = "nameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch a.test b.test\noptions x\n"
    assert a_resolv_conf(host) == expected


def test_loopback_and_ipv6_servers_are_replaced() -> None:
    assert a_resolv_conf("nameserver 127.0.0.53\n") == "nameserver 8.8.8.8\n"
    assert a_resolv_conf("nameserver ::1\nnameserver fe80::1%eth0\n") == "nameserver 8.8.8.8\n"
    assert a_resolv_conf("nameserver 127.0.0.1\nnameserver 192.0.2.1\n") == "nameserver 192.0.2.1\n"


def test_no_host_file_gives_the_default() -> None:
    assert a_resolv_conf("") == "nameserver 8.8.8.8\n"


def test_what_is_given_wins() -> None:
    text = a_resolv_conf(
        "nameserver 192.0.2.1\nsearch a\noptions b\n",
        dns=("1.1.1.1",),
        search=("c", "d"),
        options=("ndots:2",),
    )
    assert text == "nameserver 1.1.1.1\nsearch c d\noptions ndots:2\n"


def test_a_dot_means_no_search_domain() -> None:
    assert "search" not in a_resolv_conf("nameserver 192.0.2.1\nsearch a\n", search=(".",))


def test_the_own_address_has_the_full_name_first() -> None:
    assert some_hosts(address="10.88.0.2").endswith("ff02::2\tip6-allrouters\n10.88.0.2\tweb\n")
    text = some_hosts(address="10.88.0.2", domainname="test")
    assert text.endswith("10.88.0.2\tweb.test web\n")


def test_hosts_begin_with_localhost() -> None:
    assert some_hosts().splitlines()[:2] == [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
    ]


def test_extra_hosts_may_name_the_gateway_and_ipv6() -> None:
    lines = some_hosts(extra=("up:host-gateway", "six:2001:db8::1", "b:[::2]")).splitlines()
    assert lines[-3:] == ["10.88.0.1\tup", "2001:db8::1\tsix", "::2\tb"]


def test_a_name_gets_another_address_and_what_else_is_in_the_file_stays() -> None:
    hosts = "127.0.0.1\tlocalhost\n10.0.0.2\tdb store db1\n10.0.0.3 db1 db\n# db\n"
    moved = with_address(hosts, "db", "10.0.0.9")
    assert moved == hosts.replace("10.0.0.2\t", "10.0.0.9\t")
    assert with_address(hosts, "db", "") == hosts.replace("10.0.0.2\tdb store db1\n", "")
    assert with_address(hosts, "web", "10.0.0.9") == hosts
