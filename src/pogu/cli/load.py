"""Edge: `load`: images out of an archive."""

from __future__ import annotations

import os

from pogu.cli.context import Context, write
from pogu.cli.failure import CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.host_file import open_file, send_file
from pogu.cli.progress import objects

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
    parameters: dict[str, object] = {"quiet": True, "platform": values.text("platform") or None}
    for line in objects(send_file(context, "/images/load", parameters, fd)):
        if "stream" in line:
            write(1, str(line["stream"]))
    return 0


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
