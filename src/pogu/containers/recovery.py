"""Service: after the engine was away: rows and reality are brought together again.

For each container: its monitor lives → adopt it; it ended meanwhile → record the exit code that
the monitor wrote; it was between two states → finish what was begun. What no row names goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from pogu.config import Paths
from pogu.containers.bundles import Bundles
from pogu.containers.ends import End
from pogu.containers.entry import Entry
from pogu.containers.launch import Launcher
from pogu.containers.lifecycle import Lifecycle
from pogu.containers.model import Status, parse_time_ns
from pogu.containers.remap import sweep_remapped
from pogu.containers.removal import Removal
from pogu.containers.states import States
from pogu.containers.subpath import sweep_subpaths
from pogu.containers.view import sweep_views
from pogu.errors import SystemFailure
from pogu.images.image import rfc3339
from pogu.linux.cgroup_usage import read_group_of
from pogu.linux.process_stat import stat_fields
from pogu.linux.spawn import wait_pidfd
from pogu.runtime.conmon import Conmon
from pogu.runtime.oci_runtime import OciRuntime, RuntimeState
from pogu.runtime.strays import end_unfinished
from pogu.storage.overlay import unmount

__all__ = ["Recovery"]

log = logging.getLogger(__name__)

_NOT_OURS = ("build-", "pogu-probe-")
"""Prefixes of what the builder and the probe run; they sweep it themselves."""

_END_S = 2.0
"""For a monitor to end by itself; it may stand still."""

_LIVING = ("running", "paused")

_LOST_EXIT_CODE = 255
"""Docker's, for a container whose end nobody saw (the host went down)."""


