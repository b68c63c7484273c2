"""The pauses before restarts."""

from __future__ import annotations

import pytest

from pogu.containers.restart import next_pause_s


@pytest.mark.parametrize(
    ("before_s", "ran_s", "expected"),
    [(0.0, 0.0, 0.1), (0.1, 0.0, 0.2), (51.2, 9.9, 60.0), (60.0, 0.0, 60.0), (60.0, 10.0, 0.1)],
)
def test_each_quick_end_doubles_the_pause_up_to_a_bound(
    before_s: float, ran_s: float, expected: float
) -> None:
    assert next_pause_s(before_s, ran_s=ran_s) == expected
