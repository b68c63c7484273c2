"""Edge: the processes of a container, as `ps` on the host shows them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pogu.errors import InvalidParameter
from pogu.linux.process import run

__all__ = ["process_table"]


def _members(pid: int) -> set[int]:
    """Every process in the same control group as `pid`, else in its pid namespace."""
    group = _cgroup(pid)
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and _cgroup(int(entry.name)) == group:
            found.add(int(entry.name))
    return found | {pid}


def _cgroup(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


async def process_table(pid: int, ps_args: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return titles and rows. Raises: InvalidParameter when ps prints no PID column."""
    done = await run(["ps", *(ps_args or ("-ef",))], check=False)
    if done.exit_code != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise InvalidParameter(f"ps: {said}", hint="ps options must work on the host")
    lines = done.stdout.decode(errors="replace").splitlines()
    titles = lines[0].split()
    if "PID" not in titles:
        raise InvalidParameter(
            "Couldn't find PID field in ps output", hint="add pid to the columns"
        )
    column, members = titles.index("PID"), _members(pid)
    rows = []
    for line in lines[1:]:
        fields = line.split(None, len(titles) - 1)
        if len(fields) > column and fields[column].isdecimal() and int(fields[column]) in members:
            rows.append(fields)
    return titles, rows
