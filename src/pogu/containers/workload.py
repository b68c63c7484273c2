"""Format: a container record → the `Workload` that the runtime runs, by Docker's rules."""

from __future__ import annotations

import os
import posixpath
import resource
from collections.abc import Callable
from pathlib import Path

from pogu.containers.limits import resources_of
from pogu.containers.merge import effective_env
from pogu.containers.model import ContainerRecord
from pogu.containers.mounts import by_depth, oci_mounts
from pogu.containers.tmpfs import tmpfs_mounts
from pogu.errors import InvalidParameter
from pogu.linux.apparmor import DEFAULT_PROFILE, UNCONFINED
from pogu.linux.cgroup import CgroupSetup
from pogu.linux.idmap import IdMapping
from pogu.model.container import HostConfig
from pogu.runtime.control_group import CgroupDriver, control_group
from pogu.runtime.device import devices_below
from pogu.runtime.workload import BindMount, Device, Rlimit, UserIds, Workload, rlimit_of

__all__ = ["apparmor_profile", "container_workload", "wanted_rlimits"]

_DEFAULT_SHM_BYTES = 64 * 1024 * 1024
_INIT = ("/usr/bin/catatonit", "/usr/libexec/podman/catatonit", "/usr/bin/tini")
_INIT_INSIDE = "/sbin/docker-init"


def container_workload(
    record: ContainerRecord,
    *,
    directory: Path,
    rootfs: Path,
    user: UserIds,
    network: str,
    hostname: str,
    cgroup: CgroupSetup,
    driver: CgroupDriver,
    namespace_of: Callable[[str, str], str],
    apparmor: str = "",
    user_namespace: str = "",
    id_mapping: IdMapping | None = None,
) -> Workload:
    """Everything is decided here but what needs the kernel.

    `namespace_of(container, kind)` gives the path of a running container's namespace; `apparmor` is
    the profile, empty where the host has none.
    """
    config, host = record.config, record.host_config
    security = _security(host)
    args = record.args
    mounts = [*_own_files(record, directory), *oci_mounts(record.mounts), *tmpfs_mounts(host)]
    if host.init:
        args = (_INIT_INSIDE, "--", *args)
        mounts.append(_init_mount())
    env = effective_env(config, hostname=hostname, home=user.home)
    return Workload(
        id=record.id,
        rootfs=rootfs,
        args=args,
        env=env,
        cwd=posixpath.normpath("/" + config.working_dir.lstrip("/")),
        user=user,
        terminal=config.tty,
        console_size=host.console_size,
        hostname=hostname,
        domainname=config.domainname,
        readonly_rootfs=host.readonly_rootfs,
        mounts=by_depth(mounts),
        devices=wanted_devices(host),
        capabilities_add=host.cap_add or (),
        capabilities_drop=host.cap_drop or (),
        privileged=host.privileged,
        seccomp=security.get("seccomp", "default"),
        no_new_privileges=security.get("no-new-privileges") == "true",
        apparmor_profile="" if apparmor == UNCONFINED else apparmor,
        network=network,
        pid=_namespace(host.pid_mode, "pid", namespace_of),
        ipc=_namespace(host.ipc_mode, "ipc", namespace_of),
        uts="host" if host.uts_mode == "host" else "new",
        cgroup="host" if host.cgroupns_mode == "host" else "new",
        control_group=control_group(driver, record.id, host.cgroup_parent),
        user_namespace=user_namespace,
        id_mapping=id_mapping,
        resources=resources_of(host, cgroup)[0],
        rlimits=wanted_rlimits(host),
        sysctls=_sysctls(host, network, id_mapping),
        shm_size_bytes=host.shm_size or _DEFAULT_SHM_BYTES,
        oom_score_adj=host.oom_score_adj,
        masked_paths=() if security.get("systempaths") == "unconfined" else host.masked_paths,
        readonly_paths=() if security.get("systempaths") == "unconfined" else host.readonly_paths,
        annotations=host.annotations or {},
    )


