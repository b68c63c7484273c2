"""Format: new limits and restart policy for a container that exists, by Docker's rules. Pure."""

from __future__ import annotations

import msgspec

from pogu.errors import Conflict, InvalidParameter
from pogu.model.container import HostConfig, UpdateRequest

__all__ = ["changes_limits", "updated"]


def changes_limits(asked: UpdateRequest) -> bool:
    """False when only the restart policy is meant: nothing to tell the kernel."""
    policy_only = UpdateRequest(
        restart_policy=asked.restart_policy, kernel_memory=asked.kernel_memory
    )
    return asked != policy_only


def updated(host: HostConfig, asked: UpdateRequest) -> HostConfig:
    """Return `host` with what is asked for; what is left out stays.

    Raises: InvalidParameter, Conflict in Docker's words when old and new values contradict.
    """
    _check_cpu(host, asked)
    swap = asked.memory_swap or host.memory_swap
    if asked.memory and 0 < host.memory_swap < asked.memory and not asked.memory_swap:
        raise Conflict(
            "Memory limit should be smaller than already set memoryswap limit, update the"
            " memoryswap at the same time",
            hint=f"--memory-swap is {host.memory_swap} bytes now; -1 takes that limit away",
        )
    changes: dict[str, object] = {
        name: value
        for name in asked.__struct_fields__
        if name not in ("restart_policy", "kernel_memory") and (value := getattr(asked, name))
    }
    changes["memory_swap"] = swap
    if asked.pids_limit is not None:
        changes["pids_limit"] = asked.pids_limit
    if asked.restart_policy.name:
        if host.auto_remove and asked.restart_policy.name != "no":
            raise InvalidParameter(
                "Restart policy cannot be updated because AutoRemove is enabled for the container",
                hint="it was made with --rm",
            )
        changes["restart_policy"] = asked.restart_policy
    return msgspec.structs.replace(host, **changes)


def _check_cpu(host: HostConfig, asked: UpdateRequest) -> None:
    conflicts = (
        (asked.nano_cpus, host.cpu_period, "Nano CPUs", "CPU Period"),
        (asked.nano_cpus, host.cpu_quota, "Nano CPUs", "CPU Quota"),
        (asked.cpu_period, host.nano_cpus, "CPU Period", "NanoCPUs"),
        (asked.cpu_quota, host.nano_cpus, "CPU Quota", "NanoCPUs"),
    )
    for new, old, new_name, old_name in conflicts:
        if new and old:
            raise Conflict(
                f"Conflicting options: {new_name} cannot be updated as {old_name} has already been"
                " set"
            )
