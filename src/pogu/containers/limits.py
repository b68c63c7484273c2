"""Format: the limits of a host config → `Resources`, less what this kernel cannot set. Pure.

What cannot be set is left out with Docker's warning: the container runs without it.
"""

from __future__ import annotations

from dataclasses import replace

from pogu.linux.cgroup import CgroupSetup
from pogu.model.container import HostConfig
from pogu.runtime.possible_limits import LACKS, UNMOUNTED, possible_cpu, possible_memory
from pogu.runtime.workload import IoLimit, Resources

__all__ = ["resources_of"]

_CPU_PERIOD_US = 100_000
_THROTTLES = (
    ("blkio_device_read_bps", "throttleReadBpsDevice", "BPS Block I/O read", "Block I/O BPS read"),
    (
        *("blkio_device_write_bps", "throttleWriteBpsDevice"),
        *("BPS Block I/O write", "Block I/O BPS write"),
    ),
    ("blkio_device_read_iops", "throttleReadIOPSDevice", "IOPS Block read", "Block I/O IOPS read"),
    (
        *("blkio_device_write_iops", "throttleWriteIOPSDevice"),
        *("IOPS Block write", "Block I/O IOPS write"),
    ),
)
"""Field, the runtime spec's name, and what Docker calls the limit before and after the fact."""


def resources_of(host: HostConfig, cgroup: CgroupSetup) -> tuple[Resources, list[str]]:
    """Return the limits and a warning for each that this kernel cannot set."""
    quota, period = host.cpu_quota, host.cpu_period
    if host.nano_cpus:
        quota, period = host.nano_cpus * _CPU_PERIOD_US // 1_000_000_000, _CPU_PERIOD_US
    swap = host.memory_swap
    if host.memory and swap == 0:
        swap = 2 * host.memory
    limits = Resources(
        memory_limit_bytes=host.memory,
        memory_swap_bytes=swap if host.memory else 0,
        memory_reservation_bytes=host.memory_reservation,
        memory_swappiness=host.memory_swappiness,
        oom_kill_disable=bool(host.oom_kill_disable),
        cpu_shares=min(max(host.cpu_shares, 2), 262_144) if host.cpu_shares else 0,
        cpu_quota_us=quota,
        cpu_period_us=period,
        cpu_rt_runtime_us=host.cpu_realtime_runtime,
        cpu_rt_period_us=host.cpu_realtime_period,
        cpuset_cpus=host.cpuset_cpus,
        cpuset_mems=host.cpuset_mems,
        pids_limit=max(host.pids_limit or 0, 0),
        blkio_weight=host.blkio_weight,
        io_limits=_io_limits(host),
        device_rules=host.device_cgroup_rules or (),
    )
    warnings: list[str] = []
    limits = possible_memory(limits, cgroup, warnings, swap_asked=host.memory_swap > 0)
    limits = possible_cpu(limits, cgroup, warnings)
    return _possible_io(limits, host, cgroup, warnings), warnings


def _io_limits(host: HostConfig) -> tuple[IoLimit, ...]:
    weights = [
        IoLimit(kind="weightDevice", path=one.path, value=one.weight)
        for one in host.blkio_weight_device or ()
    ]
    rates = [
        IoLimit(kind=kind, path=one.path, value=one.rate)
        for field, kind, _, _ in _THROTTLES
        for one in getattr(host, field) or ()
    ]
    return (*weights, *rates)


def _possible_io(
    limits: Resources, host: HostConfig, cgroup: CgroupSetup, warnings: list[str]
) -> Resources:
    has_any = ("io" if cgroup.version == "2" else "blkio") in cgroup.controllers
    if limits.blkio_weight and not (has_any and cgroup.io_weight):
        warnings.append(f"{LACKS} Block I/O weight {UNMOUNTED} Weight discarded.")
        limits = replace(limits, blkio_weight=0)
    lost = set()
    if host.blkio_weight_device and not (has_any and cgroup.io_weight_device):
        warnings.append(f"{LACKS} Block I/O weight_device {UNMOUNTED} Weight-device discarded.")
        lost.add("weightDevice")
    for field, kind, name, after in _THROTTLES:
        if getattr(host, field) and not (has_any and cgroup.io_throttle):
            warnings.append(f"{LACKS} {name} limit {UNMOUNTED} {after} limit discarded.")
            lost.add(kind)
    kept = tuple(limit for limit in limits.io_limits if limit.kind not in lost)
    return replace(limits, io_limits=kept)
