"""Wildcards of COPY, as Go's filepath.Match has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pogu.build.match import PathPattern
from pogu.errors import InvalidParameter


def matches(pattern: str, path: str) -> bool:
    parts = path.split("/")
    compiled = PathPattern(pattern)
    return len(compiled) == len(parts) and all(map(compiled.matches_part, range(9), parts))


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*", "abc", True),
        ("*", ".hidden", True),
        ("*", "a/b", False),
        ("*/b", "a/b", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("*.txt", "a.txt", True),
        ("*.txt", "atxt", False),
        ("ab[c]", "abc", True),
        ("ab[b-d]", "abc", True),
        ("ab[e-g]", "abc", False),
        ("ab[^c]", "abc", False),
        ("ab[^e-g]", "abc", True),
        ("[!a]", "!", True),
        ("a\\*b", "a*b", True),
        ("a\\*b", "axb", False),
        ("arr[[]0].txt", "arr[0].txt", True),
        ("[a&&b]", "&", True),
        ("[\\]a]", "]", True),
        ("[\\-x]", "-", True),
        ("[\\-x]", "x", True),
        ("[\\^a]", "^", True),
        ("a+(b)", "a+(b)", True),
        ("[a-b-c]", "c", True),
    ],
)
def test_a_pattern_matches_as_gos_does(pattern: str, path: str, fits: bool) -> None:
    assert matches(pattern, path) == fits


@pytest.mark.parametrize(
    ("pattern", "has"),
    [("a", False), ("a*", True), ("a?", True), ("[a]", True), ("a\\*b", False), ("a/b", False)],
)
def test_wildcards_are_told_from_plain_names(pattern: str, has: bool) -> None:
    assert PathPattern(pattern).has_wildcards == has


@pytest.mark.parametrize("pattern", ["[", "[a", "a[b/c]", "[]", "[^]", "[]a]", "[z-a]", "[\\"])
def test_a_pattern_that_cannot_be_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidParameter, match="syntax error in pattern"):
        PathPattern(pattern)


@given(st.text(alphabet="ab*?[]^-\\!&|~.", max_size=12), st.text(alphabet="ab.*[", max_size=6))
def test_any_pattern_decides_or_is_refused(pattern: str, name: str) -> None:
    try:
        compiled = PathPattern(pattern)
    except InvalidParameter:
        return
    assert compiled.matches_part(0, name) in (True, False)
