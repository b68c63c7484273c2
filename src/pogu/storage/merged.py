"""Edge: what is in layers that lie on each other, and what of the lower ones nobody sees any more.

Reads the directories only, in overlayfs' own form (`layers.py`); nothing is mounted.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pogu.storage.whiteout import is_opaque, is_whiteout

__all__ = ["MergedTree", "Node"]


class Node:
    """A path as it is seen from the top; `layer` counts from the bottom."""

    __slots__ = ("children", "info", "layer", "link")

    def __init__(self, layer: int, info: os.stat_result, link: str = "") -> None:
        self.layer = layer
        self.info = info
        self.link = link
        self.children: dict[str, Node] = {}

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.info.st_mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.info.st_mode)

    def below(self) -> Iterator[Node]:
        """Yield itself and everything in it."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.children.values()


class MergedTree:
    """The layers applied one after the other. Slow to make: it looks at every file."""

    def __init__(self, layers: Sequence[Path]) -> None:
        self.layers = layers
        self.hidden_bytes = [0] * len(layers)
        """For each layer the bytes of its files that layers above replace or delete."""
        self._links: Counter[tuple[int, int]] = Counter()
        self.root: Node | None = None
        for number, path in enumerate(layers):
            self._apply(number, path)

    def path(self, node: Node, where: str) -> Path:
        """The file of a node that is seen at `where`."""
        return self.layers[node.layer] / where

    def _apply(self, number: int, top: Path) -> None:
        if self.root is None:
            self.root = Node(number, os.lstat(top))
        self.root.info = os.lstat(top)
        waiting = [(os.fspath(top), self.root)]
        while waiting:
            directory, node = waiting.pop()
            with os.scandir(directory) as entries:
                for entry in entries:
                    child = self._entry(number, node, entry)
                    if child is not None:
                        waiting.append((entry.path, child))

    def _entry(self, number: int, parent: Node, entry: os.DirEntry[str]) -> Node | None:
        """Put an entry in its place; return the node of a directory, to go on with."""
        info = entry.stat(follow_symlinks=False)
        before = parent.children.get(entry.name)
        if is_whiteout(info):
            if before is not None:
                self._hide(parent.children.pop(entry.name))
            return None
        if not stat.S_ISDIR(info.st_mode):
            if before is not None:
                self._hide(before)
            link = os.readlink(entry.path) if entry.is_symlink() else ""
            parent.children[entry.name] = self._shown(Node(number, info, link))
            return None
        if before is None or not before.is_directory:
            if before is not None:
                self._hide(before)
            before = parent.children[entry.name] = Node(number, info)
        elif number and is_opaque(entry.path):
            for child in before.children.values():
                self._hide(child)
            before.children.clear()
        before.layer, before.info = number, info
        return before

    def _shown(self, node: Node) -> Node:
        if node.info.st_nlink > 1:
            self._links[node.layer, node.info.st_ino] += 1
        return node

    def _hide(self, top: Node) -> None:
        """Count what is not seen any more; a file with several names when the last one goes."""
        for node in top.below():
            if not node.is_file:
                continue
            if node.info.st_nlink > 1:
                key = node.layer, node.info.st_ino
                self._links[key] -= 1
                if self._links[key]:
                    continue
            self.hidden_bytes[node.layer] += node.info.st_size
