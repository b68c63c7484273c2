"""Format: a `Workload` → the runtime spec's config.json (runtime-spec config.md). Pure.

Defaults are Docker's: masked and read-only paths and mounts here, the rest in `capabilities.py` and
`device.py`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping

import msgspec

from pogu.linux.idmap import IdRange
from pogu.runtime.capabilities import ALL_CAPABILITIES, capability_set
from pogu.runtime.device import device_rules, io_limit, spec_device
from pogu.runtime.seccomp import seccomp_for
from pogu.runtime.workload import BindMount, Resources, Workload

__all__ = ["limits_config", "runtime_config"]

Json = dict[str, object]

_MASKED = (
    *("/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys"),
    *("/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug"),
    *("/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"),
)
_READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_NAMESPACES = (("pid", "pid"), ("ipc", "ipc"), ("uts", "uts"), ("network", "network"))


def runtime_config(
    workload: Workload,
    *,
    bounding: Collection[str] = ALL_CAPABILITIES,
    host_devices: Collection[Json] = (),
) -> bytes:
    """Return config.json. `host_devices` are what a privileged container sees of /dev."""
    capabilities = capability_set(
        workload.capabilities_add,
        workload.capabilities_drop,
        privileged=workload.privileged,
        bounding=bounding,
    )
    config: Json = {
        "ociVersion": "1.0.2",
        "process": _process(workload, capabilities),
        "root": {"path": str(workload.rootfs), "readonly": workload.readonly_rootfs},
        "hostname": workload.hostname if workload.uts == "new" else "",
        "mounts": [_mount(mount) for mount in _mounts(workload)],
        "annotations": dict(workload.annotations),
        "linux": _linux(workload, capabilities, host_devices),
    }
    if workload.hooks:
        config["hooks"] = _hooks(workload)
    if workload.domainname and workload.uts == "new":
        config["domainname"] = workload.domainname
    return msgspec.json.encode(config)


def _hooks(workload: Workload) -> Json:
    said: dict[str, list[Json]] = {}
    for hook in workload.hooks:
        entry: Json = {"path": hook.path, "args": list(hook.args), "env": list(hook.env)}
        if hook.timeout_s is not None:
            entry["timeout"] = hook.timeout_s
        said.setdefault(hook.name, []).append(entry)
    return dict(said)


def _process(workload: Workload, capabilities: tuple[str, ...]) -> Json:
    effective = capabilities if workload.user.uid == 0 else ()
    process: Json = {
        "terminal": workload.terminal,
        "user": {
            "uid": workload.user.uid,
            "gid": workload.user.gid,
            "additionalGids": list(workload.user.additional_gids),
            "umask": 0o022,
        },
        "args": list(workload.args),
        "env": list(workload.env),
        "cwd": workload.cwd or "/",
        "capabilities": {
            "bounding": list(capabilities),
            "effective": list(effective),
            "permitted": list(effective),
        },
        "noNewPrivileges": workload.no_new_privileges,
        "rlimits": [
            {"type": limit.type, "soft": limit.soft, "hard": limit.hard}
            for limit in workload.rlimits
        ],
    }
    if workload.terminal and all(workload.console_size):
        height, width = workload.console_size
        process["consoleSize"] = {"height": height, "width": width}
    if workload.apparmor_profile:
        process["apparmorProfile"] = workload.apparmor_profile
    if workload.oom_score_adj:
        process["oomScoreAdj"] = workload.oom_score_adj
    return process


def _mount(mount: BindMount) -> Json:
    return {
        "destination": mount.destination,
        "source": mount.source,
        "type": mount.type,
        "options": list(mount.options),
    }


def _mounts(workload: Workload) -> list[BindMount]:
    """Docker's defaults, except where a mount of the workload takes the place."""
    kept = ("nosuid", "noexec", "nodev")
    sysfs = (*kept, "rw" if workload.privileged else "ro")
    shm = (*kept, "mode=1777", f"size={workload.shm_size_bytes}")
    pts = ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")
    defaults = [
        _special("/proc", "proc", kept),
        _special("/dev", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
        _special("/dev/pts", "devpts", pts),
        _special("/sys", "sysfs", sysfs),
        _special("/sys/fs/cgroup", "cgroup", sysfs),
        _special("/dev/mqueue", "mqueue", kept),
        _special("/dev/shm", "tmpfs", shm, source="shm"),
    ]
    if workload.ipc == "host":
        if workload.user_namespace:
            defaults.pop(-2)  # the namespace's owner alone may mount its queues
        # A new mqueue mount shows the namespace's queues; not every host has one to bind.
        defaults[-1] = BindMount(destination="/dev/shm", source="/dev/shm")
    own = {mount.destination for mount in workload.mounts}
    return [mount for mount in defaults if mount.destination not in own] + list(workload.mounts)


def _special(path: str, fs_type: str, options: tuple[str, ...], source: str = "") -> BindMount:
    return BindMount(destination=path, source=source or fs_type, type=fs_type, options=options)


def _namespaces(workload: Workload) -> list[Json]:
    chosen: list[Json] = [{"type": "mount"}]
    for field, kind in (*_NAMESPACES, ("cgroup", "cgroup")):
        value = getattr(workload, field)
        if value == "new":
            chosen.append({"type": kind})
        elif value != "host":
            chosen.append({"type": kind, "path": value})
    if workload.user_namespace:
        chosen.append({"type": "user", "path": workload.user_namespace})
    return chosen


def _ranges(ranges: Collection[IdRange]) -> list[Json]:
    return [{"containerID": one.inside, "hostID": one.outside, "size": one.size} for one in ranges]


def _linux(
    workload: Workload, capabilities: tuple[str, ...], host_devices: Collection[Json]
) -> Json:
    masked = _MASKED if workload.masked_paths is None else workload.masked_paths
    readonly = _READONLY if workload.readonly_paths is None else workload.readonly_paths
    linux: Json = {
        "namespaces": _namespaces(workload),
        "resources": {
            "devices": device_rules(workload),
            **limits_config(workload.resources),
        },
        "maskedPaths": [] if workload.privileged else list(masked),
        "readonlyPaths": [] if workload.privileged else list(readonly),
        "sysctl": dict(workload.sysctls),
        "devices": [*host_devices, *(spec_device(device) for device in workload.devices)],
    }
    if workload.id_mapping is not None:
        linux["uidMappings"] = _ranges(workload.id_mapping.uids)
        linux["gidMappings"] = _ranges(workload.id_mapping.gids)
    if workload.control_group is not None:
        linux["cgroupsPath"] = workload.control_group.spec_path
    if any("shared" in mount.options or "rshared" in mount.options for mount in workload.mounts):
        linux["rootfsPropagation"] = "shared"
    elif any("slave" in mount.options or "rslave" in mount.options for mount in workload.mounts):
        linux["rootfsPropagation"] = "slave"
    if not workload.privileged and workload.seccomp != "unconfined":
        linux["seccomp"] = msgspec.Raw(_seccomp(workload.seccomp, capabilities))
    return linux


@functools.lru_cache(maxsize=32)
def _seccomp(profile: str, capabilities: tuple[str, ...]) -> bytes:
    return json.dumps(seccomp_for(profile, capabilities), separators=(",", ":")).encode()


def limits_config(limits: Resources) -> Json:
    """Return the limits as the spec's `linux.resources` has them, without devices."""
    resources: Json = {}
    memory = _memory(limits)
    if memory:
        resources["memory"] = memory
    cpu = _present(
        {
            "shares": limits.cpu_shares,
            "quota": limits.cpu_quota_us,
            "period": limits.cpu_period_us,
            "realtimeRuntime": limits.cpu_rt_runtime_us,
            "realtimePeriod": limits.cpu_rt_period_us,
            "cpus": limits.cpuset_cpus,
            "mems": limits.cpuset_mems,
        }
    )
    if cpu:
        resources["cpu"] = cpu
    if limits.pids_limit:
        resources["pids"] = {"limit": limits.pids_limit}
    block_io = _block_io(limits)
    if block_io:
        resources["blockIO"] = block_io
    return resources


def _block_io(limits: Resources) -> Json:
    """The spec names devices by number. Raises: InvalidParameter for a path that is none."""
    said: Json = {"weight": limits.blkio_weight} if limits.blkio_weight else {}
    for kind in dict.fromkeys(limit.kind for limit in limits.io_limits):
        said[kind] = [
            io_limit(one.path, one.kind, one.value) for one in limits.io_limits if one.kind == kind
        ]
    return said


def _present(values: Mapping[str, object]) -> Json:
    return {key: value for key, value in values.items() if value}


def _memory(limits: Resources) -> Json:
    memory = _present(
        {
            "limit": limits.memory_limit_bytes,
            "swap": limits.memory_swap_bytes,
            "reservation": limits.memory_reservation_bytes,
        }
    )
    if limits.memory_swappiness is not None and limits.memory_swappiness >= 0:
        memory["swappiness"] = limits.memory_swappiness
    if limits.oom_kill_disable:
        memory["disableOOMKiller"] = True
    return memory
