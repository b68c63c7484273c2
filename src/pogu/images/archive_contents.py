"""Service: one pass over an image archive: documents are kept, layers unpacked as they stream by.

Owns, until the caller has taken them over, drafts of layers and `<root>/tmp/blob-*` files. An
archive's names are only keys here: nothing is written under them, so none leads outside.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import posixpath
import tarfile
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from pogu.config import Paths
from pogu.errors import DataLoss, InvalidParameter, NotFound
from pogu.oci.archive import BLOBS, digest_in
from pogu.oci.digest import DiffId, Digest, sha256_digest
from pogu.storage.compression import is_archive, is_compressed
from pogu.storage.layers import LayerStore, Unpacked
from pogu.storage.tarheader import Entry
from pogu.storage.tarstream import BadArchive, TarStream, archive_errors

__all__ = ["ArchiveContents", "ArchivedLayer", "read_archive"]

_CHUNK = 1 << 20
_HEAD = 512
_DOCUMENT_BYTES = 8 << 20
_DOCUMENTS_BYTES = 128 << 20
_ENTRIES = 200_000
_LINKS = 40
_OF_A_ROOT = frozenset({"bin", "etc", "usr", "lib", "root", "var"})

Progress = Callable[[str, int, int], None]
"""(name of the layer, bytes so far, bytes in all)"""


@dataclass(slots=True, kw_only=True)
class ArchivedLayer:
    """A layer of the archive: unpacked, or already in the store (`unpacked` is None)."""

    diff_id: DiffId
    unpacked: Unpacked | None = None
    blob: Path | None = None
    """Its compressed form as it came: a file of tmp/, `blob_bytes` long, verified."""
    blob_bytes: int = 0


@dataclass(slots=True)
class ArchiveContents:
    """What was in an archive, by the names of its entries."""

    documents: dict[str, bytes] = field(default_factory=dict)
    layers: dict[str, ArchivedLayer] = field(default_factory=dict)
    problems: dict[str, InvalidParameter | DataLoss] = field(default_factory=dict)
    """Why an entry that looked like a layer is none."""
    links: dict[str, str] = field(default_factory=dict)
    entries: int = 0
    looks_like_root: bool = False

    def resolve(self, path: str) -> str:
        """Follow links inside of the archive (older archives have each layer once)."""
        path = clean(path)
        for _ in range(_LINKS):
            if path not in self.links:
                return path
            path = self.links[path]
        raise InvalidParameter(f"invalid archive: too many links at {path}")

    def document(self, path: str) -> bytes:
        """Raises: NotFound."""
        try:
            return self.documents[self.resolve(path)]
        except KeyError:
            raise NotFound(
                f"open {path}: no such file or directory", hint="the archive is not complete"
            ) from None

    def has(self, path: str) -> bool:
        return self.resolve(path) in self.documents

    def blob(self, digest: Digest) -> bytes:
        """A document of an OCI layout, verified. Raises: NotFound, DataLoss."""
        raw = self.document(f"{BLOBS}/{digest.removeprefix('sha256:')}")
        if sha256_digest(raw) != digest:
            raise DataLoss(f"{digest} of the archive has the digest {sha256_digest(raw)}")
        return raw

    def layer(self, path: str) -> ArchivedLayer | None:
        """The layer under that name; None when there is none. Raises: why it is unusable."""
        path = self.resolve(path)
        if path in self.problems:
            raise self.problems[path]
        return self.layers.get(path)

    def discard(self, layers: LayerStore) -> None:
        """Remove what nobody took over. Idempotent. Slow."""
        for layer in self.layers.values():
            if layer.unpacked is not None:
                layers.discard(layer.unpacked.draft)
            if layer.blob is not None:
                layer.blob.unlink(missing_ok=True)


def clean(name: str) -> str:
    """The key of an entry; `..` stays within."""
    return posixpath.normpath("/" + name)[1:]


def read_archive(
    source: BinaryIO,
    layers: LayerStore,
    paths: Paths,
    *,
    here: Mapping[Digest, DiffId],
    stored: Callable[[Digest], bool],
    progress: Progress,
) -> ArchiveContents:
    """Read an image archive, compressed or not, front to back. Slow.

    `here` gives the diff IDs of layers in the store, by every digest they are known under: such a
    layer is not unpacked. A compressed layer of an OCI layout is kept as it came, unless it is
    `stored`. Raises: BadArchive; SystemFailure when the disk is full. Nothing is left behind then.
    """
    contents = ArchiveContents()
    reading = _Reading(layers, paths, contents, here, stored, progress)
    try:
        with archive_errors():
            stream = TarStream(source, hashed=False)
            try:
                for entry in stream.entries():
                    reading.entry(stream, entry)
                stream.finish()
            finally:
                stream.close()
    except BadArchive as err:
        contents.discard(layers)
        if contents.entries:
            raise
        if "empty file" in err.message:
            return contents
        raise BadArchive(
            f"archive/tar: invalid tar header: {err.message}",
            hint="is it an archive that `save` wrote, and complete?",
        ) from err
    except BaseException:
        contents.discard(layers)
        raise
    return contents


class _Reading:
    """State of one pass."""

    def __init__(
        self,
        layers: LayerStore,
        paths: Paths,
        contents: ArchiveContents,
        here: Mapping[Digest, DiffId],
        stored: Callable[[Digest], bool],
        progress: Progress,
    ) -> None:
        self._layers = layers
        self._tmp = paths.tmp
        self._contents = contents
        self._here = here
        self._stored = stored
        self._progress = progress
        self._documents_bytes = 0

    def entry(self, stream: TarStream, entry: Entry) -> None:
        path = clean(entry.name)
        contents = self._contents
        contents.entries += 1
        if contents.entries > _ENTRIES:
            raise InvalidParameter(f"invalid archive: more than {_ENTRIES} entries")
        if entry.kind == tarfile.SYMTYPE:
            contents.links[path] = clean(posixpath.join(posixpath.dirname(path), entry.link))
        elif entry.kind == tarfile.LNKTYPE:
            contents.links[path] = clean(entry.link)
        elif entry.kind == tarfile.REGTYPE and entry.size:
            self._file(stream, entry, path)
        if path in _OF_A_ROOT:
            contents.looks_like_root = True
            self._refuse_root()

    def _refuse_root(self) -> None:
        raise InvalidParameter(
            "open manifest.json: no such file or directory",
            hint="this is a root file system, not an image: pogu import FILE NAME",
        )

    def _file(self, stream: TarStream, entry: Entry, path: str) -> None:
        content = _Content(stream, entry.size)
        head = content.peek(_HEAD)
        known = self._known(path)
        if known is not None and _may_be_layer(head):
            self._known_layer(content, path, known, compressed=is_compressed(head))
        elif head.lstrip()[:1] in (b"{", b"[") and not is_archive(_as_file(head)):
            self._document(content, entry.size, path)
        elif _may_be_layer(head):
            self._layer(content, path, compressed=is_compressed(head))

    def _known(self, path: str) -> DiffId | None:
        digest = digest_in(path)
        return self._here.get(digest) if digest else None

    def _document(self, content: _Content, size: int, path: str) -> None:
        """Too large a one is none: nobody will ask for it."""
        if size > _DOCUMENT_BYTES:
            return
        self._documents_bytes += size
        if self._documents_bytes > _DOCUMENTS_BYTES:
            raise InvalidParameter(
                f"invalid archive: more than {_DOCUMENTS_BYTES >> 20} MiB of JSON"
            )
        self._contents.documents[path] = content.read_all()

    def _known_layer(
        self, content: _Content, path: str, diff_id: DiffId, *, compressed: bool
    ) -> None:
        """Already unpacked; its blob may still be wanted, to go out again as it came."""
        layer = ArchivedLayer(diff_id=diff_id)
        kept = self._keep(content, path) if compressed else None
        if kept is not None:
            with kept:
                kept.drain()
                if kept.finish() == digest_in(path):
                    layer.blob, layer.blob_bytes = kept.take(), content.size
        self._contents.layers[path] = layer

    def _layer(self, content: _Content, path: str, *, compressed: bool) -> None:
        content.tell = functools.partial(self._progress, path)
        self._progress(path, 0, content.size)
        kept = self._keep(content, path) if compressed else None
        with contextlib.ExitStack() as stack:
            reader = stack.enter_context(kept) if kept else content
            try:
                unpacked = self._layers.unpack(cast(BinaryIO, reader))
                reader.drain()
            except InvalidParameter as err:
                self._contents.problems[path] = err
                return
            finally:
                content.close()
            layer = ArchivedLayer(diff_id=unpacked.diff_id, unpacked=unpacked)
            self._contents.layers[path] = layer
            # What is in the store as a blob is not hashed again: its diff ID must be the config's.
            in_store = kept is None and compressed
            found = kept.finish() if kept else Digest(unpacked.diff_id)
            if posixpath.dirname(path) == BLOBS and not in_store and found != digest_in(path):
                self._contents.problems[path] = DataLoss(
                    f"invalid checksum digest: {path} of the archive has the digest {found}",
                    hint="the archive is damaged: copy or save it again",
                )
            elif kept:
                layer.blob, layer.blob_bytes = kept.take(), content.size
        self._progress(path, content.size, content.size)

    def _keep(self, content: _Content, path: str) -> _Kept | None:
        """A blob of an OCI layout that is not in the store yet."""
        digest = digest_in(path) if posixpath.dirname(path) == BLOBS else None
        if digest is None or self._stored(digest):
            return None
        fd, name = tempfile.mkstemp(dir=self._tmp, prefix="blob-")
        return _Kept(content, fd, Path(name))


def _may_be_layer(head: bytes) -> bool:
    """A compressed stream, a tar, or an empty tar (zeros only)."""
    return is_compressed(head) or is_archive(_as_file(head)) or head == bytes(_HEAD)


def _as_file(data: bytes) -> BinaryIO:
    return io.BytesIO(data)


class _Content:
    """The content of one entry as a file. `close` takes it from a thread that reads ahead in it."""

    def __init__(self, stream: TarStream, size: int) -> None:
        self._stream = stream
        self._head = b""
        self._lock = threading.Lock()
        self._closed = False
        self._read = self._told = 0
        self.size = size
        self.tell: Callable[[int, int], None] = lambda current, total: None
        """Told about a hundred times how far it was read."""

    def peek(self, size: int) -> bytes:
        while len(self._head) < size:
            more = self._stream.read_content(size - len(self._head))
            if not more:
                break
            self._head += more
        return self._head

    def read(self, size: int = -1) -> bytes:
        """Some bytes, at most `size`; none at the end."""
        with self._lock:
            if self._closed:
                return b""
            if self._head:
                data, self._head = self._head, b""
                if 0 <= size < len(data):
                    data, self._head = data[:size], data[size:]
                return data
            data = bytes(self._stream.read_content(self.size if size < 0 else size))
        self._read += len(data)
        if self._read - self._told > max(_CHUNK, self.size // 100):
            self._told = self._read
            self.tell(self._read, self.size)
        return data

    def read_all(self) -> bytes:
        return b"".join(iter(lambda: self.read(_CHUNK), b""))

    def drain(self) -> None:
        while self.read(_CHUNK):
            pass

    def close(self) -> None:
        with self._lock:
            self._closed = True


class _Kept:
    """Content that is hashed and written to a file of tmp/ as it is read."""

    def __init__(self, content: _Content, fd: int, path: Path) -> None:
        self._content = content
        self._file = os.fdopen(fd, "wb")
        self._hash = hashlib.sha256()
        self._path = path
        self._taken = False

    def read(self, size: int = -1) -> bytes:
        data = self._content.read(size)
        self._hash.update(data)
        self._file.write(data)
        return data

    def drain(self) -> None:
        while self.read(_CHUNK):
            pass

    def finish(self) -> Digest:
        """Close the file, which is not yet synced, and return its digest."""
        self._file.close()
        return Digest(f"sha256:{self._hash.hexdigest()}")

    def take(self) -> Path:
        """The file is the caller's now."""
        self._taken = True
        return self._path

    def __enter__(self) -> _Kept:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self._taken:
            self._path.unlink(missing_ok=True)
