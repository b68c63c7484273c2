"""Format: a container as `ps` and `inspect` show it: records → Docker's JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pogu.api.network_settings import endpoint_settings, listed_ports, network_settings
from pogu.api.units import NEVER, human_duration, unix
from pogu.config import Paths
from pogu.containers.health import HealthStatus
from pogu.containers.log_options import FILE_DRIVERS
from pogu.containers.model import Container, ContainerState, Status
from pogu.model.container import HostConfig

__all__ = ["command_line", "inspected", "status_text", "summary"]

_OMITTED_WHEN_EMPTY = (
    "ExposedPorts",
    "Healthcheck",
    "ArgsEscaped",
    "NetworkDisabled",
    "MacAddress",
    "StopSignal",
    "StopTimeout",
    "Shell",
)


def status_text(state: ContainerState, now: float) -> str:
    """Return the Status column: `Up 5 minutes`, `Exited (0) 3 seconds ago`."""
    up = human_duration(now - unix(state.started_at))
    ended = human_duration(now - unix(state.finished_at))
    match state.status:
        case Status.RUNNING:
            return f"Up {up}{_health_words(state)}"
        case Status.PAUSED:
            return f"Up {up} (Paused)"
        case Status.RESTARTING:
            return f"Restarting ({state.exit_code}) {ended} ago"
        case Status.REMOVING:
            return "Removal In Progress"
        case Status.DEAD:
            return "Dead"
        case Status.CREATED:
            return "Created"
        case _:
            if state.finished_at == NEVER:
                return ""
            return f"Exited ({state.exit_code}) {ended} ago"


def _health_words(state: ContainerState) -> str:
    if state.health is None:
        return ""
    starting = state.health.status is HealthStatus.STARTING
    return f" ({'health: ' if starting else ''}{state.health.status})"


def command_line(args: tuple[str, ...]) -> str:
    """Return the Command column: words with spaces in quotes."""
    rest = [f"'{word}'" if " " in word else word for word in args[1:]]
    return " ".join([*args[:1], *rest])


def summary(
    container: Container,
    *,
    now: float,
    image_name: str | None = None,
    sizes: tuple[int, int] | None = None,
) -> dict[str, object]:
    """Return one entry of `GET /containers/json`."""
    record, state = container.record, container.state
    answer: dict[str, object] = {
        "Id": record.id,
        "Names": [f"/{name}" for name in (container.name, *container.linked_as)],
        "Image": record.image_name if image_name is None else image_name,
        "ImageID": record.image_id,
        "Command": command_line(record.args),
        "Created": unix(record.created),
        "Ports": listed_ports(container),
        "Labels": record.config.labels or {},
        "State": state.status,
        "Status": status_text(state, now),
        "HostConfig": {"NetworkMode": record.host_config.network_mode},
        "NetworkSettings": {"Networks": endpoint_settings(container)},
        "Mounts": [_mount(mount) for mount in msgspec.to_builtins(record.mounts)],
    }
    if sizes is not None:
        answer |= {"SizeRw": sizes[0], "SizeRootFs": sizes[1]}
    return answer


def inspected(
    container: Container,
    *,
    paths: Paths,
    lower_directories: tuple[object, ...] = (),
    sizes: tuple[int, int] | None = None,
    exec_ids: Sequence[str] = (),
    links: Sequence[str] = (),
    apparmor_profile: str = "",
) -> dict[str, object]:
    """Return the answer to `GET /containers/{name}/json`."""
    record = container.record
    home = paths.containers / record.id
    driver = record.host_config.log_config.type or "json-file"
    answer: dict[str, object] = {
        "Id": record.id,
        "Created": record.created,
        "Path": record.args[0] if record.args else "",
        "Args": record.args[1:],
        "State": _state(container.state),
        "Image": record.image_id,
        "ResolvConfPath": str(home / "resolv.conf"),
        "HostnamePath": str(home / "hostname"),
        "HostsPath": str(home / "hosts"),
        "LogPath": str(home / "ctr.log") if driver in FILE_DRIVERS else "",
        "Name": f"/{container.name}",
        "RestartCount": container.state.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": apparmor_profile,
        "ExecIDs": list(exec_ids) or None,
        "HostConfig": host_config(record.host_config) | {"Links": list(links) or None},
        "GraphDriver": {
            "Name": "overlay2",
            "Data": {
                "ID": record.id,
                "LowerDir": ":".join(map(str, lower_directories)),
                "MergedDir": str(home / "rootfs"),
                "UpperDir": str(home / "upper"),
                "WorkDir": str(home / "work"),
            },
        },
        "Mounts": [_mount(mount) for mount in msgspec.to_builtins(record.mounts)],
        "Config": _config(msgspec.to_builtins(record.config)),
        "NetworkSettings": network_settings(container),
    }
    if sizes is not None:
        answer |= {"SizeRw": sizes[0], "SizeRootFs": sizes[1]}
    return answer


def _state(state: ContainerState) -> dict[str, object]:
    answer: dict[str, object] = {
        "Status": state.status,
        "Running": state.status in (Status.RUNNING, Status.PAUSED, Status.RESTARTING),
        "Paused": state.status is Status.PAUSED,
        "Restarting": state.status is Status.RESTARTING,
        "OOMKilled": state.oom_killed,
        "Dead": state.status is Status.DEAD,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": state.started_at,
        "FinishedAt": state.finished_at,
    }
    if state.health is not None:
        answer["Health"] = msgspec.to_builtins(state.health)
    return answer


def _mount(mount: dict[str, Any]) -> dict[str, Any]:
    """Name and Driver belong to volumes only; a mode of ours is no mode of Docker's."""
    if mount["Type"] == "bind" and "recursive" in mount["Mode"]:
        mount = mount | {"Mode": ""}
    shown = {key: value for key, value in mount.items() if key not in ("Layer", "Subpath")}
    return {key: value for key, value in shown.items() if value or key not in ("Name", "Driver")}


def _config(config: dict[str, Any]) -> dict[str, Any]:
    """Return a container's config as Docker prints it: some fields are left out when empty."""
    kept = {
        key: value
        for key, value in config.items()
        if key not in ("HostConfig", "NetworkingConfig")
        and (value or key not in _OMITTED_WHEN_EMPTY)
    }
    return kept | {"Labels": config["Labels"] or {}}


def host_config(config: HostConfig) -> dict[str, Any]:
    """Return a host config as it was given, with Docker's empty objects where it has them."""
    tree: dict[str, Any] = msgspec.to_builtins(config)
    log = tree["LogConfig"]
    tree["LogConfig"] = {"Type": log["Type"] or "json-file", "Config": log["Config"] or {}}
    tree["PortBindings"] = tree["PortBindings"] or {}
    if config.mounts is None:
        del tree["Mounts"]
    else:
        tree["Mounts"] = [{"Type": "bind"} | mount for mount in tree["Mounts"]]
    for key in ("Annotations", "Tmpfs", "Sysctls", "StorageOpt", "Init"):
        if tree[key] is None:
            del tree[key]
    del tree["KernelMemory"]  # since API 1.42 it is no field
    return tree
