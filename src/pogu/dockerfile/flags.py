"""Format: an instruction's `--flags`, its JSON or shell form, its words and durations."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence

from pogu.dockerfile.instructions import CommandLine
from pogu.errors import InvalidParameter

__all__ = [
    "command_line",
    "json_words",
    "near",
    "parse_duration_ns",
    "split_flags",
    "split_pairs",
    "split_words",
]

_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_LONGEST_NS = 2**63 - 1
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def near(word: str, words: Sequence[str]) -> str | None:
    """Return the did-you-mean sentence, None when nothing is near."""
    found = difflib.get_close_matches(word, list(words), 1, 0.6)
    return f"did you mean {found[0]}?" if found else None


def split_flags(
    text: str, *, known: Mapping[str, bool], instruction: str
) -> tuple[list[tuple[str, str | None]], str]:
    """Take leading `--name[=value]` off; `known` says which names there are and need a value.

    Raises: InvalidParameter for an unknown flag or a missing value.
    """
    flags: list[tuple[str, str | None]] = []
    rest = text.strip()
    while rest.startswith("--"):
        word, _, after = _first_word(rest)
        rest = after.lstrip()
        if word == "--":
            break
        name, equals, value = word[2:].partition("=")
        if name not in known:
            raise InvalidParameter(
                f"unknown flag: --{name}", hint=near(f"--{name}", [f"--{one}" for one in known])
            )
        if known[name] and not equals:
            raise InvalidParameter(
                f"missing a value on flag: {name}", hint=f"{instruction} --{name}=…"
            )
        flags.append((name, _unquote(value) if equals else None))
    return flags, rest


def _first_word(text: str) -> tuple[str, str, str]:
    """Split at the first white space outside quotes."""
    quote = ""
    for index, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char.isspace():
            return text[:index], char, text[index + 1 :]
    return text, "", ""


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value


def json_words(text: str) -> tuple[str, ...] | None:
    """Return the words of a JSON array of strings; None when it is not exactly that."""
    if not text.startswith("["):
        return None
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return None
    return tuple(_LONE_SURROGATE.sub("\ufffd", word) for word in words)


def command_line(text: str) -> CommandLine:
    """Exec form when it is a JSON array, else shell form."""
    words = json_words(text)
    if words is not None:
        return CommandLine(words=words, shell=False)
    return CommandLine(words=(text,) if text else (), shell=True)


def split_words(text: str, escape: str) -> tuple[str, ...]:
    """Split at white space; quotes and escapes keep it together and stay in the words."""
    words: list[str] = []
    current: list[str] = []
    quote = ""
    index = 0
    while index < len(text):
        char = text[index]
        if char == escape and index + 1 < len(text) and quote != "'":
            current.append(text[index : index + 2])
            index += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char.isspace():
            if current:
                words.append("".join(current))
                current = []
            index += 1
            continue
        current.append(char)
        index += 1
    if current:
        words.append("".join(current))
    return tuple(words)


def split_pairs(text: str, escape: str, *, instruction: str) -> tuple[tuple[str, str], ...]:
    """Read `key=value …` or the old `key value`. Raises: InvalidParameter."""
    words = split_words(text, escape)
    if not words:
        raise InvalidParameter(f"{instruction} must have at least one argument")
    if "=" not in words[0]:
        parts = text.strip().split(None, 1)
        if len(parts) < 2:
            raise InvalidParameter(
                f"{instruction} must have two arguments", hint=f"{instruction} {words[0]}=value"
            )
        return ((parts[0], parts[1]),)
    pairs = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise InvalidParameter(
                f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value',
                hint="quote values that hold white space",
            )
        if not key:
            raise InvalidParameter(f"{instruction} names can not be blank")
        pairs.append((key, value))
    return tuple(pairs)


def parse_duration_ns(text: str, *, flag: str) -> int:
    """Parse Go's duration (`1m30s`) into nanoseconds. Raises: InvalidParameter."""
    total, position = 0.0, 0
    for match in _DURATION.finditer(text):
        if match.start() != position:
            break
        total += float(match[1]) * _UNITS_NS[match[2]]
        position = match.end()
    if text == "0":
        return 0
    if not text or position != len(text) or total > _LONGEST_NS:
        raise InvalidParameter(
            f'time: invalid duration "{text}"',
            hint=f"--{flag} takes a number and a unit: 30s, 1m30s",
        )
    return int(total)
