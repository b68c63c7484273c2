"""Signals as Docker's clients spell them."""

from __future__ import annotations

import pytest

from pogu.containers.signals import parse_signal
from pogu.errors import InvalidParameter


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("TERM", 15),
        ("SIGTERM", 15),
        ("sigkill", 9),
        (" hup ", 1),
        ("15", 15),
        ("64", 64),
        ("RTMIN", 34),
        ("SIGRTMIN+3", 37),
        ("RTMAX-1", 63),
        ("RTMAX", 64),
        ("CLD", 17),
        ("IOT", 6),
    ],
)
def test_a_signal_is_a_number(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "-9", "SIG", "RTMIN+99", "9.5", "KILL KILL"])
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="Invalid signal"):
        parse_signal(text)


def test_the_nearest_signal_is_named() -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse_signal("SIGTREM")
    assert caught.value.hint == "did you mean TERM?"
