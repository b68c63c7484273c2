"""Edge: which processes the kernel killed for want of memory, by its own log (syslog(2)).

systemd removes a scope with its last process, and what the group counted goes with it: the log is
all that is left of an OOM kill that ended a container. It is a ring, so old records are lost, and
in a container there is none.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass

from pogu.linux.libc import libc

__all__ = ["OomKill", "find_oom_kill", "read_kernel_log"]

_READ_ALL, _SIZE_BUFFER = 3, 10
_SUMMARY = re.compile(rb"oom-kill:constraint=(\w+),.*\bpid=(\d+)")
_VICTIM = re.compile(rb"(Memory cgroup out|Out) of memory: Killed process (\d+) ")


@dataclass(frozen=True, slots=True)
class OomKill:
    """`at_limit` = of a control group; else the host had no more."""

    at_limit: bool


def read_kernel_log() -> bytes:
    """Return what the kernel still has; empty where it gives nothing to us."""
    size = max(0, libc.klogctl(_SIZE_BUFFER, None, 0))
    buffer = ctypes.create_string_buffer(size)
    length = max(0, libc.klogctl(_READ_ALL, buffer, size))
    return buffer.raw[:length]


def find_oom_kill(log: bytes, *, container_id: str, pid: int) -> OomKill | None:
    """Return the last kill in the run of a container whose first process was `pid`. Pure.

    A victim with a lower number is of an earlier run. The summary that names the group is left out
    by the kernel when many are killed at once; then only the first process is known by its number.
    """
    found = None
    for line in log.splitlines():
        if container_id.encode() in line and (summary := _SUMMARY.search(line)):
            if int(summary[2]) >= pid:
                found = OomKill(at_limit=summary[1] == b"CONSTRAINT_MEMCG")
        elif (victim := _VICTIM.search(line)) and int(victim[2]) == pid and found is None:
            found = OomKill(at_limit=victim[1].startswith(b"Memory"))
    return found
