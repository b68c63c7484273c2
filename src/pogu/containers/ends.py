"""Format: how runs of a container ended, and who asked for it: part of its state."""

from __future__ import annotations

import msgspec

__all__ = ["Caller", "End", "StopRequest", "with_end"]

_KEPT = 5


class Caller(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """A client of the engine, as the kernel knows it (SO_PEERCRED); pid 0 = not of this host's
    process tree, a container that was given the socket."""

    pid: int
    uid: int
    command: str = ""
    parent: str = ""
    """The name of the process that started it: a shell, cron, systemd."""


class StopRequest(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """The last signal that was sent by way of the engine."""

    action: str
    """`stop`, `kill`, `restart` or `rm -f`."""
    signal: int
    at: str
    by: Caller | None = None
    killed_after_s: int | None = None
    """The stop signal was not enough: SIGKILL came after so long."""


class End(msgspec.Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """One run that ended, or a start that failed (`error`)."""

    exit_code: int
    finished_at: str
    ran_s: float = 0.0
    error: str = ""
    oom_killed: bool = False
    peak_bytes: int = 0
    """Most memory that it had; 0 = not known."""
    limit_bytes: int = 0
    lost: str = ""
    """`host` or `monitor`: nobody saw the end, because that went down."""
    request: StopRequest | None = None


def with_end(ends: tuple[End, ...], end: End) -> tuple[End, ...]:
    """The ends that are kept, newest last."""
    return (*ends, end)[-_KEPT:]
