"""Which iptables rules are needed, from what `iptables -S` prints."""

from __future__ import annotations

from pogu.network.forward import rules_to_add, rules_to_delete

DOCKER = """\
-P INPUT ACCEPT
-P FORWARD DROP
-N DOCKER-USER
-A FORWARD -j DOCKER-USER
"""


def test_a_host_that_forwards_needs_nothing() -> None:
    assert rules_to_add("-P INPUT DROP\n-P FORWARD ACCEPT\n", "pogu0") == []


def test_a_host_with_docker_gets_its_rules_in_dockers_chain() -> None:
    assert rules_to_add(DOCKER, "pogu0") == [
        ["iptables", "-w", "-I", "DOCKER-USER", "-i", "pogu0", "-j", "ACCEPT"],
        ["iptables", "-w", "-I", "DOCKER-USER", "-o", "pogu0", "-j", "ACCEPT"],
    ]


def test_rules_are_added_once_and_deleted() -> None:
    listing = "-P FORWARD DROP\n-A FORWARD -i pogu0 -j ACCEPT\n"
    added = rules_to_add(listing, "pogu0")
    assert added == [["iptables", "-w", "-I", "FORWARD", "-o", "pogu0", "-j", "ACCEPT"]]
    deleted = rules_to_delete(listing, "pogu0")
    assert deleted == [["iptables", "-w", "-D", "FORWARD", "-i", "pogu0", "-j", "ACCEPT"]]
