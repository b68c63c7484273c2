"""Times that flags give keep their nanoseconds."""

from __future__ import annotations

import time

import pytest

from pogu.cli.failure import UsageError
from pogu.cli.moment import unix_time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("1767323045", "1767323045"),
        ("1767323045.5", "1767323045.5"),
        ("2026-01-02T03:04:05Z", "1767323045"),
        ("2026-01-02T03:04:05.123456789Z", "1767323045.123456789"),
        ("2026-01-02T12:04:05.000000001+09:00", "1767323045.000000001"),
    ],
)
def test_a_time_becomes_unix_seconds(text: str, expected: str) -> None:
    assert unix_time(text, "since") == expected


def test_a_duration_is_so_long_ago() -> None:
    assert abs(float(unix_time("1h30m", "since")) - (time.time() - 5400)) < 5


def test_anything_else_is_refused() -> None:
    with pytest.raises(UsageError, match="failed to parse value as time or duration"):
        unix_time("yesterday", "since")
