"""Edge: what a control group has used: processor, memory, processes, block I/O; v1, v2, hybrid.

A file that this kernel does not have counts as nothing used.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pogu.linux.cgroup import CGROUP_ROOT

__all__ = [
    "CpuUsage",
    "GroupUsage",
    "IoEntry",
    "MemoryUsage",
    "group_of",
    "group_places",
    "oom_kills",
    "oom_kills_by_slice",
    "own_groups",
    "peak_and_limit",
    "read_group_of",
    "read_usage",
]

_BELOW = "container"

UNLIMITED = (1 << 63) - 4096
"""What v1 says for "no limit"; v2 says `max`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuUsage:
    """Nanoseconds; `per_cpu_ns` only on v1."""

    total_ns: int = 0
    user_ns: int = 0
    kernel_ns: int = 0
    per_cpu_ns: tuple[int, ...] = ()
    periods: int = 0
    throttled_periods: int = 0
    throttled_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryUsage:
    """`limit_bytes` 0 = none. `stats` is the kernel's memory.stat as it stands."""

    usage_bytes: int = 0
    peak_bytes: int = 0
    limit_bytes: int = 0
    failures: int = 0
    stats: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class IoEntry:
    """One device and operation; `operation` in the kernel's spelling (v1 Read, v2 read)."""

    major: int
    minor: int
    operation: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupUsage:
    """`pids_limit` 0 = none."""

    version: int
    cpu: CpuUsage
    memory: MemoryUsage
    pids: int = 0
    pids_limit: int = 0
    io_bytes: tuple[IoEntry, ...] = ()
    io_operations: tuple[IoEntry, ...] = ()


def group_places(membership: str, container_id: str, root: Path = CGROUP_ROOT) -> dict[str, Path]:
    """Where the group of a container lies, by controller; v2 under the name "".

    `membership` is the text of /proc/<pid>/cgroup. A process may have moved below the container's
    own group (systemd inside does): the part that holds the container's ID is what counts.
    """
    places: dict[str, Path] = {}
    for line in membership.splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        own = _own_group(path, container_id)
        if number == "0" and not names:
            base = root if (root / "cgroup.controllers").exists() else root / "unified"
            places[""] = base / own.lstrip("/")
        for name in names.split(",") if names else ():
            directory = root / name if (root / name).is_dir() else root / names
            places[name] = directory / own.lstrip("/")
    return places


def group_of(membership: str, container_id: str) -> str:
    """The path of a container's own group, the same in every hierarchy; empty = it has none."""
    paths = (line.split(":", 2)[2] for line in membership.splitlines())
    return next((_own_group(path, container_id) for path in paths if container_id in path), "")


def own_groups(membership: str, container_id: str) -> str:
    """`membership` with the container's own groups, wherever below them the process is."""
    lines = (line.split(":", 2) for line in membership.splitlines())
    return "".join(
        f"{number}:{names}:{_own_group(path, container_id)}\n" for number, names, path in lines
    )


def read_group_of(pid: int, container_id: str) -> str:
    """`group_of` a process; empty when it has ended."""
    return group_of(_text(Path(f"/proc/{pid}/cgroup")), container_id)


def _own_group(path: str, container_id: str) -> str:
    """crun sets its limits in a group `container` below the scope that systemd made."""
    parts = path.split("/")
    at = next((at for at, part in enumerate(parts) if container_id in part), len(parts))
    if parts[at : at + 1] and parts[at].endswith(".scope") and parts[at + 1 : at + 2] == [_BELOW]:
        at += 1
    return posixpath.join("/", *parts[: at + 1])


def read_usage(places: Mapping[str, Path]) -> GroupUsage:
    """Read the counters of one container. Never raises for what is missing."""
    unified = places.get("")
    if unified is not None and (unified / "memory.current").exists():
        return _read_v2(unified)
    return _read_v1(places)


def oom_kills(path: str, root: Path = CGROUP_ROOT) -> int | None:
    """How many processes of the group at `path` the kernel has killed for want of memory.

    None when nobody counts: the group is gone, or was never known (an empty path).
    """
    if not path:
        return None
    group = path.lstrip("/")
    files = (root / "memory" / group / "memory.oom_control", root / group / "memory.events")
    counts = [_pairs(file).get("oom_kill") for file in files]
    return max((count for count in counts if count is not None), default=None)


def oom_kills_by_slice(paths: Iterable[str], root: Path = CGROUP_ROOT) -> dict[str, int]:
    """`oom_kills` of the topmost groups above `paths`: v2 counts upwards, so that one look tells
    whether any below has more than before. Empty on v1.
    """
    tops = {path.lstrip("/").partition("/")[0] for path in paths if path}
    counts = {top: _pairs(root / top / "memory.events").get("oom_kill") for top in tops}
    return {top: count for top, count in counts.items() if count is not None}


def peak_and_limit(path: str, root: Path = CGROUP_ROOT) -> tuple[int, int]:
    """Most memory that the group at `path` had, and its limit, in bytes; 0 = not known, none."""
    if not path:
        return 0, 0
    group = path.lstrip("/")
    v1, v2 = root / "memory" / group, root / group
    limit = _number(v1 / "memory.limit_in_bytes") or _number(v2 / "memory.max")
    peak = _number(v1 / "memory.max_usage_in_bytes") or _number(v2 / "memory.peak")
    return peak, 0 if limit >= UNLIMITED else limit


