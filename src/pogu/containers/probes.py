"""Service: the health checks of running containers: one task each, for as long as it runs.

Every result is kept in memory; what changes (status, streak) is committed, so that the next engine
goes on where this one was.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from pogu.containers.entry import Entry
from pogu.containers.execution import ExecRequest
from pogu.containers.health import (
    Health,
    HealthCheck,
    ProbeResult,
    after_probe,
    at_start,
    bounded_output,
    check_of,
    go_duration,
    pause_ns,
)
from pogu.containers.model import Status
from pogu.errors import EngineError
from pogu.images.image import rfc3339
from pogu.runtime.exec import ExecProcess, Sink

__all__ = ["Probes"]

log = logging.getLogger(__name__)

_KEPT_BYTES = 4097
"""One more than is shown: the end of the shown text says that there was more."""
_KILLED_S = 5.0
_FAILED = -1


class Prober(Protocol):
    """What runs probes: `Execs`."""

    def spec(self, entry: Entry, request: ExecRequest) -> bytes: ...

    async def run(self, entry: Entry, spec: bytes, *, sink: Sink | None) -> ExecProcess: ...


class Probes:
    """`watch` is run beside a running container and cancelled at its end."""

    def __init__(
        self,
        *,
        prober: Prober,
        note: Callable[[Entry, Health], None],
        publish: Callable[[Entry, str], None],
        publish_exec: Callable[..., None],
        ran_s: Callable[[Entry], float],
        clock_ns: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`note` keeps a new health; `publish` tells of a change, `publish_exec` of each probe;
        `ran_s` is how long the container has run.
        """
        self._prober = prober
        self._note = note
        self._publish = publish
        self._publish_exec = publish_exec
        self._ran_s = ran_s
        self._clock_ns = clock_ns
        self._sleep = sleep

    async def watch(self, entry: Entry) -> None:
        """Probe again and again; returns at once when the container has no health check."""
        config = entry.record.config
        check = check_of(config.healthcheck, config.shell)
        if check is None:
            return
        while True:
            health = entry.state.health or Health()
            running_ns = self._running_ns(entry)
            await self._sleep(pause_ns(check, health, running_ns=running_ns) / 1e9)
            if entry.state.status is not Status.RUNNING:
                continue  # a frozen container answers nothing
            try:
                await self._probe_once(entry, check)
            except Exception:
                log.exception("container=%s: its health check broke off", entry.id[:12])

    def _running_ns(self, entry: Entry) -> int:
        return int(self._ran_s(entry) * 1e9)

    async def _probe_once(self, entry: Entry, check: HealthCheck) -> None:
        running_ns = self._running_ns(entry)
        result = await self._probe(entry, check)
        if entry.state.status is not Status.RUNNING:
            return  # frozen meanwhile: the probe says nothing
        health = entry.state.health or at_start(check)
        assert health is not None
        now = after_probe(check, health, result, running_ns=running_ns)
        self._note(entry, now)
        if now.status is not health.status:
            self._publish(entry, f"health_status: {now.status}")

    async def _probe(self, entry: Entry, check: HealthCheck) -> ProbeResult:
        begin_ns = self._clock_ns()
        said = bytearray()

        async def keep(_stream: int, data: bytes) -> None:
            said.extend(data[: max(0, _KEPT_BYTES - len(said))])

        try:
            code = await self._run(entry, check, keep)
        except TimeoutError:
            code, text = _FAILED, f"Health check exceeded timeout ({go_duration(check.timeout_ns)})"
            said[:0] = (text + (": " if said else "")).encode()
        except EngineError as err:
            code, said = _FAILED, bytearray(err.message.encode())
        return ProbeResult(
            start=rfc3339(begin_ns),
            end=rfc3339(self._clock_ns()),
            exit_code=code,
            output=bounded_output(bytes(said)),
        )

    async def _run(self, entry: Entry, check: HealthCheck, keep: Sink) -> int:
        """Raises: TimeoutError after the probe was killed; EngineError when it cannot run."""
        spec = self._prober.spec(entry, ExecRequest(cmd=check.command))
        exec_id, words = secrets.token_hex(32), " ".join(check.command)
        for action in ("exec_create", "exec_start"):
            self._publish_exec(entry, f"{action}: {words}", execID=exec_id)
        process = await self._prober.run(entry, spec, sink=keep)
        ended = functools.partial(self._publish_exec, entry, "exec_die", execID=exec_id)
        try:
            code = await asyncio.wait_for(process.wait(), check.timeout_ns / 1e9)
            ended(exitCode=str(code))
            return code
        except TimeoutError:
            process.kill()
            try:
                ended(exitCode=str(await asyncio.wait_for(process.wait(), _KILLED_S)))
            except (TimeoutError, EngineError):
                log.warning("container=%s: a probe does not end", entry.id[:12])
            raise
        except asyncio.CancelledError:
            process.kill()
            raise
