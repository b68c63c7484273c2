"""Service: a container is asked to end, or killed; who asked is on record before.

On a disk that takes nothing it is stopped all the same: the record follows when it can.
"""

from __future__ import annotations

import asyncio
import signal

import msgspec

from pogu.containers.caller import current_caller
from pogu.containers.ends import StopRequest
from pogu.containers.entry import Entry
from pogu.containers.freezer import Freezer
from pogu.containers.model import Status
from pogu.containers.signals import parse_signal
from pogu.containers.states import States
from pogu.errors import Conflict, NotModified, SystemFailure

__all__ = ["Stopper"]

_DEFAULT_STOP_S = 10
_KILL_S = 30

_ENDING = frozenset({signal.SIGINT, signal.SIGKILL, signal.SIGTERM})
"""Who sends one of these, or the stop signal, wants it to end: no policy starts it again. Docker
counts every signal: a server that was told to reload stays down after a crash weeks later.
"""


class Stopper:
    """Signals only; the end itself is noticed and recorded by `lifecycle.py`."""

    def __init__(self, *, states: States, freezer: Freezer) -> None:
        self._states = states
        self._freezer = freezer

    async def stop(
        self,
        entry: Entry,
        *,
        timeout_s: int | None,
        signal_name: str | None,
        for_good: bool = True,
    ) -> None:
        """Stop signal, then SIGKILL after the timeout (-1 = never), None = the container's own.

        Raises: NotModified when it does not run.
        """
        number = parse_signal(signal_name or entry.record.config.stop_signal or "TERM")
        async with entry.lock:  # a restart that has begun is stopped when it runs
            if self._call_off_restart(entry, for_good=for_good):
                self._states.publish(entry, "stop")
                return
            if not entry.active:
                raise NotModified(f"container {entry.name} is already stopped")
            request = self._requested("stop" if for_good else "restart", number)
            self._states.settle(entry, stopped_by_user=for_good, stop_request=request)
        await self._signal(entry, number)
        patience_s = _patience_s(entry, timeout_s)
        try:
            await asyncio.wait_for(entry.ended.wait(), None if patience_s < 0 else patience_s)
        except TimeoutError:
            request = msgspec.structs.replace(request, killed_after_s=patience_s)
            self._states.settle(entry, stop_request=request)
            await self.kill_whole(entry)
        self._states.publish(entry, "stop")

    async def kill(self, entry: Entry, signal_name: str) -> None:
        """Raises: Conflict when it does not run; InvalidParameter."""
        number = parse_signal(signal_name)
        if entry.state.status is Status.RESTARTING:
            async with entry.lock:  # its pause is over, or it has no next run
                if self._call_off_restart(entry):
                    return
        if not entry.active:
            raise Conflict(
                f"cannot kill container: {entry.name}: container {entry.id} is not running",
                hint="`pogu ps -a` shows its state",
            )
        if number in _ENDING or number == parse_signal(entry.record.config.stop_signal or "TERM"):
            self._states.settle(entry, stopped_by_user=True)
        self._states.settle(entry, stop_request=self._requested("kill", number))
        await self._signal(entry, number)
        if number == signal.SIGKILL:
            await self.kill_whole(entry)

    async def kill_for_removal(self, entry: Entry) -> None:
        """As `kill_whole`; on record is that it was removed by force."""
        request = self._requested("rm -f", signal.SIGKILL)
        self._states.settle(entry, stopped_by_user=True, stop_request=request)
        await self.kill_whole(entry)

    async def kill_whole(self, entry: Entry) -> None:
        """SIGKILL and wait for the end; also for what a process outside a pid namespace left."""
        entry.send_signal(signal.SIGKILL)
        await self._freezer.let_go_on(entry)
        try:
            await asyncio.wait_for(entry.ended.wait(), _KILL_S)
        except TimeoutError as err:
            raise SystemFailure(
                f"tried to kill container, but did not receive an exit event: {entry.id}",
                hint="a process in it waits for the kernel (D state): see `ps -o pid,stat,wchan`",
            ) from err

    def _requested(self, action: str, number: int) -> StopRequest:
        return StopRequest(action=action, signal=number, at=self._states.now(), by=current_caller())

    def _call_off_restart(self, entry: Entry, *, for_good: bool = True) -> bool:
        """False when none waits."""
        if not self._states.stop_restarting(entry):
            return False
        self._states.settle(entry, stopped_by_user=for_good)
        entry.tell_exit()
        return True

    async def _signal(self, entry: Entry, number: int) -> None:
        """A frozen process would never see it: it goes on."""
        entry.send_signal(number)
        self._states.publish(entry, "kill", signal=str(number))
        await self._freezer.let_go_on(entry)


def _patience_s(entry: Entry, timeout_s: int | None) -> int:
    for found in (timeout_s, entry.record.config.stop_timeout):
        if found is not None:
            return found
    return _DEFAULT_STOP_S
