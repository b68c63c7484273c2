"""Bars in a terminal, seen on a small screen of the test's own."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator

import pytest

from pogu.cli import bars as bars_module
from pogu.cli.bars import Bars

_STEPS = re.compile(r"\x1b\[(\d+)A|\x1b\[J|\x1b\[[0-9;]*m|\r|\n|[^\x1b\r\n]+")


class Screen:
    """A terminal of a given size; understands what Bars sends."""

    def __init__(self, columns: int, lines: int = 24) -> None:
        self._reader, self.fd = pty.openpty()
        mode = termios.tcgetattr(self.fd)
        mode[1] &= ~termios.OPOST
        termios.tcsetattr(self.fd, termios.TCSANOW, mode)
        self.resize(columns, lines)
        self._rows = [""]

    def resize(self, columns: int, lines: int = 24) -> None:
        self._columns = columns
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def close(self) -> None:
        os.close(self.fd)
        os.close(self._reader)

    def rows(self) -> list[str]:
        """Take in what was sent; return the lines on the screen, without trailing blanks."""
        os.set_blocking(self._reader, False)
        sent = b""
        while True:
            try:
                sent += os.read(self._reader, 1 << 16)
            except BlockingIOError:
                break
        for step in _STEPS.finditer(sent.decode()):
            self._take(step.group(), step.group(1))
        return [row.rstrip() for row in self._rows if row]

    def _take(self, step: str, up: str | None) -> None:
        if up:
            del self._rows[-1 - int(up) :]
            self._rows.append("")
        elif step == "\n":
            self._rows.append("")
        elif not step.startswith(("\x1b", "\r")):
            self._rows[-1] += step
            assert len(self._rows[-1]) < self._columns, "a row as wide as the terminal wraps"


@pytest.fixture
def screen() -> Iterator[Screen]:
    one = Screen(columns=100)
    yield one
    one.close()


@pytest.fixture(autouse=True)
def each_line_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars_module, "_INTERVAL_S", 0.0)


def moving(layer: str, current: int, *, status: str = "Downloading") -> dict[str, object]:
    return {
        "id": layer,
        "status": status,
        "progressDetail": {"current": current, "total": 2_000_000},
    }


def still(layer: str, status: str) -> dict[str, object]:
    return {"id": layer, "status": status, "progressDetail": {}}


def test_a_layer_has_one_row_that_changes(screen: Screen) -> None:
    bars = Bars(screen.fd)
    bars.line(still("aaa", "Pulling fs layer"))
    bars.line(moving("aaa", 500_000))
    bars.line(moving("aaa", 1_500_000))
    (row,) = screen.rows()
    assert row.startswith("aaa: Downloading")
    assert row.endswith("1.5MB/2MB")


def test_what_is_done_stays_above_what_moves(screen: Screen) -> None:
    bars = Bars(screen.fd)
    for line in (
        still("1", "Pulling from library/debian"),
        moving("aaa", 1),
        moving("bbb", 1),
        still("bbb", "Pull complete"),
    ):
        bars.line(line)
    rows = screen.rows()
    assert rows[:2] == ["1: Pulling from library/debian", "bbb: Pull complete"]
    assert rows[2].startswith("aaa: Downloading")
    bars.erase()
    assert screen.rows() == rows[:2]


def test_lines_without_a_layer_are_printed(screen: Screen) -> None:
    bars = Bars(screen.fd, indent="  ")
    bars.line({"status": "Digest: sha256:0"})
    bars.line({"progressDetail": {}, "aux": {"Tag": "1"}})
    assert screen.rows() == ["  Digest: sha256:0"]


@pytest.mark.parametrize("columns", [100, 61, 59, 30, 8])
def test_no_row_is_wider_than_the_terminal(screen: Screen, columns: int) -> None:
    screen.resize(columns)
    bars = Bars(screen.fd)
    bars.line(moving("0123456789ab", 1_000_000))
    bars.line(still("ba9876543210", "Waiting"))
    assert len(screen.rows()) == 2


def test_more_layers_than_lines_are_counted(screen: Screen) -> None:
    screen.resize(100, lines=10)
    bars = Bars(screen.fd)
    for number in range(30):
        bars.line(still(f"layer{number}", "Waiting"))
    bars.line(moving("layer29", 1))
    rows = screen.rows()
    assert len(rows) == 8
    assert rows[0].startswith("layer29: Downloading")
    assert rows[-1] == "… and 23 more"


def test_rows_that_a_narrower_terminal_wraps_are_erased_whole(screen: Screen) -> None:
    bars = Bars(screen.fd)
    bars.line(moving("aaa", 1_000_000))
    (row,) = screen.rows()
    screen.resize(len(row) // 2)
    bars.erase()
    sent = os.read(screen._reader, 100)
    assert sent in (b"\r\x1b[2A\x1b[J", b"\r\x1b[3A\x1b[J")
