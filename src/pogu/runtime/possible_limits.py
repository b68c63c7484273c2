"""Format: limits less what this kernel cannot set, with a warning of Docker's for each. Pure."""

from __future__ import annotations

from dataclasses import replace

from pogu.linux.cgroup import CgroupSetup
from pogu.runtime.workload import Resources

__all__ = ["LACKS", "UNMOUNTED", "possible_cpu", "possible_memory"]

LACKS = "Your kernel does not support"
UNMOUNTED = "or the cgroup is not mounted."


def possible_memory(
    limits: Resources, cgroup: CgroupSetup, warnings: list[str], *, swap_asked: bool
) -> Resources:
    """`swap_asked`: not only because memory is limited."""
    have = cgroup.controllers
    if "memory" not in have and (limits.memory_limit_bytes or limits.memory_reservation_bytes):
        warnings.append(f"{LACKS} memory limit capabilities {UNMOUNTED} Limitation discarded.")
        limits = replace(
            limits, memory_limit_bytes=0, memory_swap_bytes=0, memory_reservation_bytes=0
        )
    if not cgroup.swap_limit and limits.memory_swap_bytes:
        if swap_asked:
            warnings.append(
                f"{LACKS} swap limit capabilities {UNMOUNTED} Memory limited without swap."
            )
        limits = replace(limits, memory_swap_bytes=0)
    if cgroup.version == "2" and limits.memory_swappiness is not None:
        if limits.memory_swappiness >= 0:
            warnings.append(
                f"{LACKS} memory swappiness capabilities {UNMOUNTED} Memory swappiness discarded."
            )
        limits = replace(limits, memory_swappiness=None)
    if limits.oom_kill_disable and not cgroup.oom_kill_disable:
        warnings.append(f"{LACKS} OomKillDisable. OomKillDisable discarded.")
        limits = replace(limits, oom_kill_disable=False)
    if "pids" not in have and limits.pids_limit:
        warnings.append(f"{LACKS} PIDs limit capabilities {UNMOUNTED} PIDs limit discarded.")
        limits = replace(limits, pids_limit=0)
    return limits


def possible_cpu(limits: Resources, cgroup: CgroupSetup, warnings: list[str]) -> Resources:
    """As `possible_memory`."""
    have = cgroup.controllers
    if "cpu" not in have and limits.cpu_shares:
        warnings.append(f"{LACKS} CPU shares {UNMOUNTED} Shares discarded.")
        limits = replace(limits, cpu_shares=0)
    if "cpu" not in have and (limits.cpu_quota_us or limits.cpu_period_us):
        warnings.append(f"{LACKS} CPU CFS scheduler. CPU period/quota discarded.")
        limits = replace(limits, cpu_quota_us=0, cpu_period_us=0)
    if not cgroup.realtime and (limits.cpu_rt_runtime_us or limits.cpu_rt_period_us):
        warnings.append(f"{LACKS} CPU real-time scheduler. CPU real-time period/runtime discarded.")
        limits = replace(limits, cpu_rt_runtime_us=0, cpu_rt_period_us=0)
    if "cpuset" not in have and (limits.cpuset_cpus or limits.cpuset_mems):
        warnings.append(f"{LACKS} cpuset {UNMOUNTED} Cpuset discarded.")
        limits = replace(limits, cpuset_cpus="", cpuset_mems="")
    return limits
