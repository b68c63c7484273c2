"""Format: what a container has mounted: Binds, --mount, tmpfs, volumes, --volumes-from. Pure.

`plan_mounts` returns what is wanted; the service makes volumes and directories out of it.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pogu.containers.model import MountPoint
from pogu.errors import InvalidParameter
from pogu.model.container import ContainerConfig, HostConfig, MountSpec
from pogu.runtime.workload import BindMount
from pogu.volumes.service import check_volume_name

__all__ = ["WantedMount", "oci_mounts", "plan_mounts", "tmpfs_mounts"]

_PROPAGATION = frozenset(("private", "rprivate", "shared", "rshared", "slave", "rslave"))
_MODES = frozenset(
    ("", "ro", "rw", "z", "Z", "nocopy", "copy", "consistent", "cached", "delegated", "rro")
)
_RECURSION = {
    "NonRecursive": "nonrecursive",
    "ReadOnlyNonRecursive": "ro-nonrecursive",
    "ReadOnlyForceRecursive": "ro-recursive",
}
"""Fields of BindOptions → our own words in the mode; `inspect` does not show them."""
_TMPFS_DEFAULTS = ("nosuid", "nodev", "noexec")
_TMPFS_VALUES = frozenset(("mode", "uid", "gid", "size", "nr_inodes", "nr_blocks", "mpol"))
_TMPFS_FLAGS = frozenset(
    (
        *("defaults", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync"),
        *("async", "dirsync", "remount", "mand", "nomand", "atime", "noatime", "diratime"),
        *("nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime"),
        *_PROPAGATION,
    )
)
_OPPOSITES = {
    "suid": "nosuid",
    "dev": "nodev",
    "exec": "noexec",
    "rw": "ro",
    "atime": "noatime",
    "nosuid": "suid",
    "nodev": "dev",
    "noexec": "exec",
    "ro": "rw",
    "noatime": "atime",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedMount:
    """One mount before its volume or directory exists.

    `source` is a host path for a bind, a volume's name for a volume ("" = make an anonymous one).
    """

    type: str
    source: str
    destination: str
    mode: str = ""
    read_only: bool = False
    propagation: str = ""
    must_exist: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    subpath: str = ""


def _check_destination(path: str, spec: str) -> str:
    if not path.startswith("/"):
        raise InvalidParameter(
            f"invalid volume specification: '{spec}': invalid mount path: '{path}' mount path must"
            " be absolute",
            hint=f"write /{path.lstrip('./')}",
        )
    clean = posixpath.normpath("/" + path.lstrip("/"))
    if clean == "/":
        raise InvalidParameter(
            f"invalid volume specification: '{spec}': invalid specification: destination can't be"
            " '/'"
        )
    return clean


def parse_bind(spec: str) -> WantedMount:
    """Parse `-v`: `/path`, `source:/path` or `source:/path:options`.

    Raises: InvalidParameter in Docker's words.
    """
    parts = spec.split(":")
    no_place = len(parts) == 2 and not _bad_words(parts[1].split(","))
    if len(parts) > 3 or not all(parts) or no_place:
        raise InvalidParameter(
            f"invalid volume specification: '{spec}'", hint="write SOURCE:/DESTINATION[:ro]"
        )
    if len(parts) == 1:
        return WantedMount(type="volume", source="", destination=_check_destination(spec, spec))
    source, mode = parts[0], parts[2] if len(parts) == 3 else ""
    words = mode.split(",")
    if _bad_words(words):
        raise InvalidParameter(
            f"invalid volume specification: '{spec}': invalid mode: {mode}",
            hint="options are ro, rw, z, Z, nocopy and a propagation such as rslave",
        )
    is_bind = source.startswith("/")
    if not is_bind:
        check_volume_name(source)
    propagation = next((word for word in words if word in _PROPAGATION), "")
    return WantedMount(
        type="bind" if is_bind else "volume",
        source=posixpath.normpath(source) if is_bind else source,
        destination=_check_destination(parts[1], spec),
        mode=mode if is_bind or mode else "z",
        read_only="ro" in words or "rro" in words,
        propagation=propagation or ("rprivate" if is_bind else ""),
    )


def _bad_words(words: Sequence[str]) -> bool:
    """True for unknown words, and for two of a kind: `ro,rw`."""
    kinds = (("ro", "rw", "rro"), ("z", "Z"), ("nocopy", "copy"), tuple(_PROPAGATION))
    return any(word not in _MODES and word not in _PROPAGATION for word in words) or any(
        sum(word in kind for word in words) > 1 for kind in kinds
    )


def _spec_error(spec: MountSpec, text: str) -> InvalidParameter:
    return InvalidParameter(f'invalid mount config for type "{spec.type}": {text}')


def parse_mount(spec: MountSpec) -> WantedMount:
    """Parse one `--mount` object. Raises: InvalidParameter in Docker's words."""
    if not spec.target:
        raise _spec_error(spec, "field Target must not be empty")
    if not spec.target.startswith("/"):
        raise _spec_error(spec, f"invalid mount path: '{spec.target}' mount path must be absolute")
    destination = posixpath.normpath("/" + spec.target.lstrip("/"))
    if destination == "/":
        raise _spec_error(spec, "invalid specification: destination can't be '/'")
    if spec.type == "bind":
        return _parse_bind_mount(spec, destination)
    if spec.type == "volume":
        return _parse_volume_mount(spec, destination)
    if spec.type == "tmpfs":
        if spec.bind_options is not None:
            raise _spec_error(spec, "field BindOptions must not be specified")
        if spec.source:
            raise _spec_error(spec, "field Source must not be specified")
        return WantedMount(
            type="tmpfs", source="", destination=destination, read_only=spec.read_only
        )
    if spec.type == "image":
        return _parse_image_mount(spec, destination)
    raise InvalidParameter(
        f'invalid mount config for type "{spec.type}": mount type unknown',
        hint="types are bind, volume, tmpfs and image",
    )


