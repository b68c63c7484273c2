"""Names for containers that were given none."""

from __future__ import annotations

import random
import re

from pogu.containers.names import ADJECTIVES, SURNAMES, generate_name
from pogu.containers.validate import check_name


def test_a_name_is_an_adjective_and_a_surname() -> None:
    adjective, surname = generate_name(lambda _: False).split("_")
    assert adjective in ADJECTIVES
    assert surname in SURNAMES


def test_the_same_dice_give_the_same_name() -> None:
    names = [generate_name(lambda _: False, choose=random.Random(1)) for _ in range(2)]
    assert names[0] == names[1]


def test_a_taken_name_gets_a_digit() -> None:
    name = generate_name(lambda name: name[-1].isalpha())
    assert re.fullmatch(r"[a-z]+_[a-z]+\d", name)


def test_digits_are_counted_up_when_luck_runs_out() -> None:
    name = generate_name(lambda name: not name.endswith("12"), choose=random.Random(2), tries=1)
    assert name.endswith("12")


def test_every_word_makes_a_valid_name() -> None:
    for word in ADJECTIVES + SURNAMES:
        check_name(word)
    assert len(set(ADJECTIVES)) == len(ADJECTIVES)
    assert len(set(SURNAMES)) == len(SURNAMES)