def wanted_devices(host: HostConfig) -> tuple[Device, ...]:
    """Return the devices that are given; a directory stands for those below it. A privileged
    container has the host's already.

    Raises: InvalidParameter in Docker's words for what is no device.
    """
    given = (
        Device(
            path_on_host=device.path_on_host,
            path=device.path_in_container or device.path_on_host,
            permissions=device.cgroup_permissions or "rwm",
        )
        for device in host.devices or ()
        if not (host.privileged and os.path.exists(device.path_in_container or device.path_on_host))
    )
    return tuple(one for device in given for one in devices_below(device))


def _namespace(mode: str, kind: str, namespace_of: Callable[[str, str], str]) -> str:
    if mode == "host":
        return "host"
    if mode.startswith("container:"):
        return namespace_of(mode.removeprefix("container:"), kind)
    return "new"


def _own_files(record: ContainerRecord, directory: Path) -> list[BindMount]:
    """hosts, hostname and resolv.conf, except where the user mounts something there."""
    taken = {mount.destination for mount in record.mounts}
    return [
        BindMount(destination=f"/etc/{name}", source=str(directory / name))
        for name in ("resolv.conf", "hostname", "hosts")
        if f"/etc/{name}" not in taken
    ]


def _init_mount() -> BindMount:
    for path in _INIT:
        if os.access(path, os.X_OK):
            return BindMount(
                destination=_INIT_INSIDE, source=path, options=("bind", "rprivate", "ro")
            )
    raise InvalidParameter(
        "exec: catatonit: executable file not found: --init needs an init program",
        hint="apt-get install catatonit",
    )


def apparmor_profile(host: HostConfig) -> str:
    """The profile of a container where the host has AppArmor; elsewhere none, as with Docker."""
    chosen = _security(host).get("apparmor", "")
    return chosen or (UNCONFINED if host.privileged else DEFAULT_PROFILE)


def _security(host: HostConfig) -> dict[str, str]:
    """Raises: InvalidParameter in Docker's words."""
    chosen: dict[str, str] = {}
    for option in host.security_opt or ():
        if option in ("no-new-privileges", "no-new-privileges:true"):
            chosen["no-new-privileges"] = "true"
            continue
        separator = "=" if "=" in option else ":"
        key, _, value = option.partition(separator)
        if key not in ("seccomp", "apparmor", "label", "no-new-privileges", "systempaths"):
            raise InvalidParameter(
                f'invalid --security-opt 2: "{option}"',
                hint="known are seccomp=, apparmor=, label=, no-new-privileges, systempaths=",
            )
        chosen[key] = value
    return chosen


def wanted_rlimits(host: HostConfig) -> tuple[Rlimit, ...]:
    """What was asked for; open files otherwise as many as the engine may hand on, to 2^20."""
    chosen = {}
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = 1 << 20 if hard == resource.RLIM_INFINITY else min(hard, 1 << 20)
    chosen["RLIMIT_NOFILE"] = Rlimit(type="RLIMIT_NOFILE", soft=files, hard=files)
    for limit in host.ulimits or ():
        chosen[f"RLIMIT_{limit.name.upper()}"] = rlimit_of(
            limit.name, soft=limit.soft, hard=limit.hard
        )
    return tuple(chosen.values())


def _sysctls(host: HostConfig, network: str, id_mapping: IdMapping | None = None) -> dict[str, str]:
    defaults = {}
    if network != "host" and not host.network_mode.startswith("container:"):
        defaults = {"net.ipv4.ip_unprivileged_port_start": "0"}
        last = 2**31 - 1  # of the groups that there are
        if id_mapping is not None:
            last = max(one.inside + one.size for one in id_mapping.gids) - 1
        defaults["net.ipv4.ping_group_range"] = f"0 {last}"
    return {**defaults, **(host.sysctls or {})}
