"""Service: start, the end, restart, removal; the only place that changes a container's state.

    start → running ─► end (conmon's pidfd) ─► exited ─► restart | --rm | stays

One lock per container; what waits for an end waits outside of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from pogu.containers.caller import current_caller
from pogu.containers.ends import End, StopRequest, with_end
from pogu.containers.entry import Entry
from pogu.containers.health import Health, at_end, at_start, check_of
from pogu.containers.launch import Launcher
from pogu.containers.model import LEGAL, Status, parse_time_ns
from pogu.containers.restart import Backoff, wants_restart
from pogu.containers.rows import RemovedContainer, Rows
from pogu.containers.signals import parse_signal
from pogu.containers.workload import cgroup_path
from pogu.crash_point import crash_point
from pogu.errors import Conflict, EngineError, NotModified, SystemFailure
from pogu.events import EventBus
from pogu.images.image import rfc3339
from pogu.linux.blocking import in_thread
from pogu.linux.cgroup_usage import oom_kills, peak_and_limit
from pogu.model.container import HostConfig
from pogu.runtime.broadcast import Broadcast, Listener
from pogu.runtime.conmon import Conmon
from pogu.runtime.failure import start_exit_code
from pogu.runtime.oci_runtime import OciRuntime
from pogu.runtime.workload import Resources
from pogu.storage.tree import remove_tree

__all__ = ["Lifecycle"]

log = logging.getLogger(__name__)

_DEFAULT_STOP_S = 10
_KILL_S = 30

_ENDING = frozenset({signal.SIGINT, signal.SIGKILL, signal.SIGTERM})
"""Who sends one of these, or the stop signal, wants it to end: no policy starts it again. Docker
counts every signal: a server that was told to reload stays down after a crash weeks later.
"""


class Lifecycle:
    """Works on entries; who they are is the registry's (`service.py`)."""

    def __init__(
        self,
        *,
        launcher: Launcher,
        rows: Rows,
        events: EventBus,
        runtime: OciRuntime,
        conmon: Conmon,
        forget: Callable[[Entry], None],
        remove_volume: Callable[[str], None],
        tmp: Path,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._launcher = launcher
        self._rows = rows
        self._events = events
        self._runtime = runtime
        self._conmon = conmon
        self._forget = forget
        self._remove_volume = remove_volume
        self._tmp = tmp
        self._clock_ns = clock_ns
        self.probe: Callable[[Entry], Coroutine[None, None, None]] | None = None
        """Watches the health of a container beside it, until it is cancelled."""
        self._backoff = Backoff()
        self._background: set[asyncio.Task[None]] = set()

    # ---- state ---------------------------------------------------------------------------

    def change(self, entry: Entry, **changes: object) -> None:
        """Set fields of the state and commit it."""
        status = changes.get("status", entry.state.status)
        if status != entry.state.status and status not in LEGAL[entry.state.status]:
            raise SystemFailure(f"container {entry.id}: {entry.state.status} cannot be {status}")
        entry.state = msgspec.structs.replace(entry.state, **changes)
        self._rows.save_state(entry.id, entry.state)

    def note_health(self, entry: Entry, health: Health) -> None:
        """Keep the result of a probe; committed only when it changes what is thought of it."""
        before = entry.state.health
        if (before and (before.status, before.failing_streak)) == (
            health.status,
            health.failing_streak,
        ):
            entry.state = msgspec.structs.replace(entry.state, health=health)
        else:
            self.change(entry, health=health)

    def publish(self, entry: Entry, action: str, **attributes: str) -> None:
        """Publish an event with Docker's attributes: labels, image and name."""
        labels = entry.record.config.labels or {}
        known = {**labels, "image": entry.record.image_name, "name": entry.name}
        self._events.publish("container", action, entry.id, {**known, **attributes})

    # ---- start ---------------------------------------------------------------------------

    async def start(self, entry: Entry) -> None:
        """Raises: NotModified when it runs; EngineError with the cause."""
        async with entry.lock:
            await self._start(entry)

    async def _start(self, entry: Entry) -> None:
        if entry.state.status is Status.PAUSED:
            raise Conflict(
                "cannot start a paused container, try unpause instead",
                hint=f"pogu unpause {entry.name}",
            )
        if entry.active:
            raise NotModified(f"container {entry.name} is already running")
        if entry.state.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f"container is marked for removal and cannot be started: {entry.id}")
        self._cancel_restarter(entry)  # on record it is still to be started
        self._backoff.forget(entry.id)
        if entry.state.restart_count:
            self.change(entry, restart_count=0)
        try:
            await self._run(entry)
        except EngineError as err:
            self._stop_restarting(entry)
            self._failed(entry, err)
            raise
        except OSError:
            self._stop_restarting(entry)
            entry.refuse_attachers(SystemFailure(f"container {entry.name} was not started"))
            raise
        except BaseException:
            entry.refuse_attachers(SystemFailure(f"container {entry.name} was not started"))
            raise

    async def _run(self, entry: Entry) -> None:
        monitored, warnings = await self._launcher.launch(entry)
        try:
            for warning in warnings:
                log.warning("container=%s %s", entry.id[:12], warning)
            self._let_attach(entry)
            entry.ended.clear()
            self.change(
                entry,
                status=Status.RUNNING,
                pid=monitored.pid,
                conmon_pid=monitored.conmon_pid,
                exit_code=0,
                error="",
                oom_killed=False,
                stopped_by_user=False,
                hint="",
                stop_request=None,
                started_at=rfc3339(self._clock_ns()),
                health=at_start(check_of(entry.record.config.healthcheck), entry.state.health),
            )
            entry.hold_process()
            await self._runtime.start(entry.id)
        except BaseException:
            entry.ended.set()
            entry.drop_process()
            await asyncio.shield(self._launcher.release(entry.id))
            if entry.state.status is Status.RUNNING:
                self.change(entry, status=Status.EXITED, pid=0, conmon_pid=0)
            raise
        self.publish(entry, "start")
        self.watch(entry)

    def _let_attach(self, entry: Entry) -> None:
        entry.broadcast = None
        for future in entry.attachers:
            if not future.done():
                future.set_result(self._broadcast(entry).join(foreground=True))
        entry.attachers.clear()

    def attach(self, entry: Entry) -> Listener:
        """Listen to a container that runs. Raises: SystemFailure when it has just ended."""
        return self._broadcast(entry).join(foreground=False)

    def _broadcast(self, entry: Entry) -> Broadcast:
        """The one of this run; begun when the first attaches."""
        if entry.broadcast is None or entry.broadcast.over:
            config = entry.record.config
            entry.broadcast = Broadcast(
                self._conmon.attach(entry.id),
                self._tmp,
                stdin_once=config.open_stdin and config.stdin_once and not config.tty,
                name=f"broadcast {entry.id[:12]}",
            )
        return entry.broadcast

    def _failed(self, entry: Entry, err: EngineError) -> None:
        """Record why, with Docker's exit codes; `--rm` holds for a failed start too."""
        entry.refuse_attachers(err)
        code, now = start_exit_code(err.message), rfc3339(self._clock_ns())
        end = End(exit_code=code, finished_at=now, error=err.message)
        self.change(
            entry,
            exit_code=code,
            error=err.message,
            hint=err.hint or "",
            stop_request=None,
            ends=with_end(entry.state.ends, end),
        )
        entry.tell_exit()
        if entry.auto_remove:
            self.in_background(self._remove_after_failure(entry))

    async def _remove_after_failure(self, entry: Entry) -> None:
        async with entry.lock:
            await self.remove(entry, volumes=True)

    # ---- the end -------------------------------------------------------------------------

    def watch(self, entry: Entry) -> None:
        """Wait for the end in a task of its own."""
        entry.watcher = asyncio.create_task(self._watch(entry), name=f"watch {entry.id[:12]}")

    async def _watch(self, entry: Entry) -> None:
        probes = asyncio.create_task(self.probe(entry)) if self.probe is not None else None
        try:
            code = await self._conmon.wait(entry.state.conmon_pid, entry.id)
        finally:
            if probes is not None:
                probes.cancel()
        try:
            async with entry.lock:
                await self._end(entry, code)
        except Exception:
            log.exception("container=%s: its end was not handled whole", entry.id[:12])

    async def _end(self, entry: Entry, code: int | None) -> None:
        """Record the end, release what it held, tell those who wait; then restart or --rm."""
        knew, oom = entry.state.oom_killed, self.saw_oom(entry)
        lost = "" if code is not None else "monitor"
        ends = self.ends_now(entry, 137 if code is None else code, oom=oom, lost=lost)
        if code is None:
            await self._runtime.delete(entry.id, force=True)
            log.warning("container=%s: its monitor died; the container was ended", entry.id[:12])
        ran_s = self._ran_s(entry)
        goes_on = False
        try:
            goes_on = self.record_end(
                entry,
                exit_code=137 if code is None else code,
                error="" if code is not None else "the container's monitor (conmon) died",
                oom_killed=oom,
                finished_at=rfc3339(self._clock_ns()),
                ends=ends,
            )
            entry.drop_process()
            await self._launcher.release(entry.id)
        except (EngineError, OSError):  # its policy holds all the same: a start releases anew
            log.exception("container=%s: not all that it held was released", entry.id[:12])
        finally:  # whatever happened: those who wait for the end are told
            entry.ended.set()
            if oom and not knew:
                self.publish(entry, "oom")
            self.publish(entry, "die", exitCode=str(entry.state.exit_code))
            entry.tell_exit()
        if entry.user_restarts:
            return  # whoever asked for it starts it
        if goes_on:
            self._restart_soon(entry, ran_s)
        elif entry.auto_remove:
            await self.remove(entry, volumes=True)

    def record_end(self, entry: Entry, *, counts: bool = True, **changes: object) -> bool:
        """Commit how it ended and, in the same moment, whether it starts again (returned): an
        engine that is killed right after knows what is left to do.
        """
        ended = msgspec.structs.replace(entry.state, **changes)
        by_user = entry.user_restarts > 0
        goes_on = by_user or wants_restart(entry.record.host_config.restart_policy, ended)
        self.change(
            entry,
            **changes,
            status=Status.RESTARTING if goes_on else Status.EXITED,
            restart_count=entry.state.restart_count + (counts and goes_on and not by_user),
            pid=0,
            conmon_pid=0,
            health=at_end(entry.state.health),
        )
        return goes_on

    def ends_now(
        self, entry: Entry, code: int, *, oom: bool, lost: str = "", at_ns: int = 0
    ) -> tuple[End, ...]:
        """Its ends with the present one; before its control group is taken away."""
        at_ns = at_ns or self._clock_ns()
        peak, limit = peak_and_limit(cgroup_path(entry.record))
        ran_ns = at_ns - parse_time_ns(entry.state.started_at)
        end = End(
            exit_code=code,
            finished_at=rfc3339(at_ns),
            ran_s=round(max(0, ran_ns) / 1e9, 2),
            oom_killed=oom,
            peak_bytes=peak,
            limit_bytes=limit,
            lost=lost,
            request=entry.state.stop_request,
        )
        return with_end(entry.state.ends, end)

    def saw_oom(self, entry: Entry) -> bool:
        """True when a process of it was killed for want of memory since it was started."""
        return (
            entry.state.oom_killed
            or self._conmon.oom_killed(entry.id)
            or oom_kills(cgroup_path(entry.record)) > 0
        )

    def note_oom(self, entry: Entry) -> None:
        """Record and publish an OOM kill in a container that goes on. Idempotent."""
        if entry.active and not entry.state.oom_killed and self._conmon.oom_killed(entry.id):
            self.change(entry, oom_killed=True)
            self.publish(entry, "oom")

    def _ran_s(self, entry: Entry) -> float:
        return max(0.0, (self._clock_ns() - parse_time_ns(entry.state.started_at)) / 1e9)

    # ---- restart policy ------------------------------------------------------------------

    def should_restart(self, entry: Entry) -> bool:
        """After its own end, as `restart.py` reads the policy."""
        return wants_restart(entry.record.host_config.restart_policy, entry.state)

    def restart_later(self, entry: Entry, ran_s: float, *, counts: bool = True) -> None:
        """Start again after a pause that doubles with every quick end; `counts` = for inspect's
        RestartCount and the bound of on-failure.
        """
        count = entry.state.restart_count + counts
        self.change(entry, status=Status.RESTARTING, restart_count=count)
        self._restart_soon(entry, ran_s)

    def _restart_soon(self, entry: Entry, ran_s: float) -> None:
        pause_s = self._backoff.next_pause_s(entry.id, ran_s=ran_s)
        entry.restarts_at_ns = self._clock_ns() + int(pause_s * 1e9)
        entry.restarter = asyncio.create_task(self._restart_after(entry, pause_s))

    async def _restart_after(self, entry: Entry, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        async with entry.lock:
            if entry.state.status is not Status.RESTARTING:
                return
            entry.restarter = None
            try:
                await self._run(entry)
            except (EngineError, OSError) as err:
                log.warning("container=%s restart failed: %s", entry.id[:12], err)
                if entry.state.status is Status.RESTARTING:
                    self.change(entry, status=Status.EXITED)
                failure = err if isinstance(err, EngineError) else SystemFailure(str(err))
                self._failed(entry, failure)
                if self.should_restart(entry):
                    self.restart_later(entry, 0)

    def _stop_restarting(self, entry: Entry) -> bool:
        """Call off a restart that waits. True when there was one."""
        self._cancel_restarter(entry)
        if entry.state.status is Status.RESTARTING:
            self.change(entry, status=Status.EXITED)
            return True
        return False

    @staticmethod
    def _cancel_restarter(entry: Entry) -> None:
        if entry.restarter is not None:
            entry.restarter.cancel()
            entry.restarter = None

    # ---- stop and kill -------------------------------------------------------------------

    def _requested(self, action: str, number: int) -> StopRequest:
        return StopRequest(
            action=action, signal=number, at=rfc3339(self._clock_ns()), by=current_caller()
        )

    def note_forced_removal(self, entry: Entry) -> None:
        """Before it is killed to be removed."""
        request = self._requested("rm -f", signal.SIGKILL)
        self.change(entry, stopped_by_user=True, stop_request=request)

    async def restart(
        self, entry: Entry, *, timeout_s: int | None, signal_name: str | None
    ) -> None:
        """Stop it if it runs, start it; --rm and the policy overlook the end in between.

        On record it is to be started: when the engine is killed meanwhile, the next one does it.
        """
        entry.user_restarts += 1
        try:
            with contextlib.suppress(NotModified):
                await self.stop(entry, timeout_s=timeout_s, signal_name=signal_name, for_good=False)
            with contextlib.suppress(NotModified):  # another restart was first
                await self.start(entry)
        finally:
            entry.user_restarts -= 1
        self.publish(entry, "restart")

    async def stop(
        self,
        entry: Entry,
        *,
        timeout_s: int | None,
        signal_name: str | None,
        for_good: bool = True,
    ) -> None:
        """Raises: NotModified when it does not run."""
        number = parse_signal(signal_name or entry.record.config.stop_signal or "TERM")
        async with entry.lock:  # a restart that has begun is stopped when it runs
            if self._call_off_restart(entry, for_good=for_good):
                self.publish(entry, "stop")
                return
            if not entry.active:
                raise NotModified(f"container {entry.name} is already stopped")
            action = "stop" if for_good else "restart"
            request = self._requested(action, number)
            self.change(entry, stopped_by_user=for_good, stop_request=request)
        patience = entry.record.config.stop_timeout if timeout_s is None else timeout_s
        patience = _DEFAULT_STOP_S if patience is None else patience
        await self._signal(entry, number)
        try:
            await asyncio.wait_for(entry.ended.wait(), None if patience < 0 else patience)
        except TimeoutError:
            request = msgspec.structs.replace(request, killed_after_s=patience)
            self.change(entry, stop_request=request)
            await self.kill_whole(entry)
        self.publish(entry, "stop")

    def _call_off_restart(self, entry: Entry, *, for_good: bool = True) -> bool:
        """False when none waits."""
        if not self._stop_restarting(entry):
            return False
        self.change(entry, stopped_by_user=for_good)
        entry.tell_exit()
        return True

    async def _signal(self, entry: Entry, number: int) -> None:
        """A frozen process would never see it: it goes on."""
        entry.send_signal(number)
        self.publish(entry, "kill", signal=str(number))
        await self._let_go_on(entry)

    async def kill_whole(self, entry: Entry) -> None:
        """SIGKILL and wait for the end; also for what a process outside a pid namespace left."""
        entry.send_signal(signal.SIGKILL)
        await self._let_go_on(entry)
        try:
            await asyncio.wait_for(entry.ended.wait(), _KILL_S)
        except TimeoutError as err:
            raise SystemFailure(
                f"tried to kill container, but did not receive an exit event: {entry.id}",
                hint="a process in it waits for the kernel (D state): see `ps -o pid,stat,wchan`",
            ) from err

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
            self.change(entry, stopped_by_user=True)
        self.change(entry, stop_request=self._requested("kill", number))
        await self._signal(entry, number)
        if number == signal.SIGKILL:
            await self.kill_whole(entry)

    # ---- update --------------------------------------------------------------------------

    async def update(self, entry: Entry, host: HostConfig, limits: Resources | None) -> None:
        """Give it another host config; `limits` are set at once when it runs.

        The row comes last: what the kernel refuses is not on record.
        """
        async with entry.lock:
            if entry.removed or entry.state.status in (Status.REMOVING, Status.DEAD):
                raise Conflict('Container is marked for removal and cannot be "update".')
            if limits is not None and entry.active:
                try:
                    await self._runtime.update(entry.id, limits)
                except EngineError as err:
                    raise type(err)(
                        f"Cannot update container {entry.id}: {err.message}", hint=err.hint
                    ) from err
            entry.record = msgspec.structs.replace(entry.record, host_config=host)
            self._rows.save_record(entry.record)
        self.publish(entry, "update")

    # ---- pause ---------------------------------------------------------------------------

    async def pause(self, entry: Entry) -> None:
        """Freeze it. Raises: Conflict when it does not run or is paused already.

        The row comes last: after a kill in between it goes on, since nobody was told otherwise.
        """
        async with entry.lock:
            if entry.state.status is Status.PAUSED:
                raise Conflict(f"Container {entry.id} is already paused")
            if entry.state.status is Status.RESTARTING:
                raise Conflict(
                    f"Container {entry.id} is restarting, wait until the container is running"
                )
            if not entry.active:
                raise Conflict(
                    f"Container {entry.id} is not running", hint=f"pogu start {entry.name}"
                )
            await self._runtime.pause(entry.id)
            self.change(entry, status=Status.PAUSED)
        self.publish(entry, "pause")

    async def unpause(self, entry: Entry) -> None:
        """Let it go on. Raises: Conflict when it is not paused."""
        if not await self._let_go_on(entry):
            raise Conflict(f"Container {entry.id} is not paused")

    async def _let_go_on(self, entry: Entry) -> bool:
        """False when it was not paused."""
        if entry.state.status is not Status.PAUSED:
            return False
        async with entry.lock:
            if entry.state.status is not Status.PAUSED:
                return False
            await self._runtime.resume(entry.id)
            self.change(entry, status=Status.RUNNING)
        self.publish(entry, "unpause")
        return True

    @asynccontextmanager
    async def frozen(self, entry: Entry) -> AsyncIterator[None]:
        """Hold a running container still inside the block, so that its files can be read as of
        one moment; nobody sees it paused. One that is paused or does not run stays so.
        """
        async with entry.lock:
            running = entry.state.status is Status.RUNNING
            try:
                if running:
                    await self._runtime.pause(entry.id)
                yield
            finally:
                if running:
                    await asyncio.shield(self._runtime.resume(entry.id))

    # ---- removal -------------------------------------------------------------------------

    async def remove(self, entry: Entry, *, volumes: bool) -> None:
        """Remove a container that does not run; the caller holds its lock. Idempotent."""
        if entry.removed:
            return
        self._stop_restarting(entry)
        volumes = volumes or entry.state.removes_volumes
        if (entry.state.status, entry.state.removes_volumes) != (Status.REMOVING, volumes):
            self.change(entry, status=Status.REMOVING, removes_volumes=volumes)
        await self._launcher.release(entry.id)
        trash = self._set_aside(self._launcher.directory(entry.id))
        if volumes:  # before the row: nobody else knows of them
            for mount in entry.record.mounts:
                if mount.type == "volume" and len(mount.name) == 64:
                    with contextlib.suppress(EngineError):
                        self._remove_volume(mount.name)
        self._rows.delete(entry.id, self._remembered(entry))
        entry.removed = True
        self._forget(entry)
        self._backoff.forget(entry.id)
        self.publish(entry, "destroy")
        entry.refuse_attachers(Conflict(f"container {entry.id} was removed"))
        entry.tell_removal()
        self.in_background(in_thread(remove_tree, trash))

    def _remembered(self, entry: Entry) -> RemovedContainer:
        return RemovedContainer(
            id=entry.id,
            name=entry.name,
            image_name=entry.record.image_name,
            program=entry.record.args[0] if entry.record.args else "",
            removed_at=rfc3339(self._clock_ns()),
            memory_bytes=entry.record.host_config.memory,
            state=entry.state,
        )

    def _set_aside(self, directory: Path) -> Path:
        """Rename into tmp/: gone at once, deleted in the background, swept after a kill."""
        trash = Path(tempfile.mkdtemp(dir=self._tmp, prefix="removed-"))
        with contextlib.suppress(FileNotFoundError):
            os.rename(directory, trash / "container")
        crash_point()
        return trash

    def in_background(self, work: object) -> None:
        """Run to its end without anybody waiting; `close` waits."""
        task: asyncio.Task[None] = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def finish_background(self) -> None:
        """Wait for what goes on in the background."""
        await asyncio.gather(*self._background, return_exceptions=True)
