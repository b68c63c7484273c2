"""Format: a `Workload` → the runtime spec's config.json (runtime-spec config.md). Pure.

Defaults are Docker's: capabilities, masked and read-only paths, mounts, devices.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Collection, Mapping

import msgspec

from pogu.errors import InvalidParameter
from pogu.runtime.seccomp import seccomp_for
from pogu.runtime.workload import BindMount, Device, Resources, Workload

__all__ = ["ALL_CAPABILITIES", "DEFAULT_CAPABILITIES", "capability_set", "runtime_config"]

Json = dict[str, object]

_DEFAULT_NAMES = """
    CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE
    SYS_CHROOT KILL AUDIT_WRITE
"""
_ALL_NAMES = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
    SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME
    SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG
    WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
DEFAULT_CAPABILITIES = tuple(f"CAP_{name}" for name in _DEFAULT_NAMES.split())
ALL_CAPABILITIES = tuple(f"CAP_{name}" for name in _ALL_NAMES.split())
"""In the order of their numbers."""

_MASKED = (
    *("/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys"),
    *("/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug"),
    *("/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"),
)
_READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_DEVICE_RULE = re.compile(r"([abc]) ([0-9]{1,10}|\*):([0-9]{1,10}|\*) ([rwm]{1,3})")
_NAMESPACES = (("pid", "pid"), ("ipc", "ipc"), ("uts", "uts"), ("network", "network"))


def capability_set(
    add: Collection[str],
    drop: Collection[str],
    *,
    privileged: bool,
    bounding: Collection[str] = ALL_CAPABILITIES,
) -> tuple[str, ...]:
    """Return the capabilities of a container, never more than `bounding`.

    Raises: InvalidParameter in Docker's words for an unknown name.
    """
    added = {_capability(name, "CapAdd") for name in add}
    dropped = {_capability(name, "CapDrop") for name in drop}
    if privileged:
        chosen = set(ALL_CAPABILITIES)
    else:
        kept = set() if "ALL" in dropped else set(DEFAULT_CAPABILITIES) - dropped
        chosen = set(ALL_CAPABILITIES) - dropped if "ALL" in added else kept | added
    return tuple(name for name in ALL_CAPABILITIES if name in chosen and name in bounding)


def _capability(name: str, where: str) -> str:
    word = name.upper()
    if word == "ALL":
        return word
    word = word if word.startswith("CAP_") else f"CAP_{word}"
    if word not in ALL_CAPABILITIES:
        import difflib

        near = difflib.get_close_matches(word, ALL_CAPABILITIES, 1)
        hint = f"did you mean {near[0].removeprefix('CAP_')}?" if near else None
        raise InvalidParameter(f'invalid {where}: unknown capability: "{word}"', hint=hint)
    return word


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
    if workload.domainname and workload.uts == "new":
        config["domainname"] = workload.domainname
    return msgspec.json.encode(config)


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
    return chosen


def _linux(
    workload: Workload, capabilities: tuple[str, ...], host_devices: Collection[Json]
) -> Json:
    masked = _MASKED if workload.masked_paths is None else workload.masked_paths
    readonly = _READONLY if workload.readonly_paths is None else workload.readonly_paths
    linux: Json = {
        "namespaces": _namespaces(workload),
        "resources": _resources(workload),
        "maskedPaths": [] if workload.privileged else list(masked),
        "readonlyPaths": [] if workload.privileged else list(readonly),
        "sysctl": dict(workload.sysctls),
        "devices": [*host_devices, *(_device(device) for device in workload.devices)],
    }
    if workload.cgroup_path:
        linux["cgroupsPath"] = workload.cgroup_path
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


def device_node(path_on_host: str, path: str, info: tuple[str, int, int, int]) -> Json:
    """Return the spec's device: `info` is (c|b|p, major, minor, mode)."""
    kind, major, minor, mode = info
    return {
        "path": path or path_on_host,
        "type": kind,
        "major": major,
        "minor": minor,
        "fileMode": mode,
        "uid": 0,
        "gid": 0,
    }


def stat_device(path: str) -> tuple[str, int, int, int]:
    """Raises: InvalidParameter in Docker's words when it is no device."""
    import os
    import stat

    try:
        info = os.stat(path)
    except OSError as err:
        raise InvalidParameter(
            f'error gathering device information while adding custom device "{path}":'
            f" {(err.strerror or '').lower()}"
        ) from err
    kinds = ((stat.S_ISCHR, "c"), (stat.S_ISBLK, "b"), (stat.S_ISFIFO, "p"))
    for is_kind, letter in kinds:
        if is_kind(info.st_mode):
            return letter, os.major(info.st_rdev), os.minor(info.st_rdev), info.st_mode & 0o7777
    raise InvalidParameter(
        f'error gathering device information while adding custom device "{path}": not a device node'
    )


def _device(device: Device) -> Json:
    return device_node(device.path_on_host, device.path, stat_device(device.path_on_host))


def _resources(workload: Workload) -> Json:
    limits = workload.resources
    resources: Json = {"devices": _device_rules(workload)}
    memory = _memory(limits)
    if memory:
        resources["memory"] = memory
    cpu = _present(
        {
            "shares": limits.cpu_shares,
            "quota": limits.cpu_quota_us,
            "period": limits.cpu_period_us,
            "cpus": limits.cpuset_cpus,
            "mems": limits.cpuset_mems,
        }
    )
    if cpu:
        resources["cpu"] = cpu
    if limits.pids_limit > 0:
        resources["pids"] = {"limit": limits.pids_limit}
    if limits.blkio_weight:
        resources["blockIO"] = {"weight": limits.blkio_weight}
    return resources


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


def _device_rules(workload: Workload) -> list[Json]:
    if workload.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[Json] = [{"allow": False, "access": "rwm"}]
    # The kernel's harmless ones (null, zero, full, random, tty, pts) and mknod of any.
    for kind, major, minor, access in (
        ("c", None, None, "m"),
        ("b", None, None, "m"),
        ("c", 1, 3, "rwm"),
        ("c", 1, 5, "rwm"),
        ("c", 1, 7, "rwm"),
        ("c", 1, 8, "rwm"),
        ("c", 1, 9, "rwm"),
        ("c", 5, 0, "rwm"),
        ("c", 5, 2, "rwm"),
        ("c", 136, None, "rwm"),
    ):
        rules.append(_rule(kind, major, minor, access))
    for device in workload.devices:
        letter, major_number, minor_number, _ = stat_device(device.path_on_host)
        if letter in "cb":
            rules.append(_rule(letter, major_number, minor_number, device.permissions))
    rules += [_parsed_rule(text) for text in workload.resources.device_rules]
    return rules


def _rule(kind: str, major: int | None, minor: int | None, access: str) -> Json:
    rule: Json = {"allow": True, "type": kind, "access": access}
    if major is not None:
        rule["major"] = major
    if minor is not None:
        rule["minor"] = minor
    return rule


def _parsed_rule(text: str) -> Json:
    """`c 1:3 rwm`, with `*` for any. Raises: InvalidParameter."""
    match = _DEVICE_RULE.fullmatch(text)
    if not match:
        raise InvalidParameter(
            f"invalid device cgroup rule format: '{text}'", hint="for example 'c 42:* rwm'"
        )
    major, minor = (None if part == "*" else int(part) for part in match.group(2, 3))
    return _rule(match[1], major, minor, match[4])
