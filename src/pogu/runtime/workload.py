"""Format: what one OCI bundle runs; a container and a build's RUN step both make one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pogu.errors import InvalidParameter
from pogu.linux.idmap import IdMapping
from pogu.runtime.control_group import ControlGroup

__all__ = [
    "DEFAULT_PATH",
    "BindMount",
    "Device",
    "Hook",
    "IoLimit",
    "Resources",
    "Rlimit",
    "UserIds",
    "Workload",
    "rlimit_of",
]


DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Docker's, for processes whose image names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserIds:
    """A resolved user: numbers only, as the runtime spec wants them."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()
    home: str = "/root"


@dataclass(frozen=True, slots=True, kw_only=True)
class BindMount:
    """One entry of the runtime spec's `mounts`; a bind unless `type` says otherwise."""

    destination: str
    source: str
    type: str = "bind"
    options: tuple[str, ...] = ("rbind", "rprivate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A host device node to make inside, and its cgroup permissions."""

    path_on_host: str
    path: str
    permissions: str = "rwm"
    file_mode: int | None = None
    """None: the host's."""
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A program of the host that the runtime runs; `name` is the spec's (`createContainer`)."""

    name: str
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rlimit:
    """`type` as RLIMIT_NOFILE."""

    type: str
    soft: int
    hard: int


_RLIMITS = frozenset(
    (
        *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile"),
        *("nproc", "rss", "rtprio", "rttime", "sigpending", "stack"),
    )
)


def rlimit_of(name: str, *, soft: int, hard: int) -> Rlimit:
    """`nofile` with its limits, -1 = none. Raises: InvalidParameter in Docker's words."""
    if name not in _RLIMITS:
        raise InvalidParameter(
            f"invalid ulimit type: {name}", hint=f"one of {', '.join(sorted(_RLIMITS))}"
        )
    if hard != -1 and (soft == -1 or soft > hard):
        raise InvalidParameter(
            f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )
    low, high = (2**64 - 1 if value < 0 else value for value in (soft, hard))
    return Rlimit(type=f"RLIMIT_{name.upper()}", soft=low, hard=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class IoLimit:
    """A limit for one block device; `kind` is the runtime spec's (`throttleReadBpsDevice`)."""

    kind: str
    path: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """cgroup limits; 0, empty or None means unlimited."""

    memory_limit_bytes: int = 0
    memory_swap_bytes: int = 0
    memory_reservation_bytes: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    cpu_shares: int = 0
    cpu_quota_us: int = 0
    cpu_period_us: int = 0
    cpu_rt_runtime_us: int = 0
    cpu_rt_period_us: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int = 0
    blkio_weight: int = 0
    io_limits: tuple[IoLimit, ...] = ()
    device_rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Everything the runtime spec needs, with Docker's defaults.

    A namespace value is `"new"`, `"host"` or a path `/proc/<pid>/ns/…` or a netns file.
    `masked_paths`/`readonly_paths` None means the default lists.
    """

    id: str
    rootfs: Path
    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: UserIds = field(default_factory=UserIds)
    terminal: bool = False
    console_size: tuple[int, int] = (0, 0)
    """Height and width in characters; 0 = unknown."""
    hostname: str = ""
    domainname: str = ""
    readonly_rootfs: bool = False
    mounts: tuple[BindMount, ...] = ()
    devices: tuple[Device, ...] = ()
    capabilities_add: tuple[str, ...] = ()
    capabilities_drop: tuple[str, ...] = ()
    privileged: bool = False
    seccomp: str = "default"
    """`default`, `unconfined` or the JSON text of a Docker seccomp profile."""
    no_new_privileges: bool = False
    apparmor_profile: str = ""
    network: str = "new"
    pid: str = "new"
    ipc: str = "new"
    uts: str = "new"
    cgroup: str = "new"
    control_group: ControlGroup | None = None
    """None: the runtime decides."""
    user_namespace: str = ""
    """The file of one; empty: the host's."""
    id_mapping: IdMapping | None = None
    """That of `user_namespace`."""
    resources: Resources = field(default_factory=Resources)
    rlimits: tuple[Rlimit, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
    shm_size_bytes: int = 64 * 1024 * 1024
    oom_score_adj: int = 0
    masked_paths: tuple[str, ...] | None = None
    readonly_paths: tuple[str, ...] | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    hooks: tuple[Hook, ...] = ()

    @property
    def by_systemd(self) -> bool:
        """True when systemd is to make its control group."""
        return self.control_group is not None and self.control_group.by_systemd
