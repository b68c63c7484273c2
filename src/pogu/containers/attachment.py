"""Service: the listeners of a container: those that waited for its start, those that come later."""

from __future__ import annotations

from pathlib import Path

from pogu.containers.entry import Entry
from pogu.runtime.broadcast import Broadcast, Listener
from pogu.runtime.conmon import Conmon

__all__ = ["Attachments"]


class Attachments:
    """One broadcast a run, begun when the first attaches."""

    def __init__(self, *, conmon: Conmon, tmp: Path) -> None:
        self._conmon = conmon
        self._tmp = tmp

    def let_in(self, entry: Entry) -> None:
        """Give those who attached before the start what this run says, from its first byte."""
        entry.broadcast = None
        for future in entry.attachers:
            if not future.done():
                future.set_result(self._broadcast(entry).join(foreground=True))
        entry.attachers.clear()

    def attach(self, entry: Entry) -> Listener:
        """Listen to a container that runs. Raises: SystemFailure when it has just ended."""
        return self._broadcast(entry).join(foreground=False)

    def _broadcast(self, entry: Entry) -> Broadcast:
        if entry.broadcast is None or entry.broadcast.over:
            config = entry.record.config
            entry.broadcast = Broadcast(
                self._conmon.attach(entry.id),
                self._tmp,
                stdin_once=config.open_stdin and config.stdin_once and not config.tty,
                name=f"broadcast {entry.id[:12]}",
            )
        return entry.broadcast
