"""Edge: `logs`."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.http import quote
from pogu.cli.moment import unix_time
from pogu.cli.streams import write_all

__all__ = ["COMMANDS"]


def _logs(context: Context, values: Values) -> int:
    name = values.args[0]
    found = context.get(f"/containers/{quote(name)}/json")
    assert isinstance(found, dict)
    parameters: dict[str, object] = {
        "stdout": True,
        "stderr": True,
        "follow": values.flag("follow"),
        "timestamps": values.flag("timestamps"),
        "tail": values.text("tail"),
        "since": unix_time(values.text("since"), "since") or None,
        "until": unix_time(values.text("until"), "until") or None,
    }
    reply = context.request("GET", f"/containers/{quote(name)}/logs", parameters)
    if found["Config"]["Tty"]:
        for piece in reply.pieces():
            write_all(1, piece)
        return 0
    buffered = bytearray()
    for piece in reply.pieces():
        buffered += piece
        _print_frames(buffered)
    return 0


def _print_frames(buffered: bytearray) -> None:
    """Write whole frames, runs of one stream together, and leave the rest."""
    at, size = 0, len(buffered)
    stream, run = 0, bytearray()
    while size - at >= 8:
        length = int.from_bytes(buffered[at + 4 : at + 8], "big")
        if size - at - 8 < length:
            break
        number = buffered[at]
        if number != stream and run:
            write_all(2 if stream == 2 else 1, bytes(run))
            run.clear()
        stream = number
        run += buffered[at + 8 : at + 8 + length]
        at += 8 + length
    if run:
        write_all(2 if stream == 2 else 1, bytes(run))
    del buffered[:at]


COMMANDS = {
    "logs": Command(
        "logs",
        "[OPTIONS] CONTAINER",
        "Fetch the logs of a container",
        _logs,
        [
            Flag("--details", "bool", "Show extra details"),
            Flag("-f, --follow", "bool", "Follow the output"),
            Flag("--since", "text", "Show logs since a time or a duration ago (42m)"),
            Flag("-n, --tail", "text", "Number of lines from the end", "all"),
            Flag("-t, --timestamps", "bool", "Show timestamps"),
            Flag("--until", "text", "Show logs before a time or a duration ago (42m)"),
        ],
        least=1,
        most=1,
    )
}
