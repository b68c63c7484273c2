"""Format: the functions of templates: Go's own and those that Docker adds. Start at `FUNCTIONS`."""

from __future__ import annotations

import re

from pogu.cli.template.error import CallError
from pogu.cli.template.value import Row, go_text, go_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[..., object]
    Arity = tuple[Function, int, int | None]

__all__ = ["FUNCTIONS", "HEADER_FUNCTIONS"]


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise CallError(f"wrong type for value; expected string; got {go_type(value)}")
    return value


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise CallError(f"wrong type for value; expected int; got {go_type(value)}")
    return value


def _json(value: object) -> str:
    import json

    row = isinstance(value, Row)
    if isinstance(value, Row):
        value = {key: item for key, item in value.items() if not callable(item)}
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=row)
    for char in "\u2028\u2029<>&" if row else "\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _join(values: object, separator: object) -> str:
    if not isinstance(values, list | tuple) and values is not None:
        raise CallError(f"wrong type for value; expected []string; got {go_type(values)}")
    return _string(separator).join(map(go_text, values or ()))


def _title(value: object) -> str:
    return re.sub(r"(?<!\w)[^\W\d_]", lambda match: match[0].upper(), _string(value))


def _pad(value: object, before: object, after: object) -> str:
    text = _string(value)
    return " " * _integer(before) + text + " " * _integer(after) if text else text


def _print_words(*values: object) -> str:
    """Print as fmt.Sprint: a space between two values that are not strings."""
    out: list[str] = []
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            out.append(" ")
        out.append(go_text(value))
    return "".join(out)


def _length(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, list | tuple | dict):
        return len(value)
    raise CallError("len of nil pointer" if value is None else f"len of type {go_type(value)}")


def _bound(value: object, limit: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        kind = "nil" if value is None else f"type {go_type(value)}"
        raise CallError(f"cannot index slice/array with {kind}")
    if not 0 <= value <= limit:
        raise CallError(f"index out of range: {value}")
    return value


def _index(value: object, *keys: object) -> object:
    for key in keys:
        if isinstance(value, dict):
            if not isinstance(key, str):
                raise CallError(f"value has type {go_type(key)}; should be string")
            # A map of texts answers with an empty one: `index .Config.Labels "missing"`.
            zero = "" if all(isinstance(item, str) for item in value.values()) else None
            value = value.get(key, zero)
        elif isinstance(value, list | tuple):
            value = value[_bound(key, len(value) - 1)]
        elif isinstance(value, str):
            encoded = value.encode()
            value = encoded[_bound(key, len(encoded) - 1)]
        else:
            kind = "untyped nil" if value is None else f"item of type {go_type(value)}"
            raise CallError(f"index of {kind}" if value is None else f"can't index {kind}")
    return value


def _slice(value: object, *bounds: object) -> object:
    if not isinstance(value, str | list | tuple):
        raise CallError(f"can't slice item of type {go_type(value)}")
    whole = value.encode() if isinstance(value, str) else list(value)
    limits = [_bound(bound, len(whole)) for bound in bounds]
    first, last = [*limits, *(0, len(whole))[len(limits) :]][:2]
    if first > last:
        raise CallError(f"invalid slice index: {first} > {last}")
    part = whole[first:last]
    return part.decode(errors="replace") if isinstance(part, bytes) else part


def _kind(value: object) -> str:
    kind = go_type(value)
    return "number" if kind in ("int", "float64") else kind


def _equal(first: object, *others: object) -> bool:
    if not others:
        raise CallError("missing argument for comparison")
    for other in others:
        if None not in (first, other) and _kind(first) != _kind(other):
            raise CallError("incompatible types for comparison")
        if first == other:
            return True
    return False


def _less(first: object, second: object) -> bool:
    if _kind(first) != _kind(second):
        raise CallError("incompatible types for comparison")
    if isinstance(first, str) and isinstance(second, str):
        return first < second
    if _kind(first) != "number":
        raise CallError("invalid type for comparison")
    return float(str(first)) < float(str(second))


def _html(*values: object) -> str:
    text = _print_words(*values)
    for char, name in (("&", "amp"), ("<", "lt"), (">", "gt"), ("'", "#39"), ('"', "#34")):
        text = text.replace(char, f"&{name};")
    return text


def _url_query(*values: object) -> str:
    text = _print_words(*values).encode()
    encoded = re.sub(rb"[^A-Za-z0-9_.~ -]", lambda match: b"%%%02X" % match[0][0], text)
    return encoded.replace(b" ", b"+").decode("ascii")


def _printf(template: object, *values: object) -> str:
    from pogu.cli.template.printf import printf

    return printf(_string(template), *values)


def _first(value: object, *_others: object) -> object:
    return value


FUNCTIONS: dict[str, Arity] = {
    "and": (_first, 1, None),
    "eq": (_equal, 1, None),
    "ge": (lambda a, b: not _less(a, b), 2, 2),
    "gt": (lambda a, b: _less(b, a), 2, 2),
    "html": (_html, 0, None),
    "index": (_index, 1, None),
    "join": (_join, 2, 2),
    "json": (_json, 1, 1),
    "le": (lambda a, b: not _less(b, a), 2, 2),
    "len": (_length, 1, 1),
    "lower": (lambda value: _string(value).lower(), 1, 1),
    "lt": (_less, 2, 2),
    "ne": (lambda a, b: not _equal(a, b), 2, 2),
    "not": (lambda value: not value, 1, 1),
    "or": (_first, 1, None),
    "pad": (_pad, 3, 3),
    "print": (_print_words, 0, None),
    "printf": (_printf, 1, None),
    "println": (lambda *values: " ".join(map(go_text, values)) + "\n", 0, None),
    "slice": (_slice, 1, 4),
    "split": (lambda text, by: _string(text).split(_string(by)) if by else list(text), 2, 2),
    "title": (_title, 1, 1),
    "truncate": (lambda text, size: _string(text)[: _integer(size)], 2, 2),
    "upper": (lambda value: _string(value).upper(), 1, 1),
    "urlquery": (_url_query, 0, None),
}
"""By name: the function, and how many arguments it takes: at least, at most."""

HEADER_FUNCTIONS: dict[str, Arity] = {
    name: (_first, *FUNCTIONS[name][1:])
    for name in ("join", "json", "lower", "split", "title", "truncate", "upper")
}