# ---- v2 --------------------------------------------------------------------------------------


def _read_v2(group: Path) -> GroupUsage:
    cpu = _pairs(group / "cpu.stat")
    return GroupUsage(
        version=2,
        cpu=CpuUsage(
            total_ns=cpu.get("usage_usec", 0) * 1000,
            user_ns=cpu.get("user_usec", 0) * 1000,
            kernel_ns=cpu.get("system_usec", 0) * 1000,
            periods=cpu.get("nr_periods", 0),
            throttled_periods=cpu.get("nr_throttled", 0),
            throttled_ns=cpu.get("throttled_usec", 0) * 1000,
        ),
        memory=MemoryUsage(
            usage_bytes=_number(group / "memory.current"),
            peak_bytes=_number(group / "memory.peak"),
            limit_bytes=_number(group / "memory.max"),
            failures=_pairs(group / "memory.events").get("max", 0),
            stats=_pairs(group / "memory.stat"),
        ),
        pids=_number(group / "pids.current"),
        pids_limit=_number(group / "pids.max"),
        io_bytes=tuple(_io_v2(group, read="rbytes", write="wbytes")),
        io_operations=tuple(_io_v2(group, read="rios", write="wios")),
    )


def _io_v2(group: Path, *, read: str, write: str) -> Iterator[IoEntry]:
    for line in _text(group / "io.stat").splitlines():
        device, _, rest = line.partition(" ")
        major, _, minor = device.partition(":")
        counters = dict(word.partition("=")[::2] for word in rest.split())
        for operation, key in (("read", read), ("write", write)):
            if minor.isdecimal() and key in counters:
                yield IoEntry(
                    major=int(major),
                    minor=int(minor),
                    operation=operation,
                    value=int(counters[key]),
                )


# ---- v1 --------------------------------------------------------------------------------------


def _read_v1(places: Mapping[str, Path]) -> GroupUsage:
    nowhere = Path("/nonexistent")
    accounting = places.get("cpuacct", nowhere)
    scheduler = _pairs(places.get("cpu", nowhere) / "cpu.stat")
    memory = places.get("memory", nowhere)
    pids = places.get("pids", nowhere)
    blocks = places.get("blkio", nowhere)
    limit = _number(memory / "memory.limit_in_bytes")
    user_ns, kernel_ns = _user_and_kernel(accounting)
    return GroupUsage(
        version=1,
        cpu=CpuUsage(
            total_ns=_number(accounting / "cpuacct.usage"),
            user_ns=user_ns,
            kernel_ns=kernel_ns,
            per_cpu_ns=tuple(map(int, _text(accounting / "cpuacct.usage_percpu").split())),
            periods=scheduler.get("nr_periods", 0),
            throttled_periods=scheduler.get("nr_throttled", 0),
            throttled_ns=scheduler.get("throttled_time", 0),
        ),
        memory=MemoryUsage(
            usage_bytes=_number(memory / "memory.usage_in_bytes"),
            peak_bytes=_number(memory / "memory.max_usage_in_bytes"),
            limit_bytes=0 if limit >= UNLIMITED else limit,
            failures=_number(memory / "memory.failcnt"),
            stats=_pairs(memory / "memory.stat"),
        ),
        pids=_number(pids / "pids.current"),
        pids_limit=_number(pids / "pids.max"),
        io_bytes=tuple(_io_v1(blocks, "io_service_bytes")),
        io_operations=tuple(_io_v1(blocks, "io_serviced")),
    )


def _user_and_kernel(accounting: Path) -> tuple[int, int]:
    """In nanoseconds; the all-in-one file is exact, the older one counts clock ticks."""
    lines = _text(accounting / "cpuacct.usage_all").splitlines()[1:]
    if lines:
        rows = [line.split() for line in lines]
        return sum(int(row[1]) for row in rows), sum(int(row[2]) for row in rows)
    ticks = _pairs(accounting / "cpuacct.stat")
    return ticks.get("user", 0) * 10_000_000, ticks.get("system", 0) * 10_000_000


def _io_v1(blocks: Path, counter: str) -> Iterator[IoEntry]:
    """The throttling layer counts what every scheduler does."""
    for line in _text(blocks / f"blkio.throttle.{counter}_recursive").splitlines():
        words = line.split()
        if len(words) == 3 and ":" in words[0]:
            major, _, minor = words[0].partition(":")
            yield IoEntry(
                major=int(major), minor=int(minor), operation=words[1], value=int(words[2])
            )


# ---- files -----------------------------------------------------------------------------------


def _text(path: Path) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""


def _number(path: Path) -> int:
    """0 where there is no such file, and for `max`."""
    text = _text(path).strip()
    return int(text) if text.isdecimal() else 0


def _pairs(path: Path) -> dict[str, int]:
    """`name number` lines."""
    found: dict[str, int] = {}
    for line in _text(path).splitlines():
        name, _, value = line.partition(" ")
        if value.isdecimal():
            found[name] = int(value)
    return found
