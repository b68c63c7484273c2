"""Builders: values with defaults, so that a test names only what it is about."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pogu.containers.entry import Entry
from pogu.containers.model import ContainerRecord, ContainerState, MountPoint, Status
from pogu.images.image import Image
from pogu.linux.cgroup import CgroupSetup
from pogu.model.container import (
    ContainerConfig,
    CreateRequest,
    HostConfig,
    NetworkingConfig,
    RestartPolicy,
)
from pogu.oci.digest import Digest
from pogu.oci.image import ImageConfig
from pogu.runtime.workload import UserIds, Workload

__all__ = [
    "a_cgroup_setup",
    "a_config",
    "a_container",
    "a_host_config",
    "a_record",
    "a_request",
    "a_workload",
    "an_image",
    "k8s_line",
]

CONTAINER_ID = "c0ffee" + "0" * 58
IMAGE_ID = Digest("sha256:" + "1" * 64)
NEVER = "0001-01-01T00:00:00Z"


def a_config(**fields: object) -> ContainerConfig:
    """A container's config by Python field names; it runs `sleep 1000`."""
    return msgspec.structs.replace(ContainerConfig(cmd=("sleep", "1000")), **fields)


def a_host_config(*, restart: str = "", retries: int = 0, **fields: object) -> HostConfig:
    """A host config by Python field names."""
    policy = RestartPolicy(name=restart, maximum_retry_count=retries)
    return msgspec.structs.replace(HostConfig(restart_policy=policy), **fields)


def a_request(host: HostConfig | None = None, /, **fields: object) -> CreateRequest:
    """A create request for the image `web`."""
    request = CreateRequest(image="web", host_config=host or HostConfig())
    return msgspec.structs.replace(request, **fields)


def a_record(
    *,
    id: str = CONTAINER_ID,
    config: ContainerConfig | None = None,
    host: HostConfig | None = None,
    mounts: tuple[MountPoint, ...] = (),
) -> ContainerRecord:
    """What is fixed at a container's creation."""
    config = config or a_config()
    return ContainerRecord(
        id=id,
        created="2026-01-01T00:00:00.000000000Z",
        image_id=IMAGE_ID,
        image_name="web",
        top_layer=None,
        args=config.cmd or (),
        config=config,
        host_config=host or HostConfig(),
        networking=NetworkingConfig(),
        mounts=mounts,
    )


def a_container(
    *,
    name: str = "web",
    id: str = CONTAINER_ID,
    config: ContainerConfig | None = None,
    host: HostConfig | None = None,
    mounts: tuple[MountPoint, ...] = (),
    status: Status = Status.CREATED,
    started_at: str = NEVER,
    **state: object,
) -> Entry:
    """One container in memory; further keywords are fields of its state."""
    first = ContainerState(status=status, started_at=started_at)
    record = a_record(id=id, config=config, host=host, mounts=mounts)
    return Entry(name, record, msgspec.structs.replace(first, **state))


def an_image(**config: object) -> Image:
    """An image without layers; keywords are fields of its container config."""
    return Image(
        id=IMAGE_ID,
        raw_config=b"{}",
        config=ImageConfig(architecture="amd64", os="linux", config=a_config(**config)),
        top_layer=None,
        size_bytes=0,
        parent=None,
        tags=(),
        repo_digests=(),
    )


def a_workload(**fields: object) -> Workload:
    """What one bundle runs: `true`, as root."""
    values: dict[str, object] = {
        "id": CONTAINER_ID,
        "rootfs": Path("/rootfs"),
        "args": ("true",),
        "user": UserIds(),
        **fields,
    }
    return Workload(**values)  # type: ignore[arg-type]


def a_cgroup_setup(
    *controllers: str,
    mode: str = "v2",
    swap_limit: bool = True,
    oom_kill_disable: bool = False,
) -> CgroupSetup:
    """A host with every controller unless some are named."""
    every = ("cpu", "cpuset", "io", "memory", "pids")
    return CgroupSetup(
        mode=mode,
        controllers=frozenset(controllers or every),
        swap_limit=swap_limit,
        oom_kill_disable=oom_kill_disable,
        systemd=False,
    )


def k8s_line(
    text: str | bytes,
    *,
    second: int = 0,
    stream: str = "stdout",
    tag: str = "F",
) -> bytes:
    """One line as conmon writes it, `second` seconds after 2026-01-02 03:04:00 UTC."""
    data = text.encode() if isinstance(text, str) else text
    minutes, seconds = divmod(second, 60)
    stamp = f"2026-01-02T03:{4 + minutes:02d}:{seconds:02d}.000000000+00:00"
    return f"{stamp} {stream} {tag} ".encode() + data + b"\n"
