"""Format: what a container has mounted: Binds, --mount, tmpfs, volumes, --volumes-from. Pure.

`plan_mounts` returns what is wanted; the service makes volumes and directories out of it.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Sequence

from pogu.containers.model import MountPoint
from pogu.containers.mount_spec import (
    WantedMount,
    bad_words,
    check_destination,
    parse_bind,
    parse_mount,
)
from pogu.containers.tmpfs import check_tmpfs
from pogu.errors import InvalidParameter
from pogu.model.container import ContainerConfig, HostConfig
from pogu.runtime.workload import BindMount

__all__ = ["by_depth", "oci_mounts", "plan_mounts", "with_source"]


def _from_container(
    text: str, mounts_of: Callable[[str], Sequence[MountPoint]]
) -> list[MountPoint]:
    """Parse `--volumes-from NAME[:ro|rw]`."""
    name, _, mode = text.partition(":")
    words = mode.split(",")
    if not name:
        raise InvalidParameter("volumes-from specification cannot be an empty string")
    if mode and (bad_words(words) or not {"ro", "rw", "z", "Z"}.issuperset(words)):
        raise InvalidParameter(f"invalid mode: {mode}", hint="--volumes-from NAME[:ro|rw]")
    found = []
    for mount in mounts_of(name):
        if mount.type != "tmpfs":
            read_only = not mount.rw or "ro" in mode.split(",")
            found.append(
                MountPoint(
                    type=mount.type,
                    source=mount.source,
                    destination=mount.destination,
                    name=mount.name,
                    driver=mount.driver,
                    mode=mode or mount.mode,
                    rw=not read_only,
                    propagation=mount.propagation,
                    layer=mount.layer,
                    subpath=mount.subpath,
                )
            )
    return found


def plan_mounts(
    config: ContainerConfig,
    host: HostConfig,
    mounts_of: Callable[[str], Sequence[MountPoint]],
) -> list[WantedMount | MountPoint]:
    """Return every mount, the outer before the inner; what `--volumes-from` gave is ready.

    `-v` and `--mount` go before `--volumes-from`, these before the image's VOLUMEs.
    Raises: InvalidParameter("Duplicate mount point: …").
    """
    named = [parse_bind(spec) for spec in host.binds or ()]
    named += [parse_mount(spec) for spec in host.mounts or ()]
    for text in (host.tmpfs or {}).values():
        check_tmpfs(text.split(","))
    named += [
        WantedMount(type="tmpfs", source="", destination=check_destination(path, path))
        for path in host.tmpfs or {}
    ]
    chosen: dict[str, WantedMount | MountPoint] = {}
    for mount in named:
        if mount.destination in chosen:
            raise InvalidParameter(
                f"Duplicate mount point: {mount.destination}", hint="mount one thing there"
            )
        chosen[mount.destination] = mount
    for text in host.volumes_from or ():
        for inherited in _from_container(text, mounts_of):
            chosen.setdefault(inherited.destination, inherited)
    for path in config.volumes or {}:
        destination = check_destination(path, path)
        anonymous = WantedMount(type="volume", source="", destination=destination)
        chosen.setdefault(destination, anonymous)
    return sorted(
        chosen.values(), key=lambda mount: (mount.destination.count("/"), mount.destination)
    )


def oci_mounts(
    mounts: Sequence[MountPoint], is_directory: Callable[[str], bool] = os.path.isdir
) -> list[BindMount]:
    """Return the runtime spec's bind mounts; tmpfs are in `tmpfs.py`.

    A read-only directory is so with all that is mounted below it (`rro`, and `ro` for runtimes
    that do not know it); crun 1.8 refuses that word for a file, which has nothing below.
    """
    made = []
    for mount in mounts:
        if mount.type == "tmpfs":
            continue
        recursion = "bind" if mount.mode == "nonrecursive" else "rbind"
        options = [recursion, mount.propagation or "rprivate"]
        if not mount.rw:
            options.append("ro")
            alone = mount.mode in ("nonrecursive", "ro-nonrecursive")
            if not alone and is_directory(mount.source):
                options.append("rro")
        made.append(
            BindMount(destination=mount.destination, source=mount.source, options=tuple(options))
        )
    return made


def by_depth(mounts: Sequence[BindMount]) -> tuple[BindMount, ...]:
    """Return the mounts in the order to make them: the outer before the inner."""
    return tuple(sorted(mounts, key=lambda mount: mount.destination.count("/")))


def with_source(mount: WantedMount, source: str, name: str = "") -> MountPoint:
    """Return the mount as inspect shows it, once it is known where its data lie."""
    if mount.subpath:
        source = posixpath.join(source, mount.subpath)
    return MountPoint(
        type=mount.type,
        source=source,
        destination=mount.destination,
        name=name,
        driver="local" if mount.type == "volume" else "",
        mode=mount.mode,
        rw=not mount.read_only,
        propagation=mount.propagation,
    )
