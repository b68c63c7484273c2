"""Edge: the JSON lines of operations that take a while: pull, import, bootstrap."""

from __future__ import annotations

from pogu.cli.failure import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pogu.cli.http import Reply

__all__ = ["objects", "status_lines"]


def objects(reply: Reply) -> Iterator[dict[str, object]]:
    """Yield the lines; one that tells of an error ends the command. Raises: CliError."""
    for line in reply.objects():
        if "error" in line:
            said = line.get("pogu")
            if isinstance(said, dict):
                raise CliError(str(said.get("message")), hint=str(said.get("hint") or ""))
            raise CliError(str(line["error"]))
        yield line


def status_lines(reply: Reply) -> Iterator[str]:
    """Yield `id: status` for each line but those of progress bars. Raises: CliError."""
    for line in objects(reply):
        if line.get("progressDetail") or "status" not in line:
            continue
        name = line.get("id")
        yield f"{name}: {line['status']}" if name else str(line["status"])
