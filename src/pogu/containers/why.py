"""Service: gathers the facts of why a container is as it is; `cause.py` decides."""

from __future__ import annotations

import contextlib
import os
import pwd
import time
from collections.abc import Callable

import msgspec

from pogu.config import Paths
from pogu.containers.cause import Cause, Facts, cause_of
from pogu.containers.ends import End
from pogu.containers.entry import Entry
from pogu.containers.logs import ContainerLogs
from pogu.containers.model import ContainerState, Status, parse_time_ns
from pogu.containers.registry import Registry
from pogu.containers.rows import RemovedContainer, Rows
from pogu.errors import NotFound, SystemFailure
from pogu.linux.blocking import in_thread

__all__ = ["Explainer", "Explanation"]

_LINES = 8


class Explanation(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """The answer of `GET /pogu/why/{name}`. `ends` are the ends before the present state's."""

    id: str
    name: str
    image: str
    status: str
    exit_code: int
    started_at: str
    finished_at: str
    removed_at: str = ""
    kind: str
    cause: str
    evidence: tuple[str, ...]
    hint: str
    log: tuple[str, ...] = ()
    policy: str = ""
    restart_count: int = 0
    retries: int = 0
    """Of on-failure; 0 = without end."""
    next_try_s: float = 0.0
    ends: tuple[End, ...] = ()


class Explainer:
    """Asks the registry, the rows of what was removed, and the log."""

    def __init__(
        self,
        *,
        paths: Paths,
        registry: Registry,
        rows: Rows,
        logs: ContainerLogs,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._paths = paths
        self._registry = registry
        self._rows = rows
        self._logs = logs
        self._clock_ns = clock_ns

    async def explain(self, name: str) -> Explanation:
        """Also of a container that was removed lately. Raises: NotFound, InvalidParameter."""
        try:
            entry = self._registry.find(name)
        except NotFound:
            removed = self._rows.removed(name.removeprefix("/"))
            if removed is None:
                raise
            return _of_removed(removed)
        return await self._of(entry)

    async def _of(self, entry: Entry) -> Explanation:
        host, state = entry.record.host_config, entry.state
        waits_ns = entry.restarts_at_ns - self._clock_ns()
        facts = Facts(
            name=entry.name,
            program=entry.record.args[0] if entry.record.args else "",
            state=state,
            policy=host.restart_policy.name,
            waits_s=max(0.0, waits_ns / 1e9) if state.status is Status.RESTARTING else 0.0,
            log=await self._last_lines(entry),
            terminal=entry.record.config.tty,
            own_pids=host.pid_mode in ("", "private"),
            memory_bytes=host.memory,
            free_bytes=await in_thread(self._free_bytes),
            user_name=_user_name,
        )
        return msgspec.structs.replace(
            _explanation(facts, cause_of(facts), id=entry.id, image=entry.record.image_name),
            log=facts.log,
            policy=facts.policy,
            retries=host.restart_policy.maximum_retry_count,
            next_try_s=round(facts.waits_s, 1),
        )

    async def _last_lines(self, entry: Entry) -> tuple[str, ...]:
        """Of the last run."""
        since_ns = parse_time_ns(entry.state.started_at)
        with contextlib.suppress(SystemFailure):  # whoever asks why is answered without, too
            return tuple(await self._logs.last_lines(entry, _LINES, since_ns=since_ns))
        return ()

    def _free_bytes(self) -> int:
        with contextlib.suppress(OSError):
            found = os.statvfs(self._paths.root)
            return found.f_bavail * found.f_frsize
        return -1


def _of_removed(removed: RemovedContainer) -> Explanation:
    ended = msgspec.structs.replace(removed.state, status=Status.EXITED)
    facts = Facts(
        name=removed.name,
        program=removed.program,
        state=ended,
        memory_bytes=removed.memory_bytes,
        user_name=_user_name,
    )
    cause = _never_ran() if _has_no_end(removed.state) else cause_of(facts)
    found = _explanation(facts, cause, id=removed.id, image=removed.image_name)
    return msgspec.structs.replace(
        found,
        status="removed",
        removed_at=removed.removed_at,
        hint="" if cause.kind == "asked" else found.hint,
    )


def _has_no_end(state: ContainerState) -> bool:
    return not state.ends and not state.error


def _never_ran() -> Cause:
    return Cause(kind="created", text="it was removed before it was ever started")


def _explanation(facts: Facts, cause: Cause, *, id: str, image: str) -> Explanation:
    state = facts.state
    is_over = state.status not in (Status.RUNNING, Status.PAUSED)
    return Explanation(
        id=id,
        name=facts.name,
        image=image,
        status=state.status.value,
        exit_code=state.exit_code,
        started_at=state.started_at,
        finished_at=state.finished_at,
        kind=cause.kind,
        cause=cause.text,
        evidence=cause.evidence,
        hint=cause.hint,
        restart_count=state.restart_count,
        ends=state.ends[:-1] if is_over else state.ends,
    )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
