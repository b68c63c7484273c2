"""Service: what the storage root holds, by kind, in bytes on disk: the rows add up to `du -sx`.

Every file has one row: what is shared (a layer of several images, a file linked into two layers)
counts where it is met first. Owns nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pogu.config import Paths
from pogu.storage.tree import TreeMeter

__all__ = ["StorageRow", "storage_usage"]

_KINDS = {
    "Image layers": "layers/",
    "Build cache layers": "layers/",
    "Blobs": "blobs/",
    "Container layers": "containers/*/upper",
    "Container logs": "containers/*/ctr.log*",
    "Container state": "containers/",
    "Volumes": "volumes/",
    "Unfinished downloads": "tmp/part-*",
    "Unfinished work": "tmp/",
    "Database": "state.*",
    "Engine log": "engine.log*",
    "Other": "",
}
"""The rows in their order, and where what they count lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageRow:
    """`count` is how many layers, blobs, containers … the bytes belong to."""

    kind: str
    path: str
    count: int
    disk_bytes: int


def storage_usage(paths: Paths, *, in_images: set[str]) -> list[StorageRow]:
    """Measure the storage root. `in_images` are short IDs of the layers that images have. Slow."""
    meter = TreeMeter(device=paths.root.stat().st_dev)
    counts = dict.fromkeys(_KINDS, 0)
    sizes = dict.fromkeys(_KINDS, 0)
    for kind, counted, path in _places(paths, in_images):
        sizes[kind] += meter.measure(path).disk_bytes
        counts[kind] += counted
    for kind, path in _directories(paths):
        sizes[kind] += meter.own_bytes(path)
    return [
        StorageRow(kind=kind, path=path, count=counts[kind], disk_bytes=sizes[kind])
        for kind, path in _KINDS.items()
        if kind != "Other" or counts[kind]
    ]


def _directories(paths: Paths) -> list[tuple[str, Path]]:
    """The directories whose entries `_places` gives one by one."""
    return [
        ("Database", paths.root),
        ("Image layers", paths.layers),
        ("Blobs", paths.blobs),
        ("Blobs", paths.blobs.parent),
        ("Container state", paths.containers),
        *(("Container state", one) for one in _entries(paths.containers)),
        ("Volumes", paths.volumes),
        ("Unfinished work", paths.tmp),
    ]


def _places(paths: Paths, in_images: set[str]) -> Iterator[tuple[str, int, Path]]:
    """Yield (kind, 1 where something new begins, path); image layers first, for shared files."""
    layers = sorted(_entries(paths.layers), key=lambda path: path.name not in in_images)
    for path in layers:
        kind = "Image layers" if path.name in in_images else "Build cache layers"
        yield kind, 1, path
    for path in _entries(paths.blobs):
        yield "Blobs", 1, path
    for container in _entries(paths.containers):
        for path in _entries(container):
            kind, counted = _of_container(path.name)
            yield kind, counted, path
    for path in _entries(paths.volumes):
        yield "Volumes", 1, path
    for path in _entries(paths.tmp):
        is_part = path.name.startswith("part-")
        yield "Unfinished downloads" if is_part else "Unfinished work", 1, path
    yield from _at_top(paths)


def _of_container(name: str) -> tuple[str, int]:
    if name == "upper":
        return "Container layers", 1
    if name.startswith("ctr.log"):
        return "Container logs", 1
    return "Container state", 1 if name == "config.json" else 0


def _at_top(paths: Paths) -> Iterator[tuple[str, int, Path]]:
    known = {paths.layers, paths.blobs.parent, paths.containers, paths.volumes, paths.tmp}
    for path in _entries(paths.root):
        if path in known:
            continue
        if path.name.startswith(paths.database.name.partition(".")[0] + "."):
            yield "Database", 1, path
        elif path.name.startswith(paths.log.name):
            yield "Engine log", 1, path
        else:
            yield "Other", 1, path
    for path in _entries(paths.blobs.parent):
        if path != paths.blobs:
            yield "Other", 1, path


def _entries(directory: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(directory)]
    except OSError:
        return []
