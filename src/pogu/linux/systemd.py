"""Edge: systemd, where it is the first process; a scope for ourselves (systemd.scope(5)).

A process that a command started belongs to the control group of whoever ran the command: a login,
a job of a CI runner. When that unit stops, systemd kills all that is in it.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from pogu.errors import CommandFailed, SystemFailure
from pogu.linux.process import run

__all__ = ["attach_argv", "is_first_process", "move_to_scope", "scope_argv"]

_CALL = (
    *("busctl", "--system", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"),
    "org.freedesktop.systemd1.Manager",
)
_TIMEOUT_S = 5.0
_TRIES = 3


def is_first_process(root: Path = Path("/")) -> bool:
    """True when systemd manages this host, seen from a process whose pids are systemd's too.

    /run alone says nothing: a container may have the host's, and pids of its own.
    """
    try:
        return (root / "run/systemd/system").is_dir() and (
            (root / "proc/1/comm").read_text().strip() == "systemd"
        )
    except OSError:
        return False


def scope_argv(unit: str, pid: int, description: str) -> list[str]:
    """The call that makes a scope with one process; it fails where there is one of that name.

    Without default dependencies a shutdown does not end it before those that it looks after; only
    where it is delegated may others be taken in.
    """
    properties = (
        *("Description", "s", description),
        *("Slice", "s", "system.slice"),
        *("DefaultDependencies", "b", "false"),
        *("Delegate", "b", "true"),
        *("CollectMode", "s", "inactive-or-failed"),
        *("TasksMax", "t", str(2**64 - 1)),
        *("PIDs", "au", "1", str(pid)),
    )
    return [*_CALL, "StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", "7", *properties, "0"]


def attach_argv(unit: str, pid: int) -> list[str]:
    """The call that takes a process into a scope that runs."""
    return [*_CALL, "AttachProcessesToUnit", "ssau", unit, "/", "1", str(pid)]


async def move_to_scope(unit: str, description: str) -> None:
    """Leave the control group that we were started in for a scope of system.slice. Idempotent.

    What is started from now on is in it too, and keeps it when we are gone. Raises: SystemFailure.
    """
    pid = os.getpid()
    said = ""
    for _ in range(_TRIES):  # the one that there is may be ending just now
        for argv in (scope_argv(unit, pid, description), attach_argv(unit, pid)):
            try:
                await run(argv, timeout_s=_TIMEOUT_S)
            except CommandFailed as err:
                said = err.message
                continue
            if await _arrives(unit):
                return
    raise SystemFailure(f"cannot move the engine to {unit}: {said}")


async def _arrives(unit: str) -> bool:
    """systemd answers before it has done it."""
    for _ in range(200):
        if f"/{unit}" in Path("/proc/self/cgroup").read_text():
            return True
        await asyncio.sleep(0.005)
    return False
