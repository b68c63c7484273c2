"""Flags, JSON and shell form, words, pairs and durations."""

from __future__ import annotations

import pytest

from pogu.dockerfile.flags import (
    command_line,
    json_words,
    parse_duration_ns,
    split_flags,
    split_pairs,
    split_words,
)
from pogu.errors import InvalidParameter


def test_flags_end_at_the_first_other_word() -> None:
    flags, rest = split_flags(
        " --a=1 --b  --a='x y' c --a=2", known={"a": True, "b": False}, instruction="RUN"
    )
    assert flags == [("a", "1"), ("b", None), ("a", "x y")]
    assert rest == "c --a=2"


def test_two_dashes_alone_end_the_flags() -> None:
    assert split_flags("-- --a x", known={}, instruction="RUN") == ([], "--a x")


@pytest.mark.parametrize("text", ["[1]", '["a"', '{"a": 1}', '"a"', "['a']", '["a"] b', "[null]"])
def test_what_is_no_array_of_strings_is_shell_form(text: str) -> None:
    assert json_words(text) is None
    assert command_line(text).words == (text,)
    assert command_line(text).shell


def test_an_array_of_strings_is_exec_form() -> None:
    command = command_line('["a", "b c"]')
    assert (command.words, command.shell) == (("a", "b c"), False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a  b\tc", ("a", "b", "c")),
        ("'a b' \"c d\"e", ("'a b'", '"c d"e')),
        ("a\\ b c", ("a\\ b", "c")),
        ("'a\\' b", ("'a\\'", "b")),
        ('"a\\" b" c', ('"a\\" b"', "c")),
        ("", ()),
        ("a\\", ("a\\",)),
    ],
)
def test_words_keep_quotes_and_escapes(text: str, words: tuple[str, ...]) -> None:
    assert split_words(text, "\\") == words


def test_pairs_in_both_forms() -> None:
    pairs = split_pairs("a=1 b='x y' c==", "\\", instruction="ENV")
    assert pairs == (("a", "1"), ("b", "'x y'"), ("c", "="))
    assert split_pairs("a  b c=d", "\\", instruction="ENV") == (("a", "b c=d"),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("5s", 5 * 10**9),
        ("1h2m3.5s", 3723_500_000_000),
        ("100ms", 10**8),
        ("1us2µs3ns", 3003),
        (".5m", 30 * 10**9),
    ],
)
def test_durations_are_go_s(text: str, expected: int) -> None:
    assert parse_duration_ns(text, flag="interval") == expected


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-1s", "1x", "1s2", "9999999h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid duration"):
        parse_duration_ns(text, flag="interval")
