"""Service: the build context as it is on disk; owns the table `file_digests`.

A file is hashed once: as long as its path, size, inode, mtime and ctime stay, the digest is taken
from the table. `.dockerignore` decides what is there at all.
"""

from __future__ import annotations

import difflib
import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pogu.build.match import PathPattern
from pogu.db import Database
from pogu.dockerfile.ignore import IgnoreRules
from pogu.errors import InvalidParameter
from pogu.linux.openat2 import openat2_in_root, read_in_root

__all__ = ["Context", "FileDigests", "SourceEntry", "printable"]

_MIGRATIONS = [
    """
    CREATE TABLE file_digests (
        path TEXT PRIMARY KEY,
        stamp TEXT NOT NULL,
        digest TEXT NOT NULL
    )
    """
]
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_LARGEST_IGNORE_FILE = 1 << 20
_RACY_NS = 2_000_000_000
"""A file changed less than this ago may change again within the same time stamp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEntry:
    """One file, directory or link below a source. `path` is relative to the source's root."""

    path: str
    full: str
    info: os.stat_result

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.info.st_mode)


def printable(path: str) -> str:
    """Return a path that may be stored: bytes that are not UTF-8 are written as `\\xe9`."""
    return path if path.isascii() else os.fsencode(path).decode("utf-8", "backslashreplace")


class FileDigests:
    """Digests of files by path and stamp; `flush` writes the new ones."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, tuple[str, str]] = {}
        self._loaded: set[str] = set()
        db.migrate("file_digests", _MIGRATIONS)

    def load(self, root: str) -> None:
        """Read what is known below `root`, once."""
        root = printable(root)
        if root in self._loaded:
            return
        rows = self._db.query(
            "SELECT path, stamp, digest FROM file_digests WHERE path >= ? AND path < ?",
            (root + "/", root + "0"),
        )
        self._known.update((row["path"], (row["stamp"], row["digest"])) for row in rows)
        self._loaded.add(root)

    def digest(self, full: str, info: os.stat_result, fresh: dict[str, tuple[str, str]]) -> str:
        """Return the content's sha256; what was computed now goes into `fresh`."""
        stamp = f"{info.st_size} {info.st_ino} {info.st_mtime_ns} {info.st_ctime_ns}"
        known = self._known.get(printable(full))
        if known is not None and known[0] == stamp:
            return known[1]
        digest = _hash_file(full)
        if time.time_ns() - max(info.st_mtime_ns, info.st_ctime_ns) > _RACY_NS:
            fresh[printable(full)] = (stamp, digest)
        return digest

    def flush(self, fresh: dict[str, tuple[str, str]]) -> None:
        """Keep new digests for later builds."""
        if not fresh:
            return
        self._known.update(fresh)
        with self._db.transaction() as tx:
            tx.executemany(
                "INSERT OR REPLACE INTO file_digests VALUES (?, ?, ?)",
                [(path, stamp, digest) for path, (stamp, digest) in fresh.items()],
            )


