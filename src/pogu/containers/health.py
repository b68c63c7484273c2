"""Format: health checks by Docker's rules: what is probed, when, what a result means. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from pogu.model.container import HealthConfig

__all__ = [
    "Health",
    "HealthCheck",
    "HealthStatus",
    "ProbeResult",
    "after_probe",
    "at_end",
    "at_start",
    "bounded_output",
    "check_of",
    "go_duration",
    "pause_ns",
]

_SECOND_NS = 1_000_000_000
_KEPT = 5
_MAX_OUTPUT = 4096
_SHELL = ("/bin/sh", "-c")


class HealthStatus(StrEnum):
    """Docker's words. A container without a check has none of them (`none` in filters)."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One line of State.Health.Log; 0 = healthy, -1 = it could not run or took too long."""

    start: str
    end: str
    exit_code: int
    output: str


class Health(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """State.Health; `log` has the last probes, oldest first."""

    status: HealthStatus = HealthStatus.STARTING
    failing_streak: int = 0
    log: tuple[ProbeResult, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """A check with Docker's defaults filled in."""

    command: tuple[str, ...]
    interval_ns: int = 30 * _SECOND_NS
    timeout_ns: int = 30 * _SECOND_NS
    start_period_ns: int = 0
    start_interval_ns: int = 5 * _SECOND_NS
    retries: int = 3


def check_of(
    config: HealthConfig | None, shell: tuple[str, ...] | None = None
) -> HealthCheck | None:
    """Return the check, None when the container has none (`NONE`, or nothing to run)."""
    test = config.test if config is not None else None
    if config is None or not test or test[0] not in ("CMD", "CMD-SHELL") or len(test) < 2:
        return None
    words = test[1:] if test[0] == "CMD" else (*(shell or _SHELL), test[1])
    return HealthCheck(
        command=words,
        interval_ns=config.interval or 30 * _SECOND_NS,
        timeout_ns=config.timeout or 30 * _SECOND_NS,
        start_period_ns=config.start_period,
        start_interval_ns=config.start_interval or 5 * _SECOND_NS,
        retries=config.retries or 3,
    )


def at_start(check: HealthCheck | None, before: Health | None = None) -> Health | None:
    """The health of a container that starts; its log goes on."""
    return None if check is None else Health(log=before.log if before is not None else ())


def at_end(health: Health | None) -> Health | None:
    """Of a container that ended: nothing is healthy that does not run."""
    if health is None:
        return None
    return msgspec.structs.replace(health, status=HealthStatus.UNHEALTHY)


def pause_ns(check: HealthCheck, health: Health, *, running_ns: int) -> int:
    """How long to wait before the next probe."""
    in_start_period = running_ns < check.start_period_ns
    if in_start_period and health.status is HealthStatus.STARTING:
        return check.start_interval_ns
    return check.interval_ns


def after_probe(
    check: HealthCheck, health: Health, result: ProbeResult, *, running_ns: int
) -> Health:
    """The health after a probe that began when the container had run for `running_ns`.

    In the start period failures do not count, until one probe has succeeded.
    """
    status, streak = health.status, health.failing_streak
    if result.exit_code == 0:
        status, streak = HealthStatus.HEALTHY, 0
    elif status is not HealthStatus.STARTING or running_ns >= check.start_period_ns:
        streak += 1
        if streak >= check.retries:
            status = HealthStatus.UNHEALTHY
    log = (*health.log, result)[-_KEPT:]
    return Health(status=status, failing_streak=streak, log=log)


def bounded_output(output: bytes) -> str:
    """What is kept of a probe's output."""
    text = output[:_MAX_OUTPUT].decode(errors="replace")
    return text + "..." if len(output) > _MAX_OUTPUT else text


def go_duration(duration_ns: int) -> str:
    """Return `1m30s`, `500ms` as Go prints them."""
    if duration_ns < _SECOND_NS:
        return f"{duration_ns / 1_000_000:g}ms"
    minutes, rest_ns = divmod(duration_ns, 60 * _SECOND_NS)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest_ns / _SECOND_NS:g}s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds
