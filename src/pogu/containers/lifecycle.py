"""Service: a container starts, ends, and starts again where its policy says so.

    start → running ─► end (conmon's pidfd) ─► exited ─► restart | --rm | stays

One lock per container; what waits for an end waits outside of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from pogu.containers.attachment import Attachments
from pogu.containers.background import Background
from pogu.containers.entry import Entry
from pogu.containers.health import at_start, check_of
from pogu.containers.launch import Launcher
from pogu.containers.model import Status
from pogu.containers.probes import Probes
from pogu.containers.removal import Removal
from pogu.containers.restart import next_pause_s
from pogu.containers.states import States
from pogu.containers.stop import Stopper
from pogu.errors import Conflict, EngineError, NotModified, SystemFailure
from pogu.host_failure import host_failure
from pogu.linux.cgroup_usage import read_group_of
from pogu.linux.descriptors import SPARE_FOR_STARTS, check_descriptors
from pogu.runtime.conmon import Conmon, Monitored
from pogu.runtime.oci_runtime import OciRuntime

__all__ = ["Lifecycle"]

log = logging.getLogger(__name__)

_SAVE_AGAIN_S = 2.0
"""Between two attempts to write an end while the disk refuses."""


class Lifecycle:
    """Works on entries; who they are is the registry's (`service.py`)."""

    def __init__(
        self,
        *,
        states: States,
        launcher: Launcher,
        attachments: Attachments,
        stopper: Stopper,
        removal: Removal,
        runtime: OciRuntime,
        conmon: Conmon,
        background: Background,
        probes: Probes,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._states = states
        self._launcher = launcher
        self._attachments = attachments
        self._stopper = stopper
        self._removal = removal
        self._runtime = runtime
        self._conmon = conmon
        self._background = background
        self._probes = probes
        self._sleep = sleep

    # ---- start ---------------------------------------------------------------------------

    async def start(self, entry: Entry) -> None:
        """Raises: NotModified when it runs; EngineError with the cause."""
        async with entry.lock:
            _check_startable(entry)
            await self._start(entry)

    async def _start(self, entry: Entry) -> None:
        entry.cancel_restarter()  # on record it is still to be started
        entry.restart_pause_s = 0.0
        if entry.unsaved:
            self._states.save(entry)
            await self._launcher.release(entry.id)
        if entry.state.restart_count:
            self._states.change(entry, restart_count=0)
        try:
            await self._run(entry)
        except EngineError as err:
            self._states.stop_restarting(entry)
            self._failed(entry, err)
            raise
        except (OSError, MemoryError, RuntimeError) as err:
            self._states.stop_restarting(entry)
            if (refusal := host_failure(err)) is not None:
                self._failed(entry, refusal)
                raise refusal from err
            entry.refuse_attachers(SystemFailure(f"container {entry.name} was not started"))
            raise
        except BaseException:
            entry.refuse_attachers(SystemFailure(f"container {entry.name} was not started"))
            raise

    async def _run(self, entry: Entry) -> None:
        check_descriptors(SPARE_FOR_STARTS)
        monitored, warnings = await self._launcher.launch(entry)
        try:
            for warning in warnings:
                log.warning("container=%s %s", entry.id[:12], warning)
            self._attachments.let_in(entry)
            entry.ended.clear()
            self._record_start(entry, monitored)
            entry.hold_process()
            has_hooks = bool(entry.record.host_config.device_requests)  # CDI's
            await self._runtime.start(entry.id, 0 if has_hooks else monitored.pid)
        except BaseException:
            entry.ended.set()
            entry.drop_process()
            await asyncio.shield(self._launcher.release(entry.id))
            if entry.state.status is Status.RUNNING:
                self._states.not_started(entry)
            raise
        self._states.publish(entry, "start")
        self.watch(entry)

    def _record_start(self, entry: Entry, monitored: Monitored) -> None:
        """Before it starts: an engine that is killed then finds it running, not a stray."""
        self._states.change(
            entry,
            status=Status.RUNNING,
            pid=monitored.pid,
            conmon_pid=monitored.conmon_pid,
            cgroup=read_group_of(monitored.pid, entry.id),
            exit_code=0,
            error="",
            oom_killed=False,
            stopped_by_user=False,
            hint="",
            stop_request=None,
            started_at=self._states.now(),
            health=at_start(check_of(entry.record.config.healthcheck), entry.state.health),
        )

    def _failed(self, entry: Entry, err: EngineError) -> None:
        """Record why; `--rm` holds for a failed start too."""
        entry.refuse_attachers(err)
        self._states.record_failure(entry, err)
        entry.tell_exit()
        if entry.auto_remove:
            self._background.run(self._remove_after_failure(entry))

    async def _remove_after_failure(self, entry: Entry) -> None:
        async with entry.lock:
            await self._removal.take_away(entry, volumes=True)

    # ---- the end -------------------------------------------------------------------------

    def watch(self, entry: Entry) -> None:
        """Wait for the end in a task of its own."""
        self._states.began(entry)
        entry.watcher = asyncio.create_task(self._watch(entry), name=f"watch {entry.id[:12]}")

    async def _watch(self, entry: Entry) -> None:
        probes = asyncio.create_task(self._probes.watch(entry))
        try:
            code = await self._conmon.wait(entry.state.conmon_pid, entry.id)
        finally:
            probes.cancel()
        try:
            async with entry.lock:
                await self._end(entry, code)
            while entry.unsaved:
                await asyncio.sleep(_SAVE_AGAIN_S)
                async with entry.lock:
                    await self._end_late(entry)
        except Exception:
            log.exception("container=%s: its end was not handled whole", entry.id[:12])

    async def _end(self, entry: Entry, code: int | None) -> None:
        """Record the end, release what it held, tell those who wait; then restart or --rm."""
        ran_s = self._states.ran_s(entry)
        goes_on = await self._record_end(entry, code)
        if entry.user_restarts or entry.unsaved:
            return  # whoever asked for it starts it; or `_end_late` goes on
        if goes_on:
            self._restart_soon(entry, ran_s)
        elif entry.auto_remove:
            await self._removal.take_away(entry, volumes=True)

    async def _end_late(self, entry: Entry) -> None:
        """What `_end` left while the database could not be written: with the disk, it goes on."""
        if entry.unsaved and not entry.removed:
            with contextlib.suppress(SystemFailure):
                self._states.save(entry)
        if entry.unsaved or entry.removed or entry.active:
            return
        await self._launcher.release(entry.id)
        if entry.state.status is Status.RESTARTING and not entry.user_restarts:
            self._restart_soon(entry, 0)
        elif entry.state.status is Status.EXITED and entry.auto_remove:
            await self._removal.take_away(entry, volumes=True)

    async def _record_end(self, entry: Entry, code: int | None) -> bool:
        """True when it is to start again. `code` is None when its monitor died."""
        knew, oom = entry.state.oom_killed, self._states.saw_oom(entry, code)
        lost = "" if code is not None else "monitor"
        exit_code = 137 if code is None else code
        ends = self._states.ends_now(entry, exit_code, oom=oom, lost=lost)
        if code is None:
            await self._runtime.delete(entry.id, force=True)
            log.warning("container=%s: its monitor died; the container was ended", entry.id[:12])
        goes_on = False
        try:
            goes_on = self._states.record_end(
                entry,
                exit_code=exit_code,
                error="" if code is not None else "the container's monitor (conmon) died",
                oom_killed=oom,
                finished_at=self._states.now(),
                ends=ends,
            )
            entry.drop_process()
            if not entry.unsaved:  # the monitor's files hold the exit code until the row does
                await self._launcher.release(entry.id)
        except (EngineError, OSError):  # its policy holds all the same: a start releases anew
            log.exception("container=%s: not all that it held was released", entry.id[:12])
        finally:  # whatever happened: those who wait for the end are told
            entry.ended.set()
            if oom and not knew:
                self._states.publish(entry, "oom")
            self._states.publish(entry, "die", exitCode=str(entry.state.exit_code))
            entry.tell_exit()
        return goes_on

    # ---- restart -------------------------------------------------------------------------

    def restart_later(self, entry: Entry, ran_s: float, *, counts: bool = True) -> None:
        """Start again after a pause that doubles with every quick end; `counts` = for inspect's
        RestartCount and the bound of on-failure.
        """
        count = entry.state.restart_count + counts
        self._states.settle(entry, status=Status.RESTARTING, restart_count=count)
        self._restart_soon(entry, ran_s)

    def _restart_soon(self, entry: Entry, ran_s: float) -> None:
        pause_s = entry.restart_pause_s = next_pause_s(entry.restart_pause_s, ran_s=ran_s)
        entry.restarts_at_ns = self._states.clock_ns() + int(pause_s * 1e9)
        entry.restarter = asyncio.create_task(self._restart_after(entry, pause_s))

    async def _restart_after(self, entry: Entry, pause_s: float) -> None:
        await self._sleep(pause_s)
        async with entry.lock:
            if entry.state.status is not Status.RESTARTING:
                return
            entry.restarter = None
            try:
                await self._run(entry)
            except (EngineError, OSError, MemoryError, RuntimeError) as err:
                log.warning("container=%s restart failed: %s", entry.id[:12], err)
                if entry.state.status is Status.RESTARTING:
                    self._states.not_started(entry)
                failure = err if isinstance(err, EngineError) else host_failure(err)
                failure = failure or SystemFailure(str(err))
                self._failed(entry, failure)
                if self._states.should_restart(entry):
                    self.restart_later(entry, 0)

    async def restart(
        self, entry: Entry, *, timeout_s: int | None, signal_name: str | None
    ) -> None:
        """Stop it if it runs, start it; --rm and the policy overlook the end in between.

        On record it is to be started: when the engine is killed meanwhile, the next one does it.
        """
        entry.user_restarts += 1
        try:
            with contextlib.suppress(NotModified):
                await self._stopper.stop(
                    entry, timeout_s=timeout_s, signal_name=signal_name, for_good=False
                )
            with contextlib.suppress(NotModified):  # another restart was first
                await self.start(entry)
        finally:
            entry.user_restarts -= 1
        self._states.publish(entry, "restart")


def _check_startable(entry: Entry) -> None:
    if entry.state.status is Status.PAUSED:
        raise Conflict(
            "cannot start a paused container, try unpause instead",
            hint=f"pogu unpause {entry.name}",
        )
    if entry.active:
        raise NotModified(f"container {entry.name} is already running")
    if entry.state.status in (Status.REMOVING, Status.DEAD):
        raise Conflict(f"container is marked for removal and cannot be started: {entry.id}")
