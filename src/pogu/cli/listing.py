"""Format: what list commands share: --filter, --format, and texts cut and quoted as Docker's."""

from __future__ import annotations

import time

from pogu.cli.failure import CliError, UsageError
from pogu.cli.flags import Flag
from pogu.cli.table import format_rows, human_duration, print_table
from pogu.cli.wire import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from pogu.cli.context import Context

__all__ = [
    "FILTER",
    "FORMAT",
    "ago",
    "cut",
    "filters",
    "join_address",
    "label_reader",
    "labels_text",
    "local_time",
    "natural",
    "print_lines",
    "print_rows",
    "quoted",
    "rows_text",
    "short_id",
]

FILTER = Flag("-f, --filter", "list", "Filter output by key=value")
FORMAT = Flag("--format", "text", "table, table TEMPLATE, json, or a Go template")

_SHORT_ID = 12
_ESCAPES = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v"}


def filters(texts: Sequence[str], *, flag: str = "-f, --filter") -> str | None:
    """Return the API's `filters` parameter, None without any. Raises: UsageError."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals and text:
            raise UsageError(
                f'invalid argument "{text}" for "{flag}" flag: bad format of filter (expected'
                " name=value)"
            )
        if name:
            found.setdefault(name.strip().lower(), []).append(value.strip())
    return encode(found) if found else None


def print_rows(
    context: Context,
    rows: list[dict[str, object]],
    *,
    headers: dict[str, str],
    columns: Sequence[str],
    template: str = "",
) -> None:
    """Print what `rows_text` gives. Raises: CliError."""
    text = rows_text(rows, headers=headers, columns=columns, template=template)
    if text:
        context.out(text.removesuffix("\n"))


def rows_text(
    rows: list[dict[str, object]],
    *,
    headers: dict[str, str],
    columns: Sequence[str],
    template: str = "",
) -> str:
    """Return what `--format` says; without one a table of `columns`. Raises: CliError."""
    if template in ("", "table"):
        cells = [[str(row[name]) for name in columns] for row in rows]
        return print_table([headers[name] for name in columns], cells)
    from pogu.cli.template import TemplateError

    try:
        return format_rows(template, headers, rows)
    except TemplateError as err:
        raise CliError(str(err), hint=f"fields: {', '.join(sorted(headers))}") from err


def print_lines(context: Context, lines: Sequence[object]) -> None:
    """Print with one write; nothing when there is nothing."""
    if lines:
        context.out("\n".join(map(str, lines)))


def short_id(text: str) -> str:
    """Cut an ID or digest to twelve characters without its algorithm."""
    return text.rpartition(":")[2][:_SHORT_ID]


def cut(text: str, width: int) -> str:
    """Cut to `width` columns with an ellipsis; wide characters take two."""
    if text.isascii():
        return text if len(text) <= width else text[: width - 1] + "…"
    from unicodedata import east_asian_width

    ends, total = [], 0
    for char in text:
        total += 2 if east_asian_width(char) in "WF" else 1
        ends.append(total)
    if total <= width:
        return text
    return text[: sum(end <= width - 1 for end in ends)] + "…"


def quoted(text: str) -> str:
    """Quote as Go's strconv.Quote."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    if char in _ESCAPES:
        return "\\" + _ESCAPES[char]
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def labels_text(labels: Mapping[str, str] | None) -> str:
    return ",".join(sorted(f"{key}={value}" for key, value in (labels or {}).items()))


def label_reader(labels: Mapping[str, str] | None) -> Callable[[Any], str]:
    """Return what `{{.Label "name"}}` calls."""
    return lambda name: (labels or {}).get(name, "")


def join_address(host: str, port: object) -> str:
    """Return host:port, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def ago(unix: float) -> str:
    """`3 weeks ago`."""
    return f"{human_duration(time.time() - unix)} ago"


def local_time(unix: float) -> str:
    """Return a time as Go prints it: `2026-01-02 03:04:05 +0000 UTC`."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(unix))


def natural(text: object) -> list[tuple[int, str]]:
    """Return a key that sorts numbers inside texts by their value."""
    parts: list[tuple[int, str]] = []
    number = ""
    for char in str(text):
        if char.isdecimal():
            number += char
            continue
        if number:
            parts.append((int(number), ""))
            number = ""
        parts.append((-1 if char < "0" else 1 << 62, char))
    return [*parts, (int(number), "")] if number else parts
