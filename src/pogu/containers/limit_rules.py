"""Format: which limits and sysctls a host config may not ask for, in Docker's words. Pure."""

from __future__ import annotations

import os
import re

from pogu.errors import InvalidParameter
from pogu.model.container import HostConfig
from pogu.runtime.workload import rlimit_of

__all__ = ["check_limits", "check_sysctls", "kernel_memory_warnings"]

_MINIMUM_MEMORY = 6 * 1024 * 1024
_IPC_SYSCTLS = frozenset(
    (
        *("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall"),
        *("kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"),
    )
)


def check_limits(host: HostConfig) -> list[str]:
    """Return warnings. Raises: InvalidParameter at the first thing that cannot be."""
    warnings: list[str] = []
    _check_memory(host, warnings)
    _check_cpu(host)
    _check_others(host)
    return warnings


def kernel_memory_warnings(limit_bytes: int) -> list[str]:
    """Any limit of it is taken and comes to nothing."""
    if not limit_bytes:
        return []
    return [
        "Specifying a kernel memory limit is deprecated and will be removed in a future release."
    ]


def check_sysctls(host: HostConfig, *, network: str) -> None:
    """Only what belongs to a namespace of the container may be set.

    Raises: InvalidParameter in Docker's and runc's words.
    """
    for name in host.sysctls or {}:
        is_ipc = name in _IPC_SYSCTLS or name.startswith("fs.mqueue.")
        if not (is_ipc or name.startswith("net.") or name == "kernel.domainname"):
            _refuse(
                f"sysctl '{name}' is not allowed",
                "only net.*, fs.mqueue.* and the kernel's IPC settings belong to a container;"
                " set others on the host",
            )
        if name.startswith("net.") and network == "host":
            _refuse(
                f"sysctl '{name}' not allowed in host network namespace",
                "it would change the host: leave out --network host",
            )
        if is_ipc and host.ipc_mode == "host":
            _refuse(
                f"sysctl '{name}' is not allowed in the hosts ipc namespace",
                "it would change the host: leave out --ipc host",
            )
        if name == "kernel.domainname" and host.uts_mode == "host":
            _refuse(f"sysctl '{name}' is not allowed in the hosts uts namespace")


def _refuse(message: str, hint: str | None = None) -> None:
    raise InvalidParameter(message, hint=hint)


def _check_memory(host: HostConfig, warnings: list[str]) -> None:
    memory, swap, reservation = host.memory, host.memory_swap, host.memory_reservation
    if memory < 0 or 0 < memory < _MINIMUM_MEMORY:
        _refuse("Minimum memory limit allowed is 6MB", "for example --memory 64m")
    if swap > 0 and memory == 0:
        _refuse("You should always set the Memory limit when using Memoryswap limit, see usage")
    if memory > 0 and 0 < swap < memory:
        _refuse("Minimum memoryswap limit should be larger than memory limit, see usage")
    swappiness = host.memory_swappiness
    if swappiness is not None and not -1 <= swappiness <= 100:
        _refuse(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if 0 < reservation < _MINIMUM_MEMORY:
        _refuse("Minimum memory reservation allowed is 6MB")
    if 0 < memory < reservation:
        _refuse("Minimum memory limit can not be less than memory reservation limit, see usage")
    if host.oom_kill_disable and memory == 0:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, this can"
            " result in the system running out of resources."
        )


def _check_cpu(host: HostConfig) -> None:
    cores = os.cpu_count() or 1
    if host.nano_cpus and host.cpu_period:
        _refuse("Conflicting options: Nano CPUs and CPU Period cannot both be set.")
    if host.nano_cpus and host.cpu_quota:
        _refuse("Conflicting options: Nano CPUs and CPU Quota cannot both be set.")
    if host.nano_cpus < 0 or host.nano_cpus > cores * 1_000_000_000:
        _refuse(
            f"Range of CPUs is from 0.01 to {cores}.00, as there are only {cores} CPUs available"
        )
    if host.cpu_shares < 0:
        _refuse(f"invalid CPU shares ({host.cpu_shares}): value must be a positive integer")
    if host.cpu_period and not 1000 <= host.cpu_period <= 1_000_000:
        _refuse(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < host.cpu_quota < 1000:
        _refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    for name, text in (("cpus", host.cpuset_cpus), ("mems", host.cpuset_mems)):
        if text and not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
            _refuse(f"Invalid value {text} for cpuset {name}", "for example 0-2,4")
    last = max(map(int, re.findall(r"\d+", host.cpuset_cpus)), default=0)
    if last >= cores:
        _refuse(
            f"Requested CPUs are not available - requested {host.cpuset_cpus},"
            f" available: 0-{cores - 1}"
        )


def _check_others(host: HostConfig) -> None:
    if host.blkio_weight and not 10 <= host.blkio_weight <= 1000:
        _refuse("Range of blkio weight is from 10 to 1000")
    for one in host.blkio_weight_device or ():
        if one.weight and not 10 <= one.weight <= 1000:
            _refuse(f"invalid weight for device: {one.path}:{one.weight}", "from 10 to 1000")
    if not -1000 <= host.oom_score_adj <= 1000:
        _refuse(f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]")
    if host.shm_size < 0:
        _refuse("SHM size can not be less than 0")
    for limit in host.ulimits or ():
        rlimit_of(limit.name, soft=limit.soft, hard=limit.hard)
