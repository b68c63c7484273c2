"""Edge: the wait that the kernel puts before a process changes its control group, begun early.

Whoever moves a process first takes a lock that every fork reads, and waits for an RCU grace period
(`cgroup_threadgroup_rwsem`; 6 to 16 ms here). Who follows within about 10 ms does not wait. A
runtime moves what it has made on v1 and hybrid hosts; on v2 it clones into the group instead.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pogu.linux.blocking import begin_in_thread
from pogu.linux.cgroup import CGROUP_ROOT, CgroupSetup

__all__ = ["GroupMoves", "own_group"]

_CONTROLLER = "freezer"
"""Service managers move processes in the other hierarchies, never in this one."""

_PAUSE_S = 0.005
"""Shorter than a grace period, or the next one to move would wait again."""


class GroupMoves:
    """Says to the kernel that a process is going to be moved."""

    def __init__(
        self,
        setup: CgroupSetup,
        *,
        root: Path = CGROUP_ROOT,
        own: Path = Path("/proc/self/cgroup"),
        begin: Callable[[Callable[[], None]], None] = begin_in_thread,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._moves = setup.mode in ("v1", "hybrid")
        self._root = root
        self._own = own
        self._begin = begin
        self._pause = pause
        self._waits = False
        self._lock = threading.Lock()
        self._expecting = 0
        self._keeps = False

    def expect(self) -> None:
        """Begin the wait, in a thread: a process is moved within milliseconds. Never fails."""
        if self._moves and not self._waits:
            self._waits = True
            self._begin(self._wait)

    @contextlib.contextmanager
    def expected(self) -> Iterator[None]:
        """Begin the wait; who moves a process inside the block waits for the rest of it at most."""
        with self._lock:
            self._expecting += 1
            begins = self._moves and not self._keeps
            self._keeps = self._keeps or begins
        if begins:
            self._begin(self._keep)
        try:
            yield
        finally:
            with self._lock:
                self._expecting -= 1

    def _keep(self) -> None:
        with self._opened() as group:
            while self._is_expected():
                _take_lock(group)
                self._pause(_PAUSE_S)

    def _is_expected(self) -> bool:
        with self._lock:
            self._keeps = self._expecting > 0
            return self._keeps

    def _wait(self) -> None:
        try:
            with self._opened() as group:
                _take_lock(group)
        finally:
            self._waits = False

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """The file to write pids to of the group that we are in; -1 when it cannot be seen."""
        fd = -1
        with contextlib.suppress(OSError):
            group = own_group(self._own.read_text())
            if group is not None:
                procs = self._root / _CONTROLLER / group / "cgroup.procs"
                fd = os.open(procs, os.O_WRONLY | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            if fd >= 0:
                os.close(fd)


def own_group(text: str) -> str | None:
    """Find our group below the hierarchy in the text of /proc/self/cgroup (cgroups(7))."""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        if _CONTROLLER in controllers.split(","):
            return path.lstrip("/")
    return None


def _take_lock(group: int) -> None:
    """Move this process to where it is: nothing changes, but the lock is taken."""
    if group >= 0:
        with contextlib.suppress(OSError):
            os.write(group, b"0")
