"""Service: how two images differ: files by kind, content, mode and owner, and their configs.

Times are not compared: every build gives new ones.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pogu.images.image import Image
from pogu.storage.layers import LayerStore
from pogu.storage.merged import MergedTree, Node

__all__ = ["ConfigChange", "FileChange", "config_changes", "file_changes", "kind_of"]

_BLOCK = 1 << 20
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "pipe",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """One path. `before` is None for what was added, `after` for what was removed."""

    path: str
    before: Node | None
    after: Node | None
    what: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigChange:
    """One setting, such as `Env PATH`; None where it is not set."""

    name: str
    before: str | None
    after: str | None


def file_changes(one: Image, other: Image, layers: LayerStore) -> list[FileChange]:
    """Return what differs, in the order of paths. Slow: it looks at every file of both."""
    if one.top_layer == other.top_layer:
        return []
    trees = [
        MergedTree([layer.path for layer in layers.chain(image.top_layer)])
        for image in (one, other)
    ]
    changes = _Comparison(*trees).changes()
    return sorted(changes, key=lambda change: change.path.split("/"))


class _Comparison:
    def __init__(self, before: MergedTree, after: MergedTree) -> None:
        self._before = before
        self._after = after

    def changes(self) -> Iterator[FileChange]:
        waiting: list[tuple[str, Node | None, Node | None]] = [
            ("", self._before.root, self._after.root)
        ]
        while waiting:
            path, before, after = waiting.pop()
            if path:
                yield from self._change(path, before, after)
            old = before.children if before else {}
            new = after.children if after else {}
            for name in old.keys() | new.keys():
                below = f"{path}/{name}" if path else name
                waiting.append((below, old.get(name), new.get(name)))

    def _change(self, path: str, before: Node | None, after: Node | None) -> Iterator[FileChange]:
        what: tuple[str, ...] = ()
        if before is not None and after is not None:
            what = tuple(self._differences(path, before, after))
            if not what:
                return
        yield FileChange(path=path, before=before, after=after, what=what)

    def _differences(self, path: str, before: Node, after: Node) -> Iterator[str]:
        old, new = before.info, after.info
        if (old.st_dev, old.st_ino) == (new.st_dev, new.st_ino):
            return
        if stat.S_IFMT(old.st_mode) != stat.S_IFMT(new.st_mode):
            yield f"{kind_of(before)} → {kind_of(after)}"
        elif before.is_file and old.st_size != new.st_size:
            yield "size"
        elif before.is_file and not _same(
            self._before.path(before, path), self._after.path(after, path)
        ):
            yield "content"
        elif before.link != after.link:
            yield f"{before.link} → {after.link}"
        elif old.st_rdev != new.st_rdev:
            yield "device number"
        modes = stat.S_IMODE(old.st_mode), stat.S_IMODE(new.st_mode)
        if modes[0] != modes[1] and not before.link:
            yield f"mode {modes[0]:04o} → {modes[1]:04o}"
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            yield f"owner {old.st_uid}:{old.st_gid} → {new.st_uid}:{new.st_gid}"


def kind_of(node: Node) -> str:
    """Name what a node is."""
    return _KINDS.get(stat.S_IFMT(node.info.st_mode), "socket")


def _same(one: Path, other: Path) -> bool:
    with one.open("rb") as left, other.open("rb") as right:
        while True:
            data = left.read(_BLOCK)
            if data != right.read(_BLOCK):
                return False
            if not data:
                return True


def config_changes(one: Image, other: Image) -> list[ConfigChange]:
    """Return the settings that differ: of lists of KEY=value and of maps each key by itself."""
    before, after = _settings(one), _settings(other)
    return [
        ConfigChange(name=name, before=before.get(name), after=after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _settings(image: Image) -> dict[str, str]:
    config = image.config
    found = {"Architecture": config.architecture, "Os": config.os, "Author": config.author}
    tree: dict[str, Any] = msgspec.to_builtins(config.config)
    for name, value in tree.items():
        if name == "Env":
            found |= {f"Env {key}": text for key, text in _pairs(value or ())}
        elif isinstance(value, dict) and name != "Healthcheck":
            found |= {f"{name} {key}": _text(part) for key, part in value.items()}
        elif value not in (None, "", False, (), [], {}):
            found[name] = _text(value)
    return {name: text for name, text in found.items() if text}


def _pairs(texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    for text in texts:
        key, _, value = text.partition("=")
        yield key, value


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode() if value not in (None, {}) else "set"