def _hash_file(full: str) -> str:
    fd = os.open(full, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        hashed = hashlib.sha256()
        while block := os.read(fd, 1 << 20):
            hashed.update(block)
        return hashed.hexdigest()
    except OSError as err:
        raise OSError(err.errno, err.strerror, full) from err
    finally:
        os.close(fd)


class Context:
    """A directory to copy from: the build context, or another stage's or image's root."""

    def __init__(self, root: Path, rules: IgnoreRules | None = None, *, what: str) -> None:
        self.root = root
        self.rules = rules or IgnoreRules()
        self.what = what

    @classmethod
    def of_directory(cls, root: Path, dockerfile: str) -> Context:
        """Read `.dockerignore`, or `<Dockerfile>.dockerignore` where there is one."""
        for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
            try:
                raw = read_in_root(root, name, _LARGEST_IGNORE_FILE)
            except OSError as err:
                if err.errno == errno.EFBIG:
                    raise InvalidParameter(
                        f"failed to read {name}: it has more than {_LARGEST_IGNORE_FILE} bytes",
                        hint="is it really a list of patterns?",
                    ) from err
                continue
            text = raw.decode("utf-8", "surrogateescape")
            return cls(root, IgnoreRules.parse(text), what="build context")
        return cls(root, what="build context")

    def find(self, pattern: str) -> list[SourceEntry]:
        """Return what a source of COPY names: one, or all that its wildcards match.

        Links in it are followed inside the root. Raises: InvalidParameter when there is nothing.
        """
        cleaned = os.path.normpath("/" + pattern).lstrip("/")
        if not cleaned:
            return [self._entry(".", self.root)]
        parts = PathPattern(cleaned)
        if not parts.has_wildcards:
            entry = self._literal(cleaned)
            if entry is None:
                raise self._missing(pattern, cleaned)
            return [entry]
        matched = sorted(self._matching(parts))
        found = [entry for path in matched if (entry := self._matched(path)) is not None]
        if not found:
            raise self._missing(pattern, cleaned)
        return found

    def _entry(self, path: str, full: Path) -> SourceEntry:
        return SourceEntry(path=path, full=str(full), info=os.lstat(full))

    def _inside(self, path: str) -> Path:
        """Return the real path of `path`, its links followed below the root."""
        root_fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fd = openat2_in_root(root_fd, path, os.O_PATH)
            try:
                return Path(os.readlink(f"/proc/self/fd/{fd}"))
            finally:
                os.close(fd)
        finally:
            os.close(root_fd)

    def _literal(self, path: str) -> SourceEntry | None:
        try:
            entry = self._entry(path, self._inside(path))
        except OSError as err:
            if err.errno not in _NOT_THERE:
                raise
            return None
        return entry if not self.rules.ignored(path) or self._has_exception(entry) else None

    def _has_exception(self, entry: SourceEntry) -> bool:
        """An ignored directory is there when something in it is."""
        reachable = entry.is_directory and self.rules.may_reinclude_below(entry.path)
        return reachable and next(self.walk(entry), None) is not None

    def _matched(self, path: str) -> SourceEntry | None:
        """A name that wildcards matched; None for what is ignored.

        Raises: InvalidParameter for a link to nothing.
        """
        if self.rules.ignored(path) and not self.rules.may_reinclude_below(path):
            return None
        try:
            entry = self._entry(path, self._inside(path))
            return entry if not self.rules.ignored(path) or self._has_exception(entry) else None
        except OSError as err:
            if self.rules.ignored(path):
                return None
            if err.errno not in _NOT_THERE:
                raise
            raise InvalidParameter(
                f"COPY failed: stat {path}: {(err.strerror or '').lower()}",
                hint=f"{path} is a link that leads to nothing in the {self.what}; "
                "remove it, or name it in .dockerignore",
            ) from err

    def _matching(self, pattern: PathPattern) -> Iterator[str]:
        """Walk only as deep as the pattern has parts."""
        front = [""]
        for depth in range(len(pattern)):
            following = []
            for directory in front:
                try:
                    names = os.listdir(self._inside(directory or "."))
                except OSError as err:
                    if err.errno not in _NOT_THERE:
                        raise
                    continue
                following += [
                    f"{directory}/{name}" if directory else name
                    for name in names
                    if pattern.matches_part(depth, name)
                ]
            front = following
        yield from front

    def walk(self, top: SourceEntry) -> Iterator[SourceEntry]:
        """Yield what lies below a directory, parents before children, sorted, without what is
        ignored. A directory that is only on the way to a re-included file is there too.
        """
        prefix = "" if top.path == "." else top.path + "/"
        try:
            yield from self._walk(top.full, prefix)
        except RecursionError as err:
            raise InvalidParameter(
                f"COPY failed: the directories below {top.path} nest too deep",
                hint=f"about a thousand levels of the {self.what} can be copied",
            ) from err

    def _walk(self, full: str, prefix: str) -> Iterator[SourceEntry]:
        with os.scandir(full) as scan:
            children = sorted(scan, key=lambda child: child.name)
        for child in children:
            path = prefix + child.name
            is_directory = child.is_dir(follow_symlinks=False)
            if self.rules and self.rules.ignored(path):
                if is_directory and self.rules.may_reinclude_below(path):
                    below = list(self._walk(child.path, path + "/"))
                    if below:
                        yield self._scanned(child, path)
                        yield from below
                continue
            yield self._scanned(child, path)
            if is_directory:
                yield from self._walk(child.path, path + "/")

    def _scanned(self, child: os.DirEntry[str], path: str) -> SourceEntry:
        return SourceEntry(path=path, full=child.path, info=child.stat(follow_symlinks=False))

    def _missing(self, pattern: str, cleaned: str) -> InvalidParameter:
        """Docker's words; the hint has the rule that hid it or the near miss."""
        rule = self.rules.rule_for(cleaned)
        if rule and os.path.lexists(self.root / cleaned):
            hint = f".dockerignore hides it: {rule}"
        else:
            near = None if pattern.startswith("../") else self._near(cleaned)
            hint = (
                f"did you mean {near}?"
                if near
                else f"paths start at the {self.what} and cannot leave it"
            )
        return InvalidParameter(
            f"COPY failed: file not found in {self.what} or excluded by .dockerignore: "
            f"stat {pattern}: file does not exist",
            hint=hint,
        )

    def _near(self, path: str) -> str | None:
        """Look for a name like it: in the same directory, then anywhere in the first levels."""
        directory, _, name = path.rpartition("/")
        try:
            beside = os.listdir(self._inside(directory or "."))
        except OSError:
            beside = []
        close = difflib.get_close_matches(name, beside, 1, 0.6)
        if close:
            return f"{directory}/{close[0]}" if directory else close[0]
        for count, entry in enumerate(self.walk(self._entry(".", self.root))):
            if entry.path.rpartition("/")[2] == name:
                return entry.path
            if count > 5000:
                break
        return None
