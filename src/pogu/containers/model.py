"""Format: a container's immutable record and its mutable state; legal transitions as a table."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from pogu.containers.ends import End, StopRequest
from pogu.containers.health import Health
from pogu.model.container import ContainerConfig, HostConfig, NetworkingConfig
from pogu.network.service import Endpoint
from pogu.oci.digest import ChainId, Digest

__all__ = [
    "LEGAL",
    "Container",
    "ContainerRecord",
    "ContainerState",
    "MountPoint",
    "Status",
    "image_layers",
    "parse_time_ns",
    "volume_users",
]


class Status(StrEnum):
    """Docker's words; booleans such as Running are derived at the API."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    EXITED = "exited"
    REMOVING = "removing"
    DEAD = "dead"


LEGAL: dict[Status, frozenset[Status]] = {
    Status.CREATED: frozenset({Status.RUNNING, Status.REMOVING, Status.EXITED}),
    Status.RUNNING: frozenset({Status.PAUSED, Status.RESTARTING, Status.EXITED}),
    Status.PAUSED: frozenset({Status.RUNNING, Status.RESTARTING, Status.EXITED}),
    Status.RESTARTING: frozenset({Status.RUNNING, Status.EXITED, Status.REMOVING}),
    Status.EXITED: frozenset({Status.RUNNING, Status.RESTARTING, Status.REMOVING, Status.DEAD}),
    Status.REMOVING: frozenset({Status.DEAD}),
    Status.DEAD: frozenset({Status.REMOVING}),
}


class MountPoint(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One line of inspect's Mounts; `source` is the host path."""

    type: str
    source: str
    destination: str
    name: str = ""
    driver: str = ""
    mode: str = ""
    rw: bool = msgspec.field(name="RW", default=True)
    propagation: str = ""
    layer: ChainId | None = None
    """The top layer of an image; its ID is the source, its name as given the name."""
    subpath: str = ""
    """Of an image; a volume's is in the source."""


class ContainerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Fixed at creation. `config` is the client's, with the image's defaults merged in."""

    id: str
    created: str
    """RFC 3339 with nanoseconds, UTC."""
    image_id: Digest
    image_name: str
    """As the client gave it."""
    top_layer: ChainId | None
    args: tuple[str, ...]
    """Entrypoint and command joined: what is executed."""
    config: ContainerConfig
    host_config: HostConfig
    networking: NetworkingConfig
    mounts: tuple[MountPoint, ...] = ()


class ContainerState(msgspec.Struct, frozen=True, kw_only=True):
    """What changes. Times are RFC 3339 with nanoseconds; `0001-01-01T00:00:00Z` = never."""

    status: Status = Status.CREATED
    pid: int = 0
    conmon_pid: int = 0
    cgroup: str = ""
    """Of this run or the last: its control group, from the root of each hierarchy."""
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_at: str = "0001-01-01T00:00:00Z"
    finished_at: str = "0001-01-01T00:00:00Z"
    restart_count: int = 0
    stopped_by_user: bool = False
    health: Health | None = None
    """None when it has no health check."""
    hint: str = ""
    """What to do about `error`."""
    stop_request: StopRequest | None = None
    """Of this run; it is committed before the signal is sent."""
    ends: tuple[End, ...] = ()
    """The last ones, newest last."""
    removes_volumes: bool = False
    """A removal that was begun takes its anonymous volumes along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A snapshot of one container: what `ps` and `inspect` show."""

    name: str
    """Without the leading slash that Docker's API adds."""
    record: ContainerRecord
    state: ContainerState
    endpoint: Endpoint | None
    linked_as: tuple[str, ...] = ()
    """`name/alias` of the links that lead to it, where all containers are listed."""

    @property
    def id(self) -> str:
        return self.record.id


def volume_users(containers: Iterable[Container]) -> dict[str, list[str]]:
    """Return the IDs of the containers that use each volume, by the volume's name."""
    found: dict[str, list[str]] = {}
    for container in containers:
        for mount in container.record.mounts:
            if mount.type == "volume":
                found.setdefault(mount.name, []).append(container.id)
    return found


def image_layers(mounts: Iterable[MountPoint]) -> set[ChainId]:
    """Return the top layers of the images that are mounted."""
    return {mount.layer for mount in mounts if mount.layer is not None}


def parse_time_ns(text: str) -> int:
    """RFC 3339 with nanoseconds, as records and states have it → since the epoch; 0 for "never"."""
    if text.startswith("0001"):
        return 0
    seconds = calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
    fraction = text[20:].rstrip("Z").ljust(9, "0")[:9]
    return seconds * 1_000_000_000 + int(fraction or 0)
