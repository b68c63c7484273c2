"""Edge: the health check of a new container, from flags; and waiting until one is healthy."""

from __future__ import annotations

import time

from pogu.cli.context import Context
from pogu.cli.failure import CliError, UsageError
from pogu.cli.flags import Values
from pogu.cli.moment import duration_s

__all__ = ["health_config", "wait_healthy"]

_TIMES = {
    "health-interval": "Interval",
    "health-timeout": "Timeout",
    "health-start-period": "StartPeriod",
    "health-start-interval": "StartInterval",
}
_OPTIONS = {"health-cmd", "health-retries", *_TIMES}
_LONGEST_PAUSE_S = 0.2


def health_config(values: Values) -> dict[str, object] | None:
    """Return the body's Healthcheck, None when no flag speaks of it. Raises: UsageError."""
    asked = _OPTIONS & values.given
    if values.flag("no-healthcheck"):
        if asked:
            raise UsageError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    if not asked:
        return None
    config: dict[str, object] = {
        field: _duration_ns(name, values.text(name))
        for name, field in _TIMES.items()
        if name in asked
    }
    retries = values.number("health-retries") or 0
    if retries < 0:
        raise UsageError("--health-retries cannot be negative")
    if retries:
        config["Retries"] = retries
    if values.text("health-cmd"):
        config["Test"] = ["CMD-SHELL", values.text("health-cmd")]
    return config


def _duration_ns(name: str, text: str) -> int:
    if text.startswith("-"):
        raise UsageError(f"--{name} cannot be negative")
    seconds = 0.0 if text == "0" else duration_s(text)
    if seconds is None or not text:
        raise UsageError(
            f'invalid argument "{text}" for "--{name}" flag: time: invalid duration "{text}"',
            hint="like 10s, 1m30s or 500ms",
        )
    return round(seconds * 1e9)


def wait_healthy(context: Context, container_id: str, *, timeout_s: int | None) -> None:
    """Return when the container is healthy.

    Raises: CliError with the last probe when it is unhealthy, has ended or takes too long; it is
    left as it is.
    """
    deadline = time.monotonic() + timeout_s if timeout_s else None
    pause_s = 0.01
    while True:
        found = context.get(f"/containers/{container_id}/json")
        state = found["State"] if isinstance(found, dict) else {}
        health = state.get("Health")
        if health and health["Status"] == "healthy":
            return
        short = container_id[:12]
        if not state.get("Running"):
            why = f"it exited with code {state.get('ExitCode')}"
            raise _not_healthy(short, why, health)
        if not health:
            raise CliError(
                f"container {short} has no health check: it cannot become healthy",
                hint="give one with --health-cmd, or HEALTHCHECK in the Dockerfile",
                code=125,
            )
        if health["Status"] == "unhealthy":
            raise _not_healthy(short, "it is unhealthy", health)
        if deadline is not None and time.monotonic() > deadline:
            raise _not_healthy(short, f"not within {timeout_s} s", health)
        time.sleep(pause_s)
        pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)


def _not_healthy(short: str, why: str, health: dict[str, object] | None) -> CliError:
    log = health["Log"] if health else []
    assert isinstance(log, list)
    said = "no probe has ended yet"
    if log:
        output = str(log[-1]["Output"]).strip() or "(no output)"
        said = f"the last probe ended with {log[-1]['ExitCode']}: {output}"
    return CliError(
        f"container {short} did not become healthy: {why}; {said}",
        hint=f"it is left as it is: pogu logs {short}",
    )
