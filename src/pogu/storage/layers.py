"""Service: unpacked layers; owns `<root>/layers/` and, through `layer_index.py`, their table.

    layers/<short-id>/diff/      the layer in overlayfs' own form (whiteout = char device 0:0,
                                 opaque directory = xattr trusted.overlay.opaque=y)
    tmp/layer-*/diff/            a draft, not yet a layer

A layer is named by its chain ID; it is immutable and shared.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from pogu.config import Paths
from pogu.crash_point import crash_point
from pogu.db import Database
from pogu.errors import DataLoss
from pogu.linux.inode_flags import spread_children
from pogu.linux.memory import give_back
from pogu.linux.rename import exchange
from pogu.linux.sync import fsync_directory, syncfs
from pogu.oci.digest import ChainId, DiffId, chain_id
from pogu.storage.apply import apply_tar
from pogu.storage.diff import write_journaled_tar, write_layer_tar
from pogu.storage.failure import write_failure
from pogu.storage.journal import read_journal
from pogu.storage.layer import Layer, LayerDraft, Unpacked
from pogu.storage.layer_index import LayerIndex
from pogu.storage.overlay import unmount
from pogu.storage.tarwriter import TarDigest, TarSink
from pogu.storage.tree import remove_tree, set_aside, trash_name

__all__ = ["Layer", "LayerDraft", "LayerStore", "Unpacked"]


class LayerStore:
    """All methods are plain and blocking: call the slow ones (marked) through `in_thread`."""

    def __init__(self, paths: Paths, db: Database) -> None:
        self._paths = paths
        self._lock = threading.Lock()
        spread_children(paths.tmp)
        self._index = LayerIndex(db, paths.layers)
        self._index.delete_lost({entry.name for entry in os.scandir(paths.layers)})

    def get(self, chain_id: ChainId) -> Layer:
        """Return the layer. Raises: NotFound."""
        return self._index.get(chain_id)

    def has(self, chain_id: ChainId) -> bool:
        return self._index.find(chain_id) is not None

    def chain(self, top: ChainId | None) -> list[Layer]:
        """Return the layers from the bottom to `top`; empty for None (scratch)."""
        return self._index.chain(top)

    def all(self) -> list[Layer]:
        return self._index.all()

    def lower_directories(self, top: ChainId | None) -> tuple[Path, ...]:
        """Return the lowerdirs for an OverlayMount: top layer first."""
        return tuple(layer.path for layer in reversed(self.chain(top)))

    def prepare(self) -> LayerDraft:
        """Make an empty draft (diff/ mode 0755 and work/)."""
        path = Path(tempfile.mkdtemp(dir=self._paths.tmp, prefix="layer-"))
        draft = LayerDraft(path=path)
        draft.diff.mkdir(mode=0o755)
        draft.work.mkdir(mode=0o700)
        return draft

    def discard(self, draft: LayerDraft) -> None:
        """Remove a draft. Idempotent. Slow."""
        remove_tree(draft.path)
        crash_point()

    def commit(self, draft: LayerDraft, *, parent: ChainId | None) -> Layer:
        """Compute the diff ID of `draft.diff`, make it a layer over `parent`, durable. Slow.

        The draft is consumed. Idempotent: an equal layer already there wins.
        """
        try:
            hashed = TarDigest()
            size_bytes = write_layer_tar(draft.diff, hashed)
            unpacked = Unpacked(
                draft=draft,
                diff_id=hashed.diff_id,
                size_bytes=size_bytes,
                tar_bytes=hashed.size_bytes,
            )
            return self._publish(unpacked, parent)
        except OSError as err:
            raise write_failure(err) from err
        finally:
            self.discard(draft)

    def commit_tar(
        self, tar: BinaryIO, *, parent: ChainId | None, expected: DiffId | None = None
    ) -> Layer:
        """Unpack an uncompressed or gzip/zstd/xz/bz2 layer tar and commit it, durable. Slow.

        The diff ID is that of the uncompressed bytes. Raises: DataLoss when it is not
        `expected`; InvalidParameter on a broken or hostile archive (nothing is left behind).
        """
        return self.commit_unpacked(self.unpack(tar, expected=expected), parent=parent)

    def unpack(self, tar: BinaryIO, *, expected: DiffId | None = None) -> Unpacked:
        """As `commit_tar` without the commit: several layers may be unpacked at once. Slow."""
        draft = self.prepare()
        try:
            applied = apply_tar(tar, draft.diff, journal=draft.path / "journal")
            diff_id = DiffId(f"sha256:{applied.diff_id_hex}")
            if expected is not None and diff_id != expected:
                raise DataLoss(f"layer verification failed: expected {expected}, got {diff_id}")
        except OSError as err:
            self.discard(draft)
            raise write_failure(err) from err
        except BaseException:
            self.discard(draft)
            raise
        finally:
            give_back()
        return Unpacked(
            draft=draft,
            diff_id=diff_id,
            size_bytes=applied.size_bytes,
            tar_bytes=applied.tar_bytes,
        )

    def commit_unpacked(self, unpacked: Unpacked, *, parent: ChainId | None) -> Layer:
        """Make it a layer over `parent`, durable; the draft is consumed. Slow."""
        try:
            return self._publish(unpacked, parent)
        except OSError as err:
            raise write_failure(err) from err
        finally:
            self.discard(unpacked.draft)

    def _publish(self, unpacked: Unpacked, parent: ChainId | None) -> Layer:
        """Sync, rename into layers/, commit the row; one publisher at a time."""
        draft, diff_id = unpacked.draft, unpacked.diff_id
        own_id = chain_id(parent, diff_id)
        if (known := self._index.find(own_id)) is not None:
            return known
        remove_tree(draft.work)
        syncfs(draft.path)
        short_id = own_id.removeprefix("sha256:")[:12]
        layer = Layer(
            chain_id=own_id,
            diff_id=diff_id,
            parent=parent,
            short_id=short_id,
            path=self._paths.layers / short_id / "diff",
            size_bytes=unpacked.size_bytes,
            tar_bytes=unpacked.tar_bytes,
        )
        with self._lock:
            if (known := self._index.find(own_id)) is not None:
                return known
            target = self._paths.layers / short_id
            if target.exists():  # left by a kill between rename and row
                self._remove_directory(target)
            draft.path.rename(target)
            fsync_directory(self._paths.layers)
            self._index.insert(layer)
        return layer

    def write_tar(self, chain_id: ChainId, out: TarSink) -> None:
        """Write the layer's uncompressed tar; its digest is the diff ID. Slow."""
        layer = self.get(chain_id)
        journal = layer.path.parent / "journal"
        if journal.exists():
            write_journaled_tar(layer.path, read_journal(journal), out)
        else:
            write_layer_tar(layer.path, out)

    def tar_bytes(self, layer: Layer) -> int:
        """Length of the tar that `write_tar` writes. Slow where it was not written down."""
        if layer.tar_bytes is None:
            counted = TarDigest()
            self.write_tar(layer.chain_id, counted)
            return counted.size_bytes
        return layer.tar_bytes

    def replace(self, chain_id: ChainId, unpacked: Unpacked) -> None:
        """Put a fresh copy of a layer in its place, whole at every moment; no container may run
        on it. The draft is consumed. Slow.
        """
        layer = self.get(chain_id)
        own, place = unpacked.draft.path, layer.path.parent
        try:
            remove_tree(unpacked.draft.work)
            syncfs(own)
            with self._lock:
                if place.exists():
                    exchange(own, place)
                else:
                    own.rename(place)
            fsync_directory(self._paths.layers)
        except OSError as err:
            raise write_failure(err) from err
        finally:
            self.discard(unpacked.draft)

    def unnamed(self) -> list[str]:
        """Names in layers/ that no row has, while nothing is being committed."""
        with self._lock:
            known = self._index.short_ids()
            return [one.name for one in os.scandir(self._paths.layers) if one.name not in known]

    def remove_unnamed(self, name: str) -> None:
        """Remove one of `unnamed`; one that has got its row meanwhile stays. Slow."""
        if name in self.unnamed():
            self._remove_directory(self._paths.layers / name)

    def remove(self, chain_id: ChainId) -> None:
        """Remove one layer that no other layer has as its parent. Idempotent. Slow."""
        self.discard(self.detach([chain_id]))

    def detach(self, chain_ids: Iterable[ChainId]) -> LayerDraft:
        """Forget these layers at once, move them into tmp/ and return that for `discard`.

        Rows first: a kill in between leaves a directory that no row names. Unknown ones are
        skipped.
        """
        trash = trash_name(self._paths.tmp)
        with self._lock:
            doomed = [layer for one in chain_ids if (layer := self._index.find(one)) is not None]
            doomed.sort(key=lambda layer: len(self.chain(layer.chain_id)), reverse=True)
            self._index.delete(layer.chain_id for layer in doomed)
            for layer in doomed:  # the first one's directory takes the others: none is made
                there = trash / layer.short_id if trash.exists() else trash
                layer.path.parent.rename(there)
                crash_point()
        return LayerDraft(path=trash)

    def _remove_directory(self, directory: Path) -> None:
        """Rename into tmp/ first, so that a kill leaves no half layer in layers/."""
        remove_tree(set_aside(directory, self._paths.tmp))

    def sweep(self) -> None:
        """At start: remove what no row names. Slow."""
        known = self._index.short_ids()
        present = {entry.name for entry in os.scandir(self._paths.layers)}
        for name in present - known:
            self._remove_directory(self._paths.layers / name)
        for entry in os.scandir(self._paths.tmp):
            if entry.name.startswith(("layer-", "removed-", "blob-", "volume-")):
                _remove_leftover(Path(entry.path))


def _remove_leftover(path: Path) -> None:
    if path.is_dir():
        unmount(path)
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)
