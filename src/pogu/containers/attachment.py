"""Service: the listeners of a container: those that waited for its start, those that come later."""

from __future__ import annotations

import asyncio
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

    async def attach(self, entry: Entry) -> Listener:
        """Listen to a container that runs. Raises: SystemFailure when it has just ended."""
        broadcast = self._broadcast(entry)
        listener = broadcast.join(foreground=False)
        try:
            await broadcast.begun()
        except BaseException:
            await listener.aclose()
            raise
        return listener

    async def wait(self, entry: Entry) -> Listener:
        """Listen from the next start on. Raises: EngineError when it fails."""
        future: asyncio.Future[Listener] = asyncio.get_running_loop().create_future()
        entry.attachers.append(future)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                await future.result().aclose()
            raise

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
