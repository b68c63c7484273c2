"""Edge: `logs`."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.http import quote
from pogu.cli.moment import unix_time
from pogu.cli.streams import write_all

__all__ = ["COMMANDS"]


_OWN = {"User-Agent": "pogu"}
"""The engine then puts many lines into a frame."""


def _logs(context: Context, values: Values) -> int:
    terminals = [_has_terminal(context, name) for name in values.args]
    parameters = _parameters(values)
    if len(values.args) > 1:
        from pogu.cli.logs_merge import merge

        merge(context, values.args, terminals, parameters)
        return 0
    path = f"/containers/{quote(values.args[0])}/logs"
    reply = context.request("GET", path, parameters, headers=_OWN)
    if terminals[0]:
        for piece in reply.pieces():
            write_all(1, piece)
        return 0
    buffered = bytearray()
    for piece in reply.pieces():
        buffered += piece
        _print_frames(buffered)
    return 0


def _has_terminal(context: Context, name: str) -> bool:
    found = context.get(f"/containers/{quote(name)}/json")
    assert isinstance(found, dict)
    return bool(found["Config"]["Tty"])


def _parameters(values: Values) -> dict[str, object]:
    return {
        "stdout": True,
        "stderr": True,
        "follow": values.flag("follow"),
        "timestamps": values.flag("timestamps"),
        "details": values.flag("details"),
        "tail": values.text("tail"),
        "since": unix_time(values.text("since"), "since") or None,
        "until": unix_time(values.text("until"), "until") or None,
    }


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
        "[OPTIONS] CONTAINER [CONTAINER...]",
        "Fetch the logs of a container, or of several merged by time",
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
    )
}
