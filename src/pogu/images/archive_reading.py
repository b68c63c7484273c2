"""Service: one pass over an image archive: documents are kept, layers unpacked as they stream by.

An archive's names are only keys here: nothing is written under them, so none leads outside.
"""

from __future__ import annotations

import contextlib
import functools
import io
import posixpath
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, cast

from pogu.config import Paths
from pogu.errors import DataLoss, InvalidParameter
from pogu.images.archive_contents import ArchiveContents, ArchivedLayer, clean
from pogu.images.archive_entry import Content, Kept
from pogu.oci.archive import BLOBS, digest_in
from pogu.oci.digest import DiffId, Digest
from pogu.storage.compression import is_archive, is_compressed
from pogu.storage.layers import LayerStore
from pogu.storage.tarheader import Entry
from pogu.storage.tarstream import BadArchive, TarStream, archive_errors

__all__ = ["read_archive"]

_HEAD = 512
_DOCUMENT_BYTES = 8 << 20
_DOCUMENTS_BYTES = 128 << 20
_ENTRIES = 200_000
_OF_A_ROOT = frozenset({"bin", "etc", "usr", "lib", "root", "var"})

Progress = Callable[[str, int, int], None]
"""(name of the layer, bytes so far, bytes in all)"""


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
        content = Content(stream, entry.size)
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

    def _document(self, content: Content, size: int, path: str) -> None:
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
        self, content: Content, path: str, diff_id: DiffId, *, compressed: bool
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

    def _layer(self, content: Content, path: str, *, compressed: bool) -> None:
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

    def _keep(self, content: Content, path: str) -> Kept | None:
        """A blob of an OCI layout that is not in the store yet."""
        digest = digest_in(path) if posixpath.dirname(path) == BLOBS else None
        if digest is None or self._stored(digest):
            return None
        fd, name = tempfile.mkstemp(dir=self._tmp, prefix="blob-")
        return Kept(content, fd, Path(name))


def _may_be_layer(head: bytes) -> bool:
    """A compressed stream, a tar, or an empty tar (zeros only)."""
    return is_compressed(head) or is_archive(_as_file(head)) or head == bytes(_HEAD)


def _as_file(data: bytes) -> BinaryIO:
    return io.BytesIO(data)
