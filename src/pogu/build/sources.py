"""Service: what COPY and ADD name: files of the context, of a stage, of a URL, or in the text.

Gives them as `Source`s with a digest of each, which goes into the cache key: content, mode, link
target, and the owner where it is kept; never times (Docker's rule).
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
import tempfile
import urllib.parse
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path

from pogu.build.context import Context, FileDigests, SourceEntry, printable
from pogu.build.copy import Source
from pogu.dockerfile.expand import expand_text
from pogu.dockerfile.instructions import Heredoc
from pogu.errors import InvalidParameter, NotImplementedByEngine
from pogu.linux.url import opened_url
from pogu.storage.apply import apply_tar
from pogu.storage.compression import is_archive
from pogu.storage.tree import remove_tree

__all__ = ["Extracted", "TemporaryFiles", "digests_of", "find_sources"]

_URL = ("http://", "https://")
_GIT = ("git://", "git@", "ssh://")
_CHUNK = 1 << 20


def find_sources(context: Context, patterns: Sequence[str]) -> list[Source]:
    """Return what the patterns name, in order. Raises: InvalidParameter."""
    found = []
    for pattern in patterns:
        for entry in context.find(pattern):
            name = posixpath.basename(entry.path) or "."
            found.append(Source(context=context, entry=entry, name=name))
    return found


def digests_of(
    sources: Sequence[Source], digests: FileDigests | None, *, owners: bool
) -> dict[str, str]:
    """Return a digest for every file below the sources. Slow where files are new."""
    fresh: dict[str, tuple[str, str]] = {}
    found: dict[str, str] = {}
    for source in sources:
        if digests is not None:
            digests.load(str(source.context.root))
        entries = [source.entry]
        if source.entry.is_directory:
            entries += source.context.walk(source.entry)
        for entry in entries:
            try:
                digest = _digest(entry, digests, fresh, owners=owners)
                found[_free_name(printable(entry.path), found)] = digest
            except OSError as err:
                raise InvalidParameter(
                    f"COPY failed: open {entry.path}: {(err.strerror or '').lower()}",
                    hint="the engine cannot read it; leave it out by .dockerignore, or mend it",
                ) from err
    if digests is not None:
        digests.flush(fresh)
    return found


def _free_name(path: str, found: Mapping[str, str]) -> str:
    """Two sources may have one path: heredocs, URLs; the digests of both count."""
    name, count = path, 1
    while name in found:
        count += 1
        name = f"{path} ({count})"
    return name


def _digest(
    entry: SourceEntry,
    digests: FileDigests | None,
    fresh: dict[str, tuple[str, str]],
    *,
    owners: bool,
) -> str:
    info = entry.info
    words = f"{info.st_mode:o}"
    if owners:
        words += f" {info.st_uid}:{info.st_gid}"
    if stat.S_ISREG(info.st_mode):
        if digests is not None:
            return f"{words} {digests.digest(entry.full, info, fresh)}"
        return f"{words} {_hash(entry.full)}"
    if stat.S_ISLNK(info.st_mode):
        return f"{words} {printable(os.readlink(entry.full))}"
    return f"{words} {info.st_rdev}"


def _hash(full: str) -> str:
    with open(full, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class TemporaryFiles:
    """A directory under tmp/ for what does not come from the context. A context manager."""

    def __init__(self, tmp: Path) -> None:
        self._path = Path(tempfile.mkdtemp(dir=tmp, prefix="add-"))
        self._count = 0

    def __enter__(self) -> TemporaryFiles:
        return self

    def __exit__(self, *_exception: object) -> None:
        remove_tree(self._path)

    def _directory(self) -> Path:
        self._count += 1
        directory = self._path / str(self._count)
        directory.mkdir()
        return directory

    def _source(self, path: Path) -> Source:
        context = Context(path.parent, what="build context")
        entry = SourceEntry(path=path.name, full=str(path), info=os.lstat(path))
        return Source(context=context, entry=entry, name=path.name)

    def heredoc(self, heredoc: Heredoc, lookup: Mapping[str, str], escape: str) -> Source:
        """The file that stands in the Dockerfile itself, mode 0644."""
        body = expand_text(heredoc.body, lookup, escape) if heredoc.expand else heredoc.body
        path = self._directory() / heredoc.name
        path.write_text(body, encoding="utf-8", errors="surrogateescape")
        path.chmod(0o644)
        os.utime(path, (0, 0))
        return self._source(path)

    def download(self, url: str, *, checksum: str | None) -> Source:
        """Fetch a URL of ADD, mode 0600, with the time the server gives. Slow.

        Raises: InvalidParameter when it cannot be had or differs from the checksum.
        """
        parts = urllib.parse.urlsplit(url)
        if parts.path.endswith(".git"):
            raise _no_git(url)
        path = self._directory() / (posixpath.basename(parts.path) or "index.html")
        hashed = hashlib.sha256()
        with (
            opened_url(url, failure="ADD failed: failed to GET") as reply,
            path.open("wb") as out,
        ):
            while data := reply.read(_CHUNK):
                hashed.update(data)
                out.write(data)
            modified = reply.last_modified
        if checksum is not None and checksum != f"sha256:{hashed.hexdigest()}":
            raise InvalidParameter(
                f"digest mismatch {checksum}: sha256:{hashed.hexdigest()}",
                hint="the file at the URL is not the one that --checksum names",
            )
        path.chmod(0o600)
        when = parsedate_to_datetime(modified).timestamp() if modified else 0
        os.utime(path, (when, when))
        return self._source(path)


def is_url(text: str) -> bool:
    """True for what ADD fetches. Raises: NotImplementedByEngine for a git repository."""
    if text.startswith(_GIT):
        raise _no_git(text)
    return text.startswith(_URL)


def _no_git(url: str) -> NotImplementedByEngine:
    return NotImplementedByEngine(
        f"ADD failed: git repositories are not implemented by Pogu: {url}",
        hint="clone it into the context and COPY it",
    )


class Extracted:
    """A local archive that ADD unpacks: as if its content had been copied."""

    @staticmethod
    def is_wanted(source: Source) -> bool:
        """True for a regular file that is a tar, compressed or not."""
        if not stat.S_ISREG(source.entry.info.st_mode):
            return False
        with open(source.entry.full, "rb") as file:
            return is_archive(file)

    @staticmethod
    def into(source: Source, directory: Path) -> Source:
        """Unpack into `directory` and return that as the source. Slow."""
        with open(source.entry.full, "rb") as file:
            apply_tar(file, directory, whiteouts=False)
        context = Context(directory, what="archive")
        entry = SourceEntry(path=".", full=str(directory), info=os.lstat(directory))
        return Source(context=context, entry=entry, name=".")


def unpack_directory(files: TemporaryFiles) -> Path:
    """A fresh directory for `Extracted.into`."""
    return files._directory()
