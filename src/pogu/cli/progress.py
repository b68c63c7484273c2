"""Edge: the JSON lines of operations that take a while: pull, push, load, import, bootstrap."""

from __future__ import annotations

import os

from pogu.cli.failure import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pogu.cli.http import Reply

__all__ = ["draws", "objects", "show_progress", "status_lines", "status_text"]


def status_lines(reply: Reply) -> Iterator[str]:
    """Yield `id: status` for each line but those of progress bars. Raises: CliError."""
    for line in objects(reply):
        if not line.get("progressDetail") and "status" in line:
            yield status_text(line)


def status_text(line: dict[str, object]) -> str:
    """`id: status`, or the status alone."""
    name = line.get("id")
    return f"{name}: {line['status']}" if name else str(line["status"])


def show_progress(reply: Reply, say: Callable[[str], None], *, fd: int) -> None:
    """Print the lines by `say`; where `fd`, on which it prints, is a terminal, draw bars below
    them. Raises: CliError.
    """
    if not draws(fd):
        for text in status_lines(reply):
            say(text)
        return
    from pogu.cli.bars import Bars

    bars = Bars(fd)
    try:
        for line in objects(reply):
            bars.line(line)
    finally:
        bars.erase()


def draws(fd: int) -> bool:
    """True for a terminal that can move its cursor."""
    return os.isatty(fd) and os.environ.get("TERM", "dumb") != "dumb"


def objects(reply: Reply) -> Iterator[dict[str, object]]:
    """Yield the lines; one that tells of an error ends the command. Raises: CliError."""
    for line in reply.objects():
        if "error" in line:
            said = line.get("pogu")
            if isinstance(said, dict):
                raise CliError(str(said.get("message")), hint=str(said.get("hint") or ""))
            raise CliError(str(line["error"]))
        yield line
