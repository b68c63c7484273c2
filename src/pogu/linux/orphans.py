"""Edge: the processes that our children leave behind when they end are ours to reap.

A runtime that fails leaves a child inside the container; while nobody reaps that, the container
cannot end. The init of a host would; the first process of a container that we run in may not.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from pogu.linux.libc import libc
from pogu.linux.process_stat import stat_fields
from pogu.linux.spawn import is_awaited

__all__ = ["adopt_orphans", "dead_children"]

_PR_SET_CHILD_SUBREAPER = 36
_PAUSE_S = 0.5


def adopt_orphans() -> None:
    """From now on reap every child that nobody waits for, soon after its end."""
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    reaper = _Reaper(asyncio.get_running_loop())
    reaper.loop.add_signal_handler(signal.SIGCHLD, reaper.look_soon)


def dead_children() -> Iterator[int]:
    """Children of this process that have ended and were not reaped."""
    if not _any_is_dead():
        return  # the usual case; the monitors of all containers are children of ours
    for path in Path("/proc/self/task").glob("*/children"):
        for pid in path.read_text().split():
            try:
                state = stat_fields(int(pid))[0]
            except OSError:
                continue
            if state == "Z":
                yield int(pid)


def _any_is_dead() -> bool:
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


class _Reaper:
    """Who is seen dead twice, with a pause between, has nobody who waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._seen: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None

    def look_soon(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(_PAUSE_S, self._look)

    def _look(self) -> None:
        self._timer = None
        dead = {pid for pid in dead_children() if not is_awaited(pid)}
        for pid in dead & self._seen:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue
        self._seen = dead - self._seen
        if self._seen:
            self.look_soon()
