"""Format: the limits of a host config → `Resources`, less what this kernel cannot set. Pure.

What cannot be set is left out with Docker's warning: the container runs without it.
"""

from __future__ import annotations

from dataclasses import replace

from pogu.linux.cgroup import CgroupSetup
from pogu.model.container import HostConfig
from pogu.runtime.workload import IoLimit, Resources

__all__ = ["resources_of"]

_CPU_PERIOD_US = 100_000
_LACKS = "Your kernel does not support"
_UNMOUNTED = "or the cgroup is not mounted."
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
    limits = _possible_memory(limits, host, cgroup, warnings)
    limits = _possible_cpu(limits, cgroup, warnings)
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


def _possible_memory(
    limits: Resources, host: HostConfig, cgroup: CgroupSetup, warnings: list[str]
) -> Resources:
    have = cgroup.controllers
    if "memory" not in have and (limits.memory_limit_bytes or limits.memory_reservation_bytes):
        warnings.append(f"{_LACKS} memory limit capabilities {_UNMOUNTED} Limitation discarded.")
        limits = replace(
            limits, memory_limit_bytes=0, memory_swap_bytes=0, memory_reservation_bytes=0
        )
    if not cgroup.swap_limit and limits.memory_swap_bytes:
        if host.memory_swap > 0:
            warnings.append(
                f"{_LACKS} swap limit capabilities {_UNMOUNTED} Memory limited without swap."
            )
        limits = replace(limits, memory_swap_bytes=0)
    if cgroup.version == "2" and limits.memory_swappiness is not None:
        if limits.memory_swappiness >= 0:
            warnings.append(
                f"{_LACKS} memory swappiness capabilities {_UNMOUNTED} Memory swappiness discarded."
            )
        limits = replace(limits, memory_swappiness=None)
    if limits.oom_kill_disable and not cgroup.oom_kill_disable:
        warnings.append(f"{_LACKS} OomKillDisable. OomKillDisable discarded.")
        limits = replace(limits, oom_kill_disable=False)
    if "pids" not in have and limits.pids_limit:
        warnings.append(f"{_LACKS} PIDs limit capabilities {_UNMOUNTED} PIDs limit discarded.")
        limits = replace(limits, pids_limit=0)
    return limits


def _possible_cpu(limits: Resources, cgroup: CgroupSetup, warnings: list[str]) -> Resources:
    have = cgroup.controllers
    if "cpu" not in have and limits.cpu_shares:
        warnings.append(f"{_LACKS} CPU shares {_UNMOUNTED} Shares discarded.")
        limits = replace(limits, cpu_shares=0)
    if "cpu" not in have and (limits.cpu_quota_us or limits.cpu_period_us):
        warnings.append(f"{_LACKS} CPU CFS scheduler. CPU period/quota discarded.")
        limits = replace(limits, cpu_quota_us=0, cpu_period_us=0)
    if not cgroup.realtime and (limits.cpu_rt_runtime_us or limits.cpu_rt_period_us):
        warnings.append(
            f"{_LACKS} CPU real-time scheduler. CPU real-time period/runtime discarded."
        )
        limits = replace(limits, cpu_rt_runtime_us=0, cpu_rt_period_us=0)
    if "cpuset" not in have and (limits.cpuset_cpus or limits.cpuset_mems):
        warnings.append(f"{_LACKS} cpuset {_UNMOUNTED} Cpuset discarded.")
        limits = replace(limits, cpuset_cpus="", cpuset_mems="")
    return limits


def _possible_io(
    limits: Resources, host: HostConfig, cgroup: CgroupSetup, warnings: list[str]
) -> Resources:
    has_any = ("io" if cgroup.version == "2" else "blkio") in cgroup.controllers
    if limits.blkio_weight and not (has_any and cgroup.io_weight):
        warnings.append(f"{_LACKS} Block I/O weight {_UNMOUNTED} Weight discarded.")
        limits = replace(limits, blkio_weight=0)
    lost = set()
    if host.blkio_weight_device and not (has_any and cgroup.io_weight_device):
        warnings.append(f"{_LACKS} Block I/O weight_device {_UNMOUNTED} Weight-device discarded.")
        lost.add("weightDevice")
    for field, kind, name, after in _THROTTLES:
        if getattr(host, field) and not (has_any and cgroup.io_throttle):
            warnings.append(f"{_LACKS} {name} limit {_UNMOUNTED} {after} limit discarded.")
            lost.add(kind)
    kept = tuple(limit for limit in limits.io_limits if limit.kind not in lost)
    return replace(limits, io_limits=kept)
