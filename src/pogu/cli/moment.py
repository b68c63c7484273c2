"""Format: times as flags give them: `2026-01-02T03:04:05`, `1767323045`, or `42m` ago."""

from __future__ import annotations

import time

from pogu.cli.failure import UsageError

__all__ = ["duration_s", "unix_time"]

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "ns": 1e-9}


def unix_time(text: str, flag: str) -> str:
    """Return seconds since 1970 with a fraction; empty for empty. Raises: UsageError."""
    if not text:
        return ""
    if all(part.isdecimal() for part in text.split(".", 1)):
        return text
    ago = duration_s(text)
    if ago is not None:
        return f"{time.time() - ago:.9f}"
    from datetime import datetime

    whole, fraction = _split_fraction(text)
    try:
        seconds = int(datetime.fromisoformat(whole.replace("Z", "+00:00")).timestamp())
        return f"{seconds}.{fraction}" if fraction else str(seconds)
    except ValueError as err:
        raise UsageError(
            f'invalid value for "{flag}": failed to parse value as time or duration: "{text}"',
            hint="a time like 2026-01-02T03:04:05, or a duration like 10m",
        ) from err


def _split_fraction(text: str) -> tuple[str, str]:
    """The time without its fraction, and the fraction: `datetime` knows no nanoseconds."""
    before, point, after = text.partition(".")
    fraction = ""
    while after[:1].isdecimal():
        fraction, after = fraction + after[0], after[1:]
    return (before + after, fraction[:9]) if point and fraction else (text, "")


def duration_s(text: str) -> float | None:
    """Go's durations: `1h30m`, `1.5s`."""
    total, number, at = 0.0, "", 0
    while at < len(text):
        char = text[at]
        if char.isdecimal() or char == ".":
            number += char
            at += 1
            continue
        unit = text[at : at + 2] if text[at : at + 2] in ("ms", "us", "ns") else char
        if unit not in _UNITS or not number:
            return None
        total += float(number) * _UNITS[unit]
        number = ""
        at += len(unit)
    return None if number else total
