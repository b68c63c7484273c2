"""Edge: which process holds a port, by /proc/net/{tcp,udp}{,6} and /proc/*/fd."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SocketHolder", "holder_of_port", "inodes_of_port"]

_TCP_LISTEN = "0A"


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketHolder:
    """A process that listens."""

    pid: int
    name: str


def inodes_of_port(table: str, port: int, *, listening_only: bool) -> set[str]:
    """Read one /proc/net table: the inodes of the sockets bound to `port`."""
    found = set()
    for line in table.splitlines()[1:]:
        words = line.split()
        listens = not listening_only or words[3] == _TCP_LISTEN
        if listens and int(words[1].rpartition(":")[2], 16) == port:
            found.add(words[9])
    return found - {"0"}


def holder_of_port(protocol: str, port: int) -> SocketHolder | None:
    """Return a process that has the port; None when none can be seen."""
    inodes: set[str] = set()
    for name in (protocol, f"{protocol}6"):
        path = Path("/proc/net", name)
        if path.exists():
            inodes |= inodes_of_port(path.read_text(), port, listening_only=protocol == "tcp")
    wanted = {f"socket:[{inode}]" for inode in inodes}
    if not wanted:
        return None
    for name in os.listdir("/proc"):
        if name.isdigit() and wanted & _descriptors(f"/proc/{name}/fd"):
            return SocketHolder(pid=int(name), name=_name(f"/proc/{name}"))
    return None


def _descriptors(directory: str) -> set[str]:
    found: set[str] = set()
    try:
        names = os.listdir(directory)
    except OSError:
        return found  # it ended meanwhile
    for name in names:
        try:
            found.add(os.readlink(f"{directory}/{name}"))
        except OSError:
            continue
    return found


def _name(process: str) -> str:
    try:
        return Path(process, "comm").read_text().strip()
    except OSError:
        return "?"