def _parse_bind_mount(spec: MountSpec, destination: str) -> WantedMount:
    if not spec.source:
        raise _spec_error(spec, "field Source must not be empty")
    if not spec.source.startswith("/"):
        raise _spec_error(spec, f"invalid mount path: '{spec.source}' mount path must be absolute")
    if spec.volume_options is not None:
        raise _spec_error(spec, "field VolumeOptions must not be specified")
    options = spec.bind_options or {}
    propagation = str(options.get("Propagation") or "rprivate")
    if propagation not in _PROPAGATION:
        raise _spec_error(spec, f"invalid propagation mode: {propagation}")
    return WantedMount(
        type="bind",
        source=posixpath.normpath(spec.source),
        destination=destination,
        mode=next((word for key, word in _RECURSION.items() if options.get(key)), ""),
        read_only=spec.read_only,
        propagation=propagation,
        must_exist=not options.get("CreateMountpoint"),
    )


def _parse_volume_mount(spec: MountSpec, destination: str) -> WantedMount:
    if spec.bind_options is not None:
        raise _spec_error(spec, "field BindOptions must not be specified")
    if spec.source:
        check_volume_name(spec.source)
    elif spec.read_only:
        raise _spec_error(spec, "must not set ReadOnly mode when using anonymous volumes")
    options = spec.volume_options or {}
    driver = options.get("DriverConfig")
    driver_options = driver.get("Options") if isinstance(driver, dict) else None
    labels = options.get("Labels")
    subpath = str(options.get("Subpath") or "")
    if subpath and not spec.source:
        raise _spec_error(spec, "must not set Subpath when using anonymous volumes")
    if isinstance(driver, dict) and driver.get("Name") not in (None, "", "local"):
        raise InvalidParameter(
            f"create {spec.source}: error looking up volume plugin {driver['Name']}: plugin"
            f' "{driver["Name"]}" not found',
            hint="Pogu has the driver local",
        )
    if subpath.startswith("/") or ".." in subpath.split("/"):
        raise _spec_error(spec, f"subpath must be a relative path within the volume: {subpath}")
    return WantedMount(
        type="volume",
        source=spec.source,
        destination=destination,
        mode="nocopy" if options.get("NoCopy") else "z",
        read_only=spec.read_only,
        labels=tuple(labels.items()) if isinstance(labels, dict) else (),
        options=tuple(driver_options.items()) if isinstance(driver_options, dict) else (),
        subpath=subpath,
    )


