"""Format: `-v` and `--mount` as clients write them → the mounts that are wanted. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from pogu.errors import InvalidParameter
from pogu.model.container import MountSpec
from pogu.volumes.service import check_volume_name

__all__ = [
    "PROPAGATION",
    "WantedMount",
    "bad_words",
    "check_destination",
    "parse_bind",
    "parse_mount",
]

PROPAGATION = frozenset(("private", "rprivate", "shared", "rshared", "slave", "rslave"))
_MODES = frozenset(
    ("", "ro", "rw", "z", "Z", "nocopy", "copy", "consistent", "cached", "delegated", "rro")
)
_RECURSION = {
    "NonRecursive": "nonrecursive",
    "ReadOnlyNonRecursive": "ro-nonrecursive",
    "ReadOnlyForceRecursive": "ro-recursive",
}
"""Fields of BindOptions → our own words in the mode; `inspect` does not show them."""


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


def check_destination(path: str, spec: str) -> str:
    """Return it normalized. Raises: InvalidParameter in Docker's words, which show `spec`."""
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
    no_place = len(parts) == 2 and not bad_words(parts[1].split(","))
    if len(parts) > 3 or not all(parts) or no_place:
        raise InvalidParameter(
            f"invalid volume specification: '{spec}'", hint="write SOURCE:/DESTINATION[:ro]"
        )
    if len(parts) == 1:
        return WantedMount(type="volume", source="", destination=check_destination(spec, spec))
    source, mode = parts[0], parts[2] if len(parts) == 3 else ""
    words = mode.split(",")
    if bad_words(words):
        raise InvalidParameter(
            f"invalid volume specification: '{spec}': invalid mode: {mode}",
            hint="options are ro, rw, z, Z, nocopy and a propagation such as rslave",
        )
    is_bind = source.startswith("/")
    if not is_bind:
        check_volume_name(source)
    propagation = next((word for word in words if word in PROPAGATION), "")
    return WantedMount(
        type="bind" if is_bind else "volume",
        source=posixpath.normpath(source) if is_bind else source,
        destination=check_destination(parts[1], spec),
        mode=mode if is_bind or mode else "z",
        read_only="ro" in words or "rro" in words,
        propagation=propagation or ("rprivate" if is_bind else ""),
    )


def bad_words(words: Sequence[str]) -> bool:
    """True for unknown words, and for two of a kind: `ro,rw`."""
    kinds = (("ro", "rw", "rro"), ("z", "Z"), ("nocopy", "copy"), tuple(PROPAGATION))
    return any(word not in _MODES and word not in PROPAGATION for word in words) or any(
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
    if propagation not in PROPAGATION:
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
