"""hosts, hostname and resolv.conf as they lie in a directory."""

from __future__ import annotations

import os
from pathlib import Path

from pogu.network.etc_files import (
    ETC_FILES,
    Resolver,
    copy_etc_files,
    hosts_of,
    own_text,
    write_etc_files,
)

OWNER = os.getuid(), os.getgid()
RESOLVER = Resolver(dns=("9.9.9.9",), search=("example",), default_dns=())


def test_all_three_are_written(tmp_path: Path) -> None:
    hosts = hosts_of(None, hostname="web", extra_hosts=("db:10.0.0.7",))
    write_etc_files(tmp_path, hosts=hosts, hostname="web", resolver=RESOLVER, owner=OWNER)
    assert "10.0.0.7\tdb" in (tmp_path / "hosts").read_text()
    assert (tmp_path / "hostname").read_text() == "web\n"
    assert "nameserver 9.9.9.9\nsearch example\n" in (tmp_path / "resolv.conf").read_text()


def test_without_a_resolver_the_hosts_own_is_taken_as_it_is(tmp_path: Path) -> None:
    write_etc_files(tmp_path, hosts="", hostname="h", resolver=None, owner=OWNER)
    assert (tmp_path / "resolv.conf").read_text() == own_text("resolv.conf")


def test_a_copy_stands_for_what_is_not_there_by_an_empty_file(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    (one / "hosts").write_bytes(b"\xff 10.0.0.1 odd\n")
    copy_etc_files(one, other, owner=OWNER)
    assert (other / "hosts").read_bytes() == b"\xff 10.0.0.1 odd\n"
    assert [name for name in ETC_FILES if not (other / name).read_bytes()] == [
        "hostname",
        "resolv.conf",
    ]
