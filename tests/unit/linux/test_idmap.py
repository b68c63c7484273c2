"""Mappings of user and group IDs, and the files that give ranges of them."""

from __future__ import annotations

import pytest

from pogu.linux.idmap import (
    IdMapping,
    IdRange,
    for_mounts,
    free_range,
    map_text,
    parse_map,
    parse_subordinate,
    to_ranges,
)

TWO = (IdRange(0, 100_000, 1000), IdRange(1000, 500_000, 10))
MAPPING = IdMapping(TWO, (IdRange(0, 200_000, 65_536),))


def test_an_id_is_shifted_by_the_range_it_lies_in() -> None:
    assert MAPPING.outside(0, 7) == (100_000, 200_007)
    assert MAPPING.outside(1009, 0) == (500_009, 200_000)
    assert MAPPING.root == (100_000, 200_000)


@pytest.mark.parametrize("uid", [0, 1, 999, 1000, 1009])
def test_what_is_shifted_out_comes_back(uid: int) -> None:
    assert MAPPING.inside(*MAPPING.outside(uid, 5)) == (uid, 5)


def test_an_id_that_the_container_does_not_have_is_refused_in_dockers_words() -> None:
    with pytest.raises(ValueError, match="Container ID 1010 cannot be mapped to a host ID"):
        MAPPING.outside(1010, 0)


def test_the_hosts_ids_are_seen_as_nobody() -> None:
    assert MAPPING.inside(0, 0) == (65_534, 65_534)


def test_a_map_is_read_as_it_is_written() -> None:
    assert parse_map(map_text(TWO)) == TWO


def test_the_hosts_own_map_is_none() -> None:
    assert parse_map("         0          0 4294967295\n") == ()


def test_mounts_have_a_number_for_the_hosts_root_that_no_container_has() -> None:
    *own, extra = for_mounts(TWO)
    assert tuple(own) == TWO
    assert extra == IdRange(2**32 - 2, 0, 1)


SUBUID = "alice:100000:65536\n# no\nbob:x:1\ncarol:300000:0\n1001:400000:65536\nalice:231072:10\n"


def test_ranges_are_those_of_the_user_by_name_or_number() -> None:
    assert parse_subordinate(SUBUID, "alice", "1000") == [(100_000, 65_536), (231_072, 10)]
    assert parse_subordinate(SUBUID, "dave", "1001") == [(400_000, 65_536)]


@pytest.mark.parametrize("name", ["bob", "carol", "# no", "nobody"])
def test_lines_that_give_nothing_are_passed_over(name: str) -> None:
    assert parse_subordinate(SUBUID, name) == []


def test_several_ranges_lie_behind_each_other_inside() -> None:
    assert to_ranges([(500_000, 10), (100_000, 1000)]) == TWO


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("", 100_000),
        ("a:100000:65536\n", 165_536),
        ("a:165536:65536\n", 100_000),
        ("a:120000:10\nb:120010:65536\n", 185_546),
        ("a:231072:65536\nb:100000:65536\n", 165_536),
    ],
)
def test_the_free_range_is_nobodys(text: str, first: int) -> None:
    assert free_range("", text) == (first, 65_536)
