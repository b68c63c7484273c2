"""Format: times and durations in Docker's words. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

__all__ = ["NEVER", "duration_ns", "human_duration", "unix", "unix_ns"]

NEVER = "0001-01-01T00:00:00Z"
_MINUTE = 60
_HOUR = 3600
_DAY = 24


def human_duration(seconds: float) -> str:
    """Return a duration as go-units' HumanDuration says it: `About a minute`, `3 weeks`."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < _MINUTE:
        return f"{whole} seconds"
    minutes = whole // _MINUTE
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / _HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 2 * _DAY:
        return f"{hours} hours"
    for unit, length, limit in (
        ("days", _DAY, 14 * _DAY),
        ("weeks", 7 * _DAY, 60 * _DAY),
        ("months", 30 * _DAY, 730 * _DAY),
    ):
        if hours < limit:
            return f"{hours // length} {unit}"
    return f"{int(seconds / _HOUR) // (365 * _DAY)} years"


_GO_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_GO_DURATION = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)")


def duration_ns(text: str) -> int | None:
    """Return Go's `1h30m` as nanoseconds; None when it is no duration."""
    parts = _GO_DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return round(sum(float(number) * _GO_UNITS_NS[unit] for number, unit in parts))


def unix_ns(text: str) -> int:
    """Return an RFC 3339 time as nanoseconds since 1970. Raises: ValueError."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    whole = parsed.replace(microsecond=0)
    fraction = text.partition(".")[2]
    digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
    return int(whole.timestamp()) * 1_000_000_000 + int(digits[:9].ljust(9, "0"))


def unix(text: str) -> int:
    """Return an RFC 3339 time as seconds since 1970; 0 for an empty or impossible one."""
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return 0
