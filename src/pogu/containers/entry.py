"""Service: one container in the engine's memory, and who waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass

from pogu.containers.execution import Exec
from pogu.containers.model import ContainerRecord, ContainerState, Status
from pogu.containers.wanted_lock import WantedLock
from pogu.errors import Conflict, InvalidParameter
from pogu.runtime.broadcast import Broadcast, Listener

__all__ = ["Entry", "ExitStatus"]

_ACTIVE = frozenset({Status.RUNNING, Status.PAUSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitStatus:
    """The answer to a wait."""

    exit_code: int
    error: str = ""


class Entry:
    """Mutable; only `states.py` changes its state, under `lock`."""

    def __init__(self, name: str, record: ContainerRecord, state: ContainerState) -> None:
        self.name = name
        self.record = record
        self.state = state
        self.lock = WantedLock()
        self.ended = asyncio.Event()
        """Set while it does not run: everything it wrote is in the log."""
        self.watcher: asyncio.Task[None] | None = None
        self.restarter: asyncio.Task[None] | None = None
        self.attachers: list[asyncio.Future[Listener]] = []
        """Who attached before the start."""
        self.broadcast: Broadcast | None = None
        self.exit_waiters: list[asyncio.Future[ExitStatus]] = []
        self.removal_waiters: list[asyncio.Future[ExitStatus]] = []
        self.execs: dict[str, Exec] = {}
        self.user_restarts = 0
        """How many `restart`s are under way: whose stop is no end."""
        self.began_s = 0.0
        """When this run began, on a clock that nobody sets; 0 = unknown."""
        self.restarts_at_ns = 0
        self.restart_pause_s = 0.0
        """Before the last restart by its policy; 0 = none since the user started it."""
        self.unsaved = False
        """Its end could not be written: what it held stays until it is."""
        self.removed = False
        """Its row is gone; only those who still hold it see it."""
        self._pidfd = -1
        if not self.active:
            self.ended.set()

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def active(self) -> bool:
        return self.state.status in _ACTIVE

    @property
    def auto_remove(self) -> bool:
        return self.record.host_config.auto_remove

    def hold_process(self) -> None:
        """Keep a handle of the process: a signal never reaches another one with its number."""
        self.drop_process()
        with contextlib.suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(self.state.pid)

    def drop_process(self) -> None:
        """Idempotent."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def send_signal(self, number: int) -> bool:
        """Signal the container's first process; False when it has ended."""
        if self._pidfd < 0:
            return False
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return False
        return True

    def cancel_restarter(self) -> None:
        """Idempotent; the status is left as it is."""
        if self.restarter is not None:
            self.restarter.cancel()
            self.restarter = None

    def exit_status(self) -> ExitStatus:
        """With the error of a start that failed; that a monitor died is no failure to wait."""
        lost = bool(self.state.ends) and bool(self.state.ends[-1].lost)
        return ExitStatus(exit_code=self.state.exit_code, error="" if lost else self.state.error)

    def exit_future(self, condition: str) -> asyncio.Future[ExitStatus]:
        """Subscribe now and give a future of the exit. `condition`: `not-running`, `next-exit`,
        `removed`. Raises: InvalidParameter for another.
        """
        waiters = {"removed": self.removal_waiters, "next-exit": self.exit_waiters}
        if condition not in ("", "not-running", *waiters):
            raise InvalidParameter(
                f'invalid condition: "{condition}"', hint="not-running, next-exit or removed"
            )
        future: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        idle = self.ended.is_set() and self.state.status is not Status.RESTARTING
        if condition not in waiters and idle:
            future.set_result(self.exit_status())
        else:
            _add_waiter(waiters.get(condition, self.exit_waiters), future)
        return future

    def tell_exit(self) -> None:
        """Wake those who wait for the end of this run."""
        _wake(self.exit_waiters, self.exit_status())

    def tell_removal(self) -> None:
        """Wake everybody: there will be no further end."""
        _wake(self.exit_waiters, self.exit_status())
        _wake(self.removal_waiters, self.exit_status())

    def check_steady(self, called: str, *, before: str) -> None:
        """Raises: Conflict in Docker's words when it is paused or about to be restarted.

        `called`: how the words name it; `before`: what it is asked for.
        """
        if self.state.status is Status.PAUSED:
            raise Conflict(
                f"{called} is paused, unpause the container before {before}",
                hint=f"pogu unpause {self.name}",
            )
        if self.state.status is Status.RESTARTING:
            raise Conflict(
                f"{called} is restarting, wait until the container is running",
                hint=f"pogu logs {self.name} shows why it ends",
            )

    def refuse_attachers(self, error: Exception) -> None:
        """Tell those who attached before a start that it failed."""
        for future in self.attachers:
            if not future.done():
                future.set_exception(error)
        self.attachers.clear()


def _add_waiter(
    waiters: list[asyncio.Future[ExitStatus]], future: asyncio.Future[ExitStatus]
) -> None:
    """Wake `future` with the others; one that is cancelled before is forgotten."""

    def forget(done: asyncio.Future[ExitStatus]) -> None:
        if done in waiters:
            waiters.remove(done)

    waiters.append(future)
    future.add_done_callback(forget)


def _wake(waiters: list[asyncio.Future[ExitStatus]], status: ExitStatus) -> None:
    for future in waiters:
        if not future.done():
            future.set_result(status)
    waiters.clear()
