"""Service: the only place that changes a container's state, commits it, and tells of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import msgspec

from pogu.containers.ends import End, with_end
from pogu.containers.entry import Entry
from pogu.containers.health import Health, at_end
from pogu.containers.model import LEGAL, Status, parse_time_ns
from pogu.containers.restart import wants_restart
from pogu.containers.rows import Rows
from pogu.errors import EngineError, SystemFailure
from pogu.events import EventBus
from pogu.images.image import rfc3339
from pogu.linux.cgroup_usage import oom_kills, peak_and_limit
from pogu.linux.kernel_log import OomKill, find_oom_kill, read_kernel_log
from pogu.runtime.conmon import Conmon
from pogu.runtime.failure import start_exit_code

__all__ = ["States"]

log = logging.getLogger(__name__)


class States:
    """Plain methods, event-loop thread only."""

    def __init__(
        self,
        *,
        rows: Rows,
        events: EventBus,
        conmon: Conmon,
        clock_ns: Callable[[], int] = time.time_ns,
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`steady_s` is a clock that nobody sets: for how long, never for when."""
        self._rows = rows
        self._events = events
        self._conmon = conmon
        self.clock_ns = clock_ns
        self._steady_s = steady_s

    def now(self) -> str:
        """The time as records have it."""
        return rfc3339(self.clock_ns())

    def change(self, entry: Entry, **changes: object) -> None:
        """Set fields of the state and commit it."""
        status = changes.get("status", entry.state.status)
        if status != entry.state.status and status not in LEGAL[entry.state.status]:
            raise SystemFailure(f"container {entry.id}: {entry.state.status} cannot be {status}")
        state = msgspec.structs.replace(entry.state, **changes)
        self._rows.save_state(entry.id, state)  # what could not be written did not happen
        entry.state = state
        entry.unsaved = False

    def save(self, entry: Entry) -> None:
        """Write what is true already. Raises: SystemFailure."""
        self.change(entry)

    def settle(self, entry: Entry, **changes: object) -> None:
        """Take what happened for true, though it cannot be written: then the entry is `unsaved`.

        The next change that can be written brings it along.
        """
        entry.state, entry.unsaved = msgspec.structs.replace(entry.state, **changes), True
        try:
            self.save(entry)
        except SystemFailure as err:
            log.error("container=%s: its state is not written yet: %s", entry.id[:12], err)

    def publish(self, entry: Entry, action: str, **attributes: str) -> None:
        """Publish an event with Docker's attributes: labels, image and name."""
        self._publish(entry, action, attributes, recurring=False)

    def publish_recurring(self, entry: Entry, action: str, **attributes: str) -> None:
        """As `publish`, what happens of itself again and again."""
        self._publish(entry, action, attributes, recurring=True)

    def _publish(
        self, entry: Entry, action: str, attributes: dict[str, str], *, recurring: bool
    ) -> None:
        labels = entry.record.config.labels or {}
        known = {**labels, "image": entry.record.image_name, "name": entry.name}
        self._events.publish(
            "container", action, entry.id, {**known, **attributes}, recurring=recurring
        )

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

    # ---- out of memory -------------------------------------------------------------------

    def saw_oom(self, entry: Entry, code: int | None) -> bool:
        """True when the kernel killed a process of it for want of memory in the run that ended.

        There is much of its log: it is asked last, and not of one that ended well or on request.
        """
        if entry.state.oom_killed or self._conmon.oom_killed(entry.id):
            return True
        counted = oom_kills(entry.state.cgroup)
        if counted is not None:
            return counted > 0
        return code != 0 and not entry.state.stop_request and _logged(entry) is not None

    def note_oom(self, entry: Entry, *, look: bool) -> None:
        """Record and publish an OOM kill in a container that goes on. Idempotent.

        `look`: at its own group too. conmon looks away for good when a group of v2 only came close.
        """
        if not entry.active or entry.state.oom_killed:
            return
        if self._conmon.oom_killed(entry.id) or (look and oom_kills(entry.state.cgroup)):
            self.change(entry, oom_killed=True)
            self.publish(entry, "oom")

    # ---- the end -------------------------------------------------------------------------

    def record_failure(self, entry: Entry, err: EngineError) -> None:
        """Why it could not be started, with Docker's exit codes."""
        code = start_exit_code(err.message)
        end = End(exit_code=code, finished_at=self.now(), error=err.message)
        self.settle(
            entry,
            exit_code=code,
            error=err.message,
            hint=err.hint or "",
            stop_request=None,
            ends=with_end(entry.state.ends, end),
        )

    def not_started(self, entry: Entry) -> None:
        """Nothing of it is left."""
        self.settle(entry, status=Status.EXITED, pid=0, conmon_pid=0)

    def record_end(self, entry: Entry, *, counts: bool = True, **changes: object) -> bool:
        """Commit how it ended and, in the same moment, whether it starts again (returned): an
        engine that is killed right after knows what is left to do.
        """
        ended = msgspec.structs.replace(entry.state, **changes)
        by_user = entry.user_restarts > 0
        goes_on = by_user or wants_restart(entry.record.host_config.restart_policy, ended)
        self.settle(
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
        ran_s = self.ran_s(entry)
        if at_ns:  # nobody watched it end
            ran_s = max(0, at_ns - parse_time_ns(entry.state.started_at)) / 1e9
        peak, limit = peak_and_limit(entry.state.cgroup)
        if oom and not peak and (logged := _logged(entry)) and logged.at_limit:
            peak = limit = entry.record.host_config.memory or 0
        end = End(
            exit_code=code,
            finished_at=rfc3339(at_ns or self.clock_ns()),
            ran_s=round(ran_s, 2),
            oom_killed=oom,
            peak_bytes=peak,
            limit_bytes=limit,
            lost=lost,
            request=entry.state.stop_request,
        )
        return with_end(entry.state.ends, end)

    def ran_s(self, entry: Entry) -> float:
        """How long this run has lasted, whatever the host's clock was set to meanwhile."""
        if not entry.began_s:
            self.began(entry)
        return self._steady_s() - entry.began_s

    def began(self, entry: Entry) -> None:
        """Its run begins now, or, for one that is adopted, began when the record says."""
        ago_ns = self.clock_ns() - parse_time_ns(entry.state.started_at)
        entry.began_s = self._steady_s() - max(0.0, ago_ns / 1e9)

    # ---- a restart that waits ------------------------------------------------------------

    def should_restart(self, entry: Entry) -> bool:
        """After its own end, as `restart.py` reads the policy."""
        return wants_restart(entry.record.host_config.restart_policy, entry.state)

    def stop_restarting(self, entry: Entry) -> bool:
        """Call off a restart that waits. True when there was one."""
        entry.cancel_restarter()
        if entry.state.status is Status.RESTARTING:
            self.settle(entry, status=Status.EXITED)
            return True
        return False


def _logged(entry: Entry) -> OomKill | None:
    """What the kernel's log says of the present run."""
    if not entry.state.pid:
        return None
    return find_oom_kill(read_kernel_log(), container_id=entry.id, pid=entry.state.pid)
