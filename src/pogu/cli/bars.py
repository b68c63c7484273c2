"""Edge: bars of what is under way in a terminal, one row a layer, below the lines that stay.

A layer that is done moves up into the lines. Nothing of the terminal's state is changed (the cursor
stays visible), so nothing is to be restored, whatever ends the command. rich draws a row's bar; it
is imported with the first bar.
"""

from __future__ import annotations

import os
import sys
import time

from pogu.cli.context import write
from pogu.cli.progress import status_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rich.console import Console

    Json = dict[str, object]

__all__ = ["Bars"]

_INTERVAL_S = 0.1
_UNDER_WAY = frozenset(
    {
        "Pulling fs layer",
        "Waiting",
        "Downloading",
        "Verifying Checksum",
        "Download complete",
        "Extracting",
        "Preparing",
        "Pushing",
        "Loading layer",
    }
)
_STATUS_WIDTH = max(len(status) for status in _UNDER_WAY)
_NARROW = 60
_WIDEST = 1000


class _Row:
    def __init__(self, status: str, current: int, total: int) -> None:
        self.status = status
        self.current = current
        self.total = total


class Bars:
    """Draws on `fd`, a terminal. `erase` at the end, and before anything else is printed."""

    def __init__(self, fd: int, *, indent: str = "") -> None:
        self._fd = fd
        self._indent = indent
        self._rows: dict[str, _Row] = {}
        self._widths: list[int] = []
        """Of the rows that stand on the screen."""
        self._drawn_at = 0.0
        self._console: Console | None = None

    def line(self, line: Json) -> None:
        """Take one line of the engine's progress."""
        if "status" not in line:
            return
        name, status = str(line.get("id") or ""), str(line["status"])
        if name and status in _UNDER_WAY:
            self._rows[name] = _row(status, line.get("progressDetail"))
            if time.monotonic() - self._drawn_at >= _INTERVAL_S:
                self._draw("")
            return
        self._rows.pop(name, None)
        self._draw(f"{self._indent}{status_text(line)}\n")

    def erase(self) -> None:
        """Take the bars off the screen; the next line draws them again. Idempotent."""
        write(self._fd, self._erasure())
        self._widths = []

    def _erasure(self) -> str:
        """Go up over what stands there. A row that has become wider than the terminal, which was
        made narrower, takes several lines."""
        columns = self._size().columns
        lines = sum(max(1, -(-width // columns)) for width in self._widths)
        return f"\r\x1b[{lines}A\x1b[J" if lines else ""

    def _size(self) -> os.terminal_size:
        try:
            size = os.get_terminal_size(self._fd)
        except OSError:
            return os.terminal_size((80, 24))
        return size if size.columns and size.lines else os.terminal_size((80, 24))

    def _draw(self, above: str) -> None:
        self._drawn_at = time.monotonic()
        erasure = self._erasure()
        texts = self._texts()
        self._widths = [width for _, width in texts]
        write(self._fd, erasure + above + "".join(f"{text}\n" for text, _ in texts))

    def _texts(self) -> list[tuple[str, int]]:
        """Each row's text and width: what moves first, as many as the terminal is high."""
        size = self._size()
        names = sorted(self._rows, key=lambda name: self._rows[name].total == 0)
        room = max(1, size.lines - 2)
        shown = names if len(names) <= room else names[: room - 1]
        texts = [self._text(name, self._rows[name], size.columns) for name in shown]
        if len(shown) < len(names):
            rest = f"{self._indent}… and {len(names) - len(shown)} more"[: size.columns - 1]
            texts.append((rest, len(rest)))
        return texts

    def _text(self, name: str, row: _Row, columns: int) -> tuple[str, int]:
        """`id status [bar] 12.3MB/65MB`; what does not fit is left out from the right."""
        name = self._indent + name
        text = f"{name}: {row.status:<{_STATUS_WIDTH}}"
        if not row.total:
            text = text.rstrip()[: columns - 1]
            return text, len(text)
        sizes = f"{_megabytes(row.current)}/{_megabytes(row.total)}"
        if columns < _NARROW:
            text = f"{name}: {row.status} {100 * row.current // row.total}% {sizes}"[: columns - 1]
            return text, len(text)
        width = min(50, columns - len(text) - len(sizes) - 4)
        return f"{text} {self._bar(row, width)} {sizes}", len(text) + width + len(sizes) + 2

    def _bar(self, row: _Row, width: int) -> str:
        if self._console is None:
            self._console = _console()
        from rich.progress_bar import ProgressBar

        console = self._console
        bar = ProgressBar(total=row.total, completed=row.current, width=width)
        with console.capture() as captured:
            console.print(bar, end="")
        return captured.get().rstrip("\n")


def _row(status: str, detail: object) -> _Row:
    fields = detail if isinstance(detail, dict) else {}
    return _Row(status, int(fields.get("current") or 0), int(fields.get("total") or 0))


def _megabytes(count: int) -> str:
    """Docker's three digits: 65.1MB, 812kB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000  # type: ignore[assignment]
    return f"{count:.3g}{unit}" if count < 1000 else f"{count:.0f}{unit}"


def _console() -> Console:
    """A console that keeps what it draws."""
    from io import StringIO

    try:
        from rich.console import Console
    except ImportError:
        # The launcher runs without `site`: what pip installed is not on the path.
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        above = os.path.dirname(os.path.dirname(sys.executable))
        sys.path.append(os.path.join(above, "lib", version, "site-packages"))
        from rich.console import Console
    return Console(file=StringIO(), force_terminal=True, width=_WIDEST)