def _parse_image_mount(spec: MountSpec, destination: str) -> WantedMount:
    if not spec.source:
        raise _spec_error(spec, "field Source must not be empty")
    for name, options in (
        ("BindOptions", spec.bind_options),
        ("VolumeOptions", spec.volume_options),
        ("TmpfsOptions", spec.tmpfs_options),
    ):
        if options is not None:
            raise _spec_error(spec, f"field {name} must not be specified")
    subpath = str((spec.image_options or {}).get("Subpath") or "")
    if subpath.startswith("/") or ".." in subpath.split("/"):
        raise _spec_error(spec, f"subpath must be a relative path within the image: {subpath}")
    return WantedMount(
        type="image",
        source=spec.source,
        destination=destination,
        read_only=True,
        subpath="" if posixpath.normpath(subpath) == "." else subpath,
    )


def _from_container(
    text: str, mounts_of: Callable[[str], Sequence[MountPoint]]
) -> list[MountPoint]:
    """Parse `--volumes-from NAME[:ro|rw]`."""
    name, _, mode = text.partition(":")
    words = mode.split(",")
    if not name:
        raise InvalidParameter("volumes-from specification cannot be an empty string")
    if mode and (_bad_words(words) or not {"ro", "rw", "z", "Z"}.issuperset(words)):
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
        _check_tmpfs(text.split(","))
    named += [
        WantedMount(type="tmpfs", source="", destination=_check_destination(path, path))
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
        destination = _check_destination(path, path)
        anonymous = WantedMount(type="volume", source="", destination=destination)
        chosen.setdefault(destination, anonymous)
    return sorted(
        chosen.values(), key=lambda mount: (mount.destination.count("/"), mount.destination)
    )


def oci_mounts(
    mounts: Sequence[MountPoint], is_directory: Callable[[str], bool] = os.path.isdir
) -> list[BindMount]:
    """Return the runtime spec's bind mounts; tmpfs are in `tmpfs_mounts`.

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


def _check_tmpfs(words: Sequence[str]) -> None:
    for word in words:
        key, equals, _ = word.partition("=")
        if word and not ((key in _TMPFS_VALUES) if equals else (word in _TMPFS_FLAGS)):
            raise InvalidParameter(
                f'Invalid tmpfs option ["{key}"]', hint="for example size=64m,mode=1777,exec"
            )


def _tmpfs(destination: str, given: Sequence[str]) -> BindMount:
    """Docker's default options below the given ones."""
    words = {_OPPOSITES.get(word, word) for word in given} | set(given)
    defaults = [word for word in _TMPFS_DEFAULTS if word not in words]
    options = (*defaults, *(word for word in given if word))
    return BindMount(destination=destination, source="tmpfs", type="tmpfs", options=options)


def tmpfs_mounts(host: HostConfig) -> list[BindMount]:
    """Return the tmpfs mounts of `--tmpfs` and `--mount type=tmpfs`."""
    made = []
    for path, text in (host.tmpfs or {}).items():
        made.append(_tmpfs(posixpath.normpath(path), text.split(",") if text else ()))
    for spec in host.mounts or ():
        if spec.type != "tmpfs":
            continue
        options = spec.tmpfs_options or {}
        words = ["ro"] if spec.read_only else []
        if options.get("SizeBytes"):
            words.append(f"size={options['SizeBytes']}")
        mode = options.get("Mode")
        words.append(f"mode={mode:o}" if isinstance(mode, int) and mode else "mode=1777")
        made.append(_tmpfs(posixpath.normpath(spec.target), words))
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


def anonymous(mount: WantedMount) -> bool:
    """True when a volume must be made for it."""
    return mount.type == "volume" and not mount.source


def renamed(mount: WantedMount, source: str) -> WantedMount:
    return replace(mount, source=source)
