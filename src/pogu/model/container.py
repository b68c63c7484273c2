"""Format: the container half of the Docker Engine API (create request, config, host config)."""

from __future__ import annotations

import msgspec

__all__ = [
    "ContainerConfig",
    "CreateRequest",
    "DeviceMapping",
    "DeviceRequest",
    "EndpointSettings",
    "HealthConfig",
    "HostConfig",
    "LogConfig",
    "MountSpec",
    "NetworkingConfig",
    "PortBinding",
    "RestartPolicy",
    "ThrottleDevice",
    "Ulimit",
    "UpdateRequest",
    "WeightDevice",
]


class _Wire(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """Docker's spelling on the wire; unknown fields of newer clients are let through."""


class HealthConfig(_Wire, frozen=True, kw_only=True, omit_defaults=True):
    """HEALTHCHECK; durations in nanoseconds, 0 = inherit."""

    test: tuple[str, ...] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ContainerConfig(_Wire, frozen=True, kw_only=True):
    """What runs, independent of the host: also the `config` object of an image config."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, dict[str, str]] | None = None
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    healthcheck: HealthConfig | None = None
    args_escaped: bool = False
    image: str = ""
    volumes: dict[str, dict[str, str]] | None = None
    working_dir: str = ""
    entrypoint: tuple[str, ...] | None = None
    network_disabled: bool = False
    mac_address: str = ""
    on_build: tuple[str, ...] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    stop_timeout: int | None = None
    shell: tuple[str, ...] | None = None


class PortBinding(_Wire, frozen=True, kw_only=True):
    """One published port; an empty host port means "pick one"."""

    host_ip: str = ""
    host_port: str = ""


class RestartPolicy(_Wire, frozen=True, kw_only=True):
    """`no` (or empty), `on-failure`, `always`, `unless-stopped`."""

    name: str = ""
    maximum_retry_count: int = 0


class LogConfig(_Wire, frozen=True, kw_only=True):
    """Log driver and its options, echoed as given."""

    type: str = ""
    config: dict[str, str] | None = None


class Ulimit(_Wire, frozen=True, kw_only=True):
    """One rlimit by Docker's name (`nofile`); -1 = unlimited."""

    name: str
    soft: int
    hard: int


class DeviceMapping(_Wire, frozen=True, kw_only=True):
    """One host device inside the container; permissions out of `rwm`."""

    path_on_host: str
    path_in_container: str = ""
    cgroup_permissions: str = "rwm"


class DeviceRequest(_Wire, frozen=True, kw_only=True):
    """Devices by what they can do (`--gpus`) or by their CDI names (driver `cdi`)."""

    driver: str = ""
    count: int = 0
    device_ids: tuple[str, ...] | None = msgspec.field(name="DeviceIDs", default=None)
    capabilities: tuple[tuple[str, ...], ...] | None = None
    options: dict[str, str] | None = None


class WeightDevice(_Wire, frozen=True, kw_only=True):
    """Share of one block device, 10 to 1000."""

    path: str
    weight: int


class ThrottleDevice(_Wire, frozen=True, kw_only=True):
    """Highest rate for one block device: bytes or operations a second."""

    path: str
    rate: int


class MountSpec(_Wire, frozen=True, kw_only=True, omit_defaults=True):
    """One `--mount`; the option objects stay raw because they are echoed as given."""

    target: str
    source: str = ""
    type: str = "bind"
    read_only: bool = False
    consistency: str = ""
    bind_options: dict[str, object] | None = None
    volume_options: dict[str, object] | None = None
    tmpfs_options: dict[str, object] | None = None
    image_options: dict[str, object] | None = None


class HostConfig(_Wire, frozen=True, kw_only=True):
    """How it is tied to the host: mounts, ports, limits, isolation."""

    binds: tuple[str, ...] | None = None
    container_id_file: str = msgspec.field(name="ContainerIDFile", default="")
    log_config: LogConfig = msgspec.field(default_factory=LogConfig)
    network_mode: str = "default"
    port_bindings: dict[str, tuple[PortBinding, ...] | None] | None = None
    restart_policy: RestartPolicy = msgspec.field(default_factory=RestartPolicy)
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: tuple[str, ...] | None = None
    console_size: tuple[int, int] = (0, 0)
    annotations: dict[str, str] | None = None
    cap_add: tuple[str, ...] | None = None
    cap_drop: tuple[str, ...] | None = None
    cgroupns_mode: str = ""
    dns: tuple[str, ...] | None = None
    dns_options: tuple[str, ...] | None = None
    dns_search: tuple[str, ...] | None = None
    extra_hosts: tuple[str, ...] | None = None
    group_add: tuple[str, ...] | None = None
    ipc_mode: str = ""
    cgroup: str = ""
    links: tuple[str, ...] | None = None
    oom_score_adj: int = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: tuple[str, ...] | None = None
    storage_opt: dict[str, str] | None = None
    tmpfs: dict[str, str] | None = None
    uts_mode: str = msgspec.field(name="UTSMode", default="")
    userns_mode: str = ""
    shm_size: int = 0
    sysctls: dict[str, str] | None = None
    runtime: str = ""
    isolation: str = ""
    cpu_shares: int = 0
    memory: int = 0
    kernel_memory: int = 0
    nano_cpus: int = 0
    cgroup_parent: str = ""
    blkio_weight: int = 0
    blkio_weight_device: tuple[WeightDevice, ...] | None = None
    blkio_device_read_bps: tuple[ThrottleDevice, ...] | None = None
    blkio_device_write_bps: tuple[ThrottleDevice, ...] | None = None
    blkio_device_read_iops: tuple[ThrottleDevice, ...] | None = msgspec.field(
        name="BlkioDeviceReadIOps", default=None
    )
    blkio_device_write_iops: tuple[ThrottleDevice, ...] | None = msgspec.field(
        name="BlkioDeviceWriteIOps", default=None
    )
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: tuple[DeviceMapping, ...] | None = None
    device_cgroup_rules: tuple[str, ...] | None = None
    device_requests: tuple[DeviceRequest, ...] | None = None
    memory_reservation: int = 0
    memory_swap: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool | None = None
    pids_limit: int | None = None
    ulimits: tuple[Ulimit, ...] | None = None
    mounts: tuple[MountSpec, ...] | None = None
    masked_paths: tuple[str, ...] | None = None
    readonly_paths: tuple[str, ...] | None = None
    init: bool | None = None


class EndpointSettings(_Wire, frozen=True, kw_only=True):
    """What a client asks of one network for one container."""

    ipam_config: dict[str, object] | None = msgspec.field(name="IPAMConfig", default=None)
    links: tuple[str, ...] | None = None
    mac_address: str = ""
    aliases: tuple[str, ...] | None = None
    driver_opts: dict[str, str] | None = None


class NetworkingConfig(_Wire, frozen=True, kw_only=True):
    """Networks to join at creation, by name."""

    endpoints_config: dict[str, EndpointSettings | None] | None = None


class CreateRequest(ContainerConfig, frozen=True, kw_only=True, rename="pascal"):
    """Body of `POST /containers/create`: the config with host and network config beside it."""

    host_config: HostConfig = msgspec.field(default_factory=HostConfig)
    networking_config: NetworkingConfig = msgspec.field(default_factory=NetworkingConfig)


class UpdateRequest(_Wire, frozen=True, kw_only=True):
    """Body of `POST /containers/{id}/update`; 0, empty and None leave a value as it is."""

    cpu_shares: int = 0
    memory: int = 0
    nano_cpus: int = 0
    blkio_weight: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    kernel_memory: int = 0
    memory_reservation: int = 0
    memory_swap: int = 0
    pids_limit: int | None = None
    restart_policy: RestartPolicy = msgspec.field(default_factory=RestartPolicy)
