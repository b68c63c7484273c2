"""Network counters as the kernel lists them."""

from __future__ import annotations

from pogu.linux.link_counters import parse_net_dev

# ruff: noqa: E501
LISTED = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo
    lo:    100       1    0    0    0     0          0         0      100       1    0    0    0 0 0 0
  eth0: 1500      10    1    2    0     0          0         0     700       7    3    4    0     0 0 0
"""


def test_links_are_read_without_the_loopback() -> None:
    found = parse_net_dev(LISTED)
    assert list(found) == ["eth0"]
    link = found["eth0"]
    assert (link.rx_bytes, link.rx_packets, link.rx_errors, link.rx_dropped) == (1500, 10, 1, 2)
    assert (link.tx_bytes, link.tx_packets, link.tx_errors, link.tx_dropped) == (700, 7, 3, 4)


def test_a_broken_line_is_passed_over() -> None:
    assert parse_net_dev("a\nb\neth0: 1 2\n") == {}
