"""Edge: what `ps -ef` prints, read from /proc, for hosts without ps."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterable

__all__ = ["long_list"]

TITLES = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]


def long_list(pids: Iterable[int]) -> tuple[list[str], list[list[str]]]:
    """Return titles and a row for each process that is still there, in the order of PIDs."""
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    rows = []
    for pid in sorted(pids):
        try:
            rows.append(_row(pid, booted, time.time()))
        except (OSError, IndexError):
            continue  # it has ended
    return list(TITLES), rows


def _row(pid: int, booted: float, now: float) -> list[str]:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        name, _, rest = file.read().partition("(")[2].rpartition(")")
    fields = rest.split()
    ticks = os.sysconf("SC_CLK_TCK")
    cpu_s = (int(fields[11]) + int(fields[12])) / ticks
    began = booted + int(fields[19]) / ticks
    return [
        _user(os.stat(f"/proc/{pid}").st_uid),
        str(pid),
        fields[1],
        str(min(99, int(100 * cpu_s / max(now - began, 1)))),
        _start(began, now),
        _terminal(int(fields[4])),
        _duration(int(cpu_s)),
        _command(pid) or f"[{name}]",
    ]


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _start(began: float, now: float) -> str:
    """The time of today, else the day."""
    then, today = time.localtime(began), time.localtime(now)
    same_day = (then.tm_year, then.tm_yday) == (today.tm_year, today.tm_yday)
    return time.strftime("%H:%M" if same_day else "%b%d", then)


def _terminal(number: int) -> str:
    """tty_nr of proc(5): pseudo-terminals are the majors 136 to 143."""
    major, minor = os.major(number), os.minor(number)
    if 136 <= major <= 143:
        return f"pts/{(major - 136) * 256 + minor}"
    return f"tty{minor}" if major == 4 else "?"


def _duration(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _command(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
        return file.read().rstrip("\0").replace("\0", " ")