class Recovery:
    """Used once, at engine start."""

    def __init__(
        self,
        *,
        paths: Paths,
        states: States,
        lifecycle: Lifecycle,
        removal: Removal,
        bundles: Bundles,
        launcher: Launcher,
        runtime: OciRuntime,
        conmon: Conmon,
    ) -> None:
        self._paths = paths
        self._states = states
        self._lifecycle = lifecycle
        self._removal = removal
        self._bundles = bundles
        self._launcher = launcher
        self._runtime = runtime
        self._conmon = conmon
        self._boot_marker = paths.run_root / "booted"
        self._is_first_since_boot = True
        self._monitors: dict[str, int] = {}
        """Found in /proc, for those whose file is gone or was never written."""
        self._known: dict[str, Entry] = {}
        self._due: list[Entry] = []
        """To be started."""

    async def recover(
        self,
        entries: Iterable[Entry],
        *,
        before_starts: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Bring every container into a true state, then start what must run. Idempotent.

        `before_starts` takes away what others keep for containers that do not run: it would take
        it from one that is just starting, too.
        """
        sweep_subpaths(self._paths)
        sweep_views(self._paths)
        self._is_first_since_boot = self._is_new_boot()
        known = self._known = {entry.id: entry for entry in entries}
        sweep_remapped(self._paths, known)
        states = await self._runtime_states()
        self._check_root(known, states)
        for entry in known.values():
            conmon_pid = self._monitor(entry.id)
            state = states.get(entry.id) or _by_the_row(entry, conmon_pid)
            started = state is not None and state.status in _LIVING
            if conmon_pid and started and state is not None:
                await self._adopt(entry, state, conmon_pid)
            else:
                await self._settle(entry, conmon_pid)
        for container_id in (states.keys() | self._monitors.keys()) - known.keys():
            if not container_id.startswith(_NOT_OURS):
                await self._sweep(container_id)
        self._sweep_directories(known.keys())
        if before_starts is not None:
            await before_starts()
        for entry in self._due:
            # Whoever stopped it before: its policy holds again, when the start fails too.
            self._states.change(entry, stopped_by_user=False)
            self._lifecycle.restart_later(entry, 0, counts=False)
        self._due.clear()
        self._mark_boot()  # at the end: an engine that is killed before leaves it to the next

    async def _runtime_states(self) -> dict[str, RuntimeState]:
        """What the runtime knows, when nothing that the last engine began is under way any more."""
        running = {state.id for state in await self._runtime.list() if state.status in _LIVING}
        self._monitors = await end_unfinished(
            self._paths,
            lambda container_id: container_id in running or self._monitor(container_id),
        )
        return {state.id: state for state in await self._runtime.list()}

    def _check_root(self, known: Mapping[str, Entry], states: Mapping[str, RuntimeState]) -> None:
        """Refuse to end containers because a storage root is not mounted."""
        strays = [
            state.id
            for state in states.values()
            if state.status == "running" and not state.id.startswith(_NOT_OURS)
        ]
        if strays and not known:
            raise SystemFailure(
                f"{self._paths.root} knows no containers, yet {len(strays)} of its containers run",
                hint="is the file system of the storage root mounted? To end them all the same:"
                f" remove {self._paths.runtime_state} after killing them",
            )

    def _mark_boot(self) -> None:
        """Remember that what a boot asks for was done.

        Docker starts stopped `always` containers whenever its daemon starts; our engine leaves
        when it is idle, so only a boot counts: that of the kernel, or of the machine container
        that we live in (the start of its first process).
        """
        unfinished = self._boot_marker.with_suffix(".new")
        unfinished.write_text(_boot())
        unfinished.rename(self._boot_marker)

    def _is_new_boot(self) -> bool:
        try:
            return self._boot_marker.read_text() != _boot()
        except FileNotFoundError:
            return True

    def _monitor(self, container_id: str) -> int:
        """The pid of its living monitor, else 0."""
        path = self._paths.run_containers / container_id / "conmon.pid"
        try:
            pid = int(path.read_text())
        except (OSError, ValueError):
            pid = self._monitors.get(container_id, 0)
        if not pid and container_id in self._known:
            pid = self._known[container_id].state.conmon_pid
        return pid if pid and self._conmon.is_alive(pid, container_id) else 0

    async def _adopt(self, entry: Entry, state: RuntimeState, conmon_pid: int) -> None:
        if not entry.active:
            # Killed between the runtime's start and our commit, or a row older than the process.
            entry.state = type(entry.state)(
                status=Status.RUNNING, started_at=rfc3339(time.time_ns())
            )
        paused = state.status == "paused"
        if paused and entry.state.status is not Status.PAUSED:
            await self._runtime.resume(entry.id)  # nobody was told that it is paused
        status = Status.PAUSED if paused and entry.state.status is Status.PAUSED else Status.RUNNING
        self._states.change(
            entry,
            status=status,
            pid=state.pid,
            conmon_pid=conmon_pid,
            cgroup=read_group_of(state.pid, entry.id),
        )
        entry.ended.clear()
        entry.hold_process()
        self._lifecycle.watch(entry)

    async def _settle(self, entry: Entry, conmon_pid: int) -> None:
        """It does not run: record its end if it ran, take away what is left of it."""
        if not self._bundles.directory(entry.id).exists():
            log.warning("container=%s has no directory: its removal is finished", entry.id[:12])
            async with entry.lock:
                if entry.active:  # somebody else removed it, or an old database was put back
                    await self._launcher.release(entry.id)
                    self._states.not_started(entry)
                await self._removal.take_away(entry, volumes=entry.auto_remove)
            return
        ran = entry.state.status in (Status.RUNNING, Status.PAUSED)
        code = self._conmon.exit_code(entry.id)
        finished = self._exit_time_ns(entry.id)
        knew, oom = entry.state.oom_killed, self._states.saw_oom(entry, code)
        ends = self._ends(entry, code, oom=oom, finished_ns=finished) if ran else ()
        await self._launcher.release(entry.id)
        if conmon_pid:
            await _end_process(conmon_pid)
            if ran and code is None:
                code = self._conmon.exit_code(entry.id)
            self._conmon.forget(entry.id)
        if ran:
            ended = finished or time.time_ns()
            self._states.record_end(
                entry,
                counts=not self._is_first_since_boot,
                exit_code=_LOST_EXIT_CODE if code is None else code,
                oom_killed=oom,
                finished_at=rfc3339(max(ended, parse_time_ns(entry.state.started_at))),
                ends=ends,
            )
            if oom and not knew:
                self._states.publish(entry, "oom")
            self._states.publish(entry, "die", exitCode=str(entry.state.exit_code))
        entry.ended.set()
        await self._go_on(entry)

    def _ends(
        self, entry: Entry, code: int | None, *, oom: bool, finished_ns: int
    ) -> tuple[End, ...]:
        """With this one; an end without a code was seen by nobody."""
        lost = "" if code is not None else "host" if self._is_first_since_boot else "monitor"
        code = _LOST_EXIT_CODE if code is None else code
        return self._states.ends_now(entry, code, oom=oom, lost=lost, at_ns=finished_ns)

    async def _go_on(self, entry: Entry) -> None:
        """What the engine would have done next."""
        status = entry.state.status
        ended = status is Status.EXITED and entry.auto_remove
        if ended or status in (Status.REMOVING, Status.DEAD):
            async with entry.lock:
                await self._removal.take_away(entry, volumes=entry.auto_remove)
        elif status is Status.RESTARTING or self._boot_wants(entry):
            self._due.append(entry)

    def _boot_wants(self, entry: Entry) -> bool:
        """Whatever its policy wants up, though it was down before."""
        if entry.state.status is not Status.EXITED or not self._is_first_since_boot:
            return False
        policy = entry.record.host_config.restart_policy.name
        return policy == "always" or self._states.should_restart(entry)

    def _exit_time_ns(self, container_id: str) -> int:
        try:
            return os.stat(self._paths.exits / container_id).st_mtime_ns
        except FileNotFoundError:
            return 0

    async def _sweep(self, container_id: str) -> None:
        log.warning("container=%s has no row any more: removed", container_id[:12])
        conmon_pid = self._monitor(container_id)
        await self._launcher.release(container_id)
        if conmon_pid:
            await _end_process(conmon_pid)

    def _sweep_directories(self, known: Iterable[str]) -> None:
        names = set(known)
        for entry in os.scandir(self._paths.containers):
            if entry.name not in names:
                unmount(Path(entry.path) / "rootfs")
                os.rename(entry.path, self._paths.tmp / f"removed-{entry.name}")
        for path in self._paths.run_root.glob("update-*.json"):
            path.unlink()
        for directory in (self._paths.run_containers, self._paths.exits):
            for entry in os.scandir(directory):
                if entry.name not in names and not self._monitor(entry.name):
                    self._conmon.forget(entry.name)


def _by_the_row(entry: Entry, conmon_pid: int) -> RuntimeState | None:
    """What runs though the run root was wiped (by who cleans /run or /tmp): no runtime knows it any
    more, yet the process on record is still its monitor's child.
    """
    pid = entry.state.pid
    if not (entry.active and conmon_pid and pid and _parent_of(pid) == conmon_pid):
        return None
    log.warning("container=%s: its files in the run root are gone; it runs on", entry.id[:12])
    status = "paused" if entry.state.status is Status.PAUSED else "running"
    return RuntimeState(id=entry.id, status=status, pid=pid)


def _parent_of(pid: int) -> int:
    try:
        return int(stat_fields(pid)[1])
    except OSError:
        return 0


def _boot() -> str:
    """Name this boot."""
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {stat_fields(1)[19]}\n"


async def _end_process(pid: int) -> None:
    """A monitor whose container is deleted ends by itself; one that does not is ended."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wait_pidfd(pid), _END_S)
            return
