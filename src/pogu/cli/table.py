"""Format: what list commands print: aligned tables, rows by a template, sizes and durations.

Aligned as Go's tabwriter(10, 1, 3, ' ') aligns, which is what Docker uses. The template engine
is imported only when a template is given.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "binary_size",
    "format_rows",
    "human_duration",
    "human_size",
    "print_table",
]

_MIN_WIDTH = 10
_PADDING = 3
_DECIMAL_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")


def print_table(headers: list[str], rows: list[list[str]], *, min_width: int = _MIN_WIDTH) -> str:
    """Align a table whose cells are ready; ends with a new line."""
    return _align(["\t".join(cells) for cells in [headers, *rows]], min_width)


def format_rows(
    template_or_table: str, headers: dict[str, str], rows: list[dict[str, object]]
) -> str:
    """Print rows as `--format` says: `table TEMPLATE`, `json`, or a template for each row.

    `headers` gives the column names by field. A callable in a row is a method with one argument
    (`{{.Label "name"}}`). Raises: TemplateError.
    """
    from pogu.cli.template import Row, TemplateError, compile

    is_table = template_or_table.startswith("table")
    template = template_or_table.removeprefix("table") if is_table else template_or_table
    template = "{{json .}}" if template == "json" else template.strip(" ")
    template = template.replace("\\t", "\t").replace("\\n", "\n")
    execute = compile(template, strict=True)
    lines = [execute(Row(row)) for row in rows]
    if not is_table:
        return "".join(f"{line}\n" for line in lines)
    names: dict[str, object] = {"Label": _label_header, **headers}
    try:
        lines.insert(0, compile(template, header=True)(names))
    except TemplateError:
        lines.insert(0, "")
    return _align(lines)


def _label_header(label: object) -> str:
    """Name the column of `{{.Label "com.example.swarm-cpu"}}`: swarm cpu."""
    return str(label).rpartition(".")[2].replace("-", " ").replace("_", " ")


def _align(texts: list[str], min_width: int = _MIN_WIDTH) -> str:
    """Pad cells that end in a tab to the width of their column.

    A column is a run of consecutive lines that have it; the text after the last tab is in none.
    """
    lines = [line.split("\t") for text in texts for line in text.split("\n")]
    for column in range(max(map(len, lines)) - 1):
        run: list[list[str]] = []
        for cells in [*lines, []]:
            if column < len(cells) - 1:
                run.append(cells)
                continue
            width = max([min_width, *(len(one[column]) + _PADDING for one in run)])
            for one in run:
                one[column] = one[column].ljust(width)
            run = []
    return "".join("".join(cells) + "\n" for cells in lines)


def human_size(size_bytes: float, *, digits: int = 3) -> str:
    """Print in Docker's decimal units: `1.23MB`. 4 digits are what `system df` shows.

    Rounds 999.9 kB up to 1MB, where Docker prints 1e+03kB.
    """
    return _size(float(size_bytes), 1000, _DECIMAL_UNITS, digits)


def binary_size(size_bytes: float) -> str:
    """Print in binary units, as `stats` does: `1.5MiB`."""
    return _size(float(size_bytes), 1024, _BINARY_UNITS, 4)


def _size(size: float, base: int, units: Sequence[str], digits: int) -> str:
    index = 0
    while size >= base and index < len(units) - 1:
        size /= base
        index += 1
    if base == 1000 and float(f"{size:.{digits}g}") >= base and index < len(units) - 1:
        size, index = 1.0, index + 1
    return f"{float(f'{size:.{digits}g}'):.{digits + 1}g}{units[index]}"


def human_duration(seconds: float) -> str:
    """Print roughly how long: `About a minute`, `3 weeks`."""
    whole = int(seconds)
    minutes, hours = whole // 60, int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for limit, unit, length in (
        (24 * 14, "days", 24),
        (24 * 60, "weeks", 24 * 7),
        (24 * 730, "months", 24 * 30),
    ):
        if hours < limit:
            return f"{hours // length} {unit}"
    return f"{int(seconds / 3600) // 24 // 365} years"
