"""Times in Docker's words; the keys that detach."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pogu.api.detach import DetachKeys, parse_keys
from pogu.api.units import human_duration, unix, unix_ns
from pogu.errors import InvalidParameter
from pogu.images.image import rfc3339

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "Less than a second"),
        (0.9, "Less than a second"),
        (1, "1 second"),
        (1.9, "1 second"),
        (59.9, "59 seconds"),
        (MINUTE, "About a minute"),
        (2 * MINUTE - 1, "About a minute"),
        (2 * MINUTE, "2 minutes"),
        (HOUR - 1, "59 minutes"),
        (HOUR, "About an hour"),
        (HOUR + 30 * MINUTE - 1, "About an hour"),
        (HOUR + 30 * MINUTE, "2 hours"),
        (47 * HOUR, "47 hours"),
        (2 * DAY, "2 days"),
        (14 * DAY - HOUR, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (730 * DAY, "2 years"),
        (3650 * DAY, "10 years"),
    ],
)
def test_a_duration_is_said_as_docker_says_it(seconds: float, words: str) -> None:
    assert human_duration(seconds) == words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2001-09-09T01:46:40.999999999Z", 1_000_000_000),
        ("2001-09-09T03:46:40+02:00", 1_000_000_000),
        ("", 0),
        ("nonsense", 0),
    ],
)
def test_a_time_is_seconds_since_1970(text: str, seconds: int) -> None:
    assert unix(text) == seconds


@given(st.integers(min_value=0, max_value=4_000_000_000_000_000_000))
def test_nanoseconds_survive_rfc3339(time_ns: int) -> None:
    assert unix_ns(rfc3339(time_ns)) == time_ns


def test_rfc3339_always_has_nine_digits() -> None:
    assert rfc3339(1) == "1970-01-01T00:00:00.000000001Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000000000Z"


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", b"\x10\x11"),
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("ctrl-A,x", b"\x01x"),
        ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\x00\x1b\x1c\x1d\x1e\x1f"),
        ("a,b,c", b"abc"),
    ],
)
def test_detach_keys_are_read(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize(
    "text", ["ctrl-", "ctrl-1", "ctrl-ab", "ab", "a,,b", "\u00fc", "ctrl-\u00fc"]
)
def test_detach_keys_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="Invalid detach keys"):
        parse_keys(text)


def test_the_sequence_detaches_and_is_not_passed_on() -> None:
    assert DetachKeys(b"\x10\x11").feed(b"ab\x10\x11rest") == (b"ab", True)


def test_the_sequence_may_come_in_pieces() -> None:
    keys = DetachKeys(b"\x10\x11")
    assert keys.feed(b"a\x10") == (b"a", False)
    assert keys.feed(b"\x11") == (b"", True)


def test_what_only_began_like_the_sequence_is_passed_on() -> None:
    keys = DetachKeys(b"\x10\x11")
    assert keys.feed(b"\x10") == (b"", False)
    assert keys.feed(b"x") == (b"\x10x", False)
    assert keys.feed(b"\x10\x10\x11") == (b"\x10", True)


@given(st.lists(st.binary(max_size=8)))
def test_without_keys_everything_is_passed_on(pieces: list[bytes]) -> None:
    keys = DetachKeys(b"")
    assert [keys.feed(piece) for piece in pieces] == [(piece, False) for piece in pieces]
