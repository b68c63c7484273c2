"""Edge: the processes of a container, as `ps` on the host shows them.

Without ps there is a table of our own (`linux/process_list.py`), for the usual columns.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence

from pogu.errors import InvalidParameter
from pogu.linux.cgroup_usage import own_groups
from pogu.linux.process import run
from pogu.linux.process_list import long_list

__all__ = ["belongs", "parse_table", "process_table"]

_RENAMED_PID = re.compile(r"\s+\S*=\s*PID")


async def process_table(
    pid: int, ps_args: Sequence[str], *, container_id: str
) -> tuple[list[str], list[list[str]]]:
    """Return titles and rows of all that belongs to the container whose first process is `pid`.

    Raises: InvalidParameter when ps prints no PID column.
    """
    words = list(ps_args) or ["-ef"]
    if renamed := _RENAMED_PID.search(" " + " ".join(words)):
        raise InvalidParameter(f'specifying "{renamed[0].strip()}" is not allowed')
    if shutil.which("ps") is None:
        if words != ["-ef"]:
            raise InvalidParameter(
                "ps: program not found", hint="its options need it: apt-get install procps"
            )
        return long_list(_members(pid, container_id))
    done = await run(["ps", *words], check=False)
    if done.exit_code != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise InvalidParameter(f"ps: {said}", hint="ps options must work on the host")
    return parse_table(done.stdout.decode(errors="replace"), _members(pid, container_id))


def parse_table(text: str, members: set[int]) -> tuple[list[str], list[list[str]]]:
    """Return titles and the rows of `members`; a thread (`-` for its PID) follows its process."""
    lines = text.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise InvalidParameter(
            "Couldn't find PID field in ps output", hint="add pid to the columns"
        )
    column, belongs_too = titles.index("PID"), False
    rows = []
    for line in lines[1:]:
        fields = line.split(None, len(titles) - 1)
        if len(fields) <= column:
            continue
        if fields[column] != "-":
            belongs_too = fields[column].isdecimal() and int(fields[column]) in members
        if belongs_too:
            rows.append(fields)
    return titles, rows


def _members(pid: int, container_id: str) -> set[int]:
    """Every process in the control group of the container or below it.

    A systemd inside moves itself to a group below: `pid` may not stand where the others do.

    Where containers have none of their own: those in its pid namespace.
    """
    group = own_groups(_cgroup(pid), container_id)
    pids = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdecimal()]
    if group == _cgroup(os.getpid()):
        namespace = _pid_namespace(pid)
        return {pid, *(one for one in pids if _pid_namespace(one) == namespace)}
    return {pid, *(one for one in pids if belongs(_cgroup(one), group))}


def belongs(one: str, group: str) -> bool:
    """True when every line of one /proc/PID/cgroup is that of `group` or lies below it."""
    lines, above = one.splitlines(), group.splitlines()
    return len(lines) == len(above) > 0 and all(
        line == over or line.startswith(over.rstrip("/") + "/")
        for line, over in zip(lines, above, strict=True)
    )


def _cgroup(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def _pid_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""
