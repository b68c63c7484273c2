"""Edge: what a writable layer changes in the tree below it, as `docker diff` shows it.

Docker's rules: a file whose metadata and content are as before is no change; the directories above
a change are changed; a directory that went away is one line.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from pogu.storage.livetree import opened_child
from pogu.storage.tarwriter import kept_xattrs
from pogu.storage.whiteout import is_opaque, is_whiteout

__all__ = ["Change", "Kind", "LayerChanges", "layer_changes", "with_parents"]


class Kind(IntEnum):
    """The API's numbers; `docker diff` prints C, A, D."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2


class Change(NamedTuple):
    """One line; `path` begins with a slash."""

    path: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class LayerChanges:
    """`hidden` are the stubs that runtimes make to mount something on, without a slash in front;
    `empty` says that there is nothing else in the layer."""

    changes: list[Change]
    hidden: frozenset[str]
    empty: bool


def with_parents(kinds: dict[str, Kind]) -> list[Change]:
    """Add the directories above each change; order by path, a directory before what is in it."""
    whole = dict(kinds)
    for path in kinds:
        while path := path.rpartition("/")[0]:
            whole.setdefault(path, Kind.MODIFIED)
    return [Change(f"/{path}", whole[path]) for path in sorted(whole, key=lambda p: p.split("/"))]


def layer_changes(upper: int, lower: int, stubs: Collection[str]) -> LayerChanges:
    """Compare an overlay's upper directory with the tree below it, both open directories.

    `stubs` are the mount points, without a slash in front: where nothing was below and nothing is
    in them, they and the directories made for them are no changes of the container's.
    """
    walk = _Walk(upper, lower)
    walk.run()
    hidden = walk.hidden(stubs)
    kinds = {path: kind for path, kind in walk.kinds.items() if path not in hidden}
    return LayerChanges(with_parents(kinds), hidden, walk.seen.keys() <= hidden)


class _Walk:
    """Compares directory by directory; paths are opened anew from the top, one at a time."""

    def __init__(self, upper: int, lower: int) -> None:
        self._upper = upper
        self._lower = lower
        self.kinds: dict[str, Kind] = {}
        self.seen: dict[str, bool] = {}
        """What is in the upper directory: path → it may be a stub (a directory, an empty file)."""

    def run(self) -> None:
        waiting = [""]
        while waiting:
            waiting += self._directory(waiting.pop())

    def _directory(self, path: str) -> list[str]:
        """Compare what is in a directory; return the directories in it."""
        with ExitStack() as held:
            upper = _descend(self._upper, path, held)
            lower = _descend(self._lower, path, held)
            if upper is None:
                return []
            below = set(os.listdir(lower)) if lower is not None else set()
            names = os.listdir(upper)
            if lower is not None and path and is_opaque(upper):
                for gone in below.difference(names):
                    self.kinds[f"{path}/{gone}"] = Kind.DELETED
            found = []
            for name in names:
                own = f"{path}/{name}" if path else name
                if self._entry(upper, lower if name in below else None, name, own):
                    found.append(own)
            return found

    def _entry(self, upper: int, lower: int | None, name: str, path: str) -> bool:
        """Compare one entry; True when it is a directory."""
        with ExitStack() as held:
            try:
                mine = held.enter_context(opened_child(upper, name))
            except FileNotFoundError:
                return False
            info = os.fstat(mine)
            theirs = None
            if lower is not None:
                theirs = held.enter_context(opened_child(lower, name))
            if is_whiteout(info):
                self.seen[path] = False
                if theirs is not None:
                    self.kinds[path] = Kind.DELETED
                return False
            is_directory = stat.S_ISDIR(info.st_mode)
            self.seen[path] = is_directory or (stat.S_ISREG(info.st_mode) and not info.st_size)
            if theirs is None:
                self.kinds[path] = Kind.ADDED
            elif _differs(mine, theirs):
                self.kinds[path] = Kind.MODIFIED
            return is_directory

    def hidden(self, stubs: Collection[str]) -> frozenset[str]:
        """Stubs that hold nothing, and directories that were touched for nothing but stubs."""
        wanted = set(stubs) | _ancestors(stubs)
        found: set[str] = set()
        children: dict[str, set[str]] = {}
        for path in self.seen:
            children.setdefault(path.rpartition("/")[0], set()).add(path)
        for path in sorted(wanted, key=lambda one: one.count("/"), reverse=True):
            untouched = path not in self.kinds or self.kinds[path] is Kind.ADDED
            if self.seen.get(path) and untouched and children.get(path, set()) <= found:
                found.add(path)
        return frozenset(found)


def _ancestors(paths: Iterable[str]) -> set[str]:
    found = set()
    for path in paths:
        while path := path.rpartition("/")[0]:
            found.add(path)
    return found


def _descend(top: int, path: str, held: ExitStack) -> int | None:
    """Open a directory step by step, following no link; None when it is not there."""
    fd = os.open(f"/proc/self/fd/{top}", os.O_RDONLY | os.O_DIRECTORY)
    for name in path.split("/") if path else ():
        above = fd
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            fd = os.open(name, flags, dir_fd=above)
        except OSError:
            return None
        finally:
            os.close(above)
    held.callback(os.close, fd)
    return fd


def _differs(mine: int, theirs: int) -> bool:
    """Docker's comparison, and the xattrs; inodes and change times differ after any copy-up."""
    a, b = os.fstat(mine), os.fstat(theirs)
    if (a.st_mode, a.st_uid, a.st_gid, a.st_rdev) != (b.st_mode, b.st_uid, b.st_gid, b.st_rdev):
        return True
    if not stat.S_ISDIR(a.st_mode) and (
        a.st_size != b.st_size or not _same_time(a.st_mtime_ns, b.st_mtime_ns)
    ):
        return True
    paths = (f"/proc/self/fd/{mine}", f"/proc/self/fd/{theirs}")
    return kept_xattrs(paths[0], follow=True) != kept_xattrs(paths[1], follow=True)


def _same_time(a_ns: int, b_ns: int) -> bool:
    """A tar may have whole seconds only."""
    second = 1_000_000_000
    return a_ns == b_ns or (
        0 in (a_ns % second, b_ns % second) and a_ns // second == b_ns // second
    )
