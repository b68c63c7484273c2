"""Edge: `load`: images out of an archive."""

from __future__ import annotations

import os

from pogu.cli.context import Context, write
from pogu.cli.failure import CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.host_file import open_file, send_file
from pogu.cli.progress import draws, objects

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pogu.cli.http import Reply

__all__ = ["COMMANDS"]


def _load(context: Context, values: Values) -> int:
    source = values.text("input")
    if source in ("", "-"):
        if os.isatty(0):
            raise CliError(
                "requested load from stdin, but stdin is empty", hint="pogu load -i FILE"
            )
        fd = 0
    else:
        fd = open_file(source)
    drawn = draws(1) and not values.flag("quiet")
    parameters: dict[str, object] = {
        "quiet": None if drawn else True,
        "platform": values.text("platform") or None,
    }
    _show(send_file(context, "/images/load", parameters, fd), drawn=drawn)
    return 0


def _show(reply: Reply, *, drawn: bool) -> None:
    """Print what was loaded; meanwhile, where they are drawn, the bars of its layers."""
    bars = None
    if drawn:
        from pogu.cli.bars import Bars

        bars = Bars(1)
    try:
        for line in objects(reply):
            if "stream" in line:
                if bars is not None:
                    bars.erase()
                write(1, str(line["stream"]))
            elif bars is not None:
                bars.line(line)
    finally:
        if bars is not None:
            bars.erase()


COMMANDS = {
    "load": Command(
        "load",
        "[OPTIONS]",
        "Load images from an archive, docker's or OCI's, compressed or not",
        _load,
        [
            Flag("-i, --input", "text", "Read from a file instead of standard input"),
            Flag("--platform", "text", "Load this platform only"),
            Flag("-q, --quiet", "bool", "Print only what was loaded"),
        ],
        most=0,
    )
}
