"""Limits of a process, by the names that Docker has for them."""

from __future__ import annotations

import pytest

from pogu.errors import InvalidParameter
from pogu.runtime.workload import Rlimit, rlimit_of


def test_a_limit_has_the_runtime_s_name_and_no_limit_is_the_highest_number() -> None:
    expected = Rlimit(type="RLIMIT_NOFILE", soft=5, hard=2**64 - 1)
    assert rlimit_of("nofile", soft=5, hard=-1) == expected


@pytest.mark.parametrize(
    ("name", "soft", "hard", "message"),
    [
        ("fruit", 1, 1, "invalid ulimit type: fruit"),
        ("nofile", 2, 1, "must be less than or equal to hard limit: 2 > 1"),
        ("nofile", -1, 1, "must be less than or equal to hard limit: -1 > 1"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(name: str, soft: int, hard: int, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        rlimit_of(name, soft=soft, hard=hard)
