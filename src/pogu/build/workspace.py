"""Service: where one step works: a layer draft, mounted over what the stage has so far.

tmp/layer-*/{diff,work}     the draft (storage/layers.py)
tmp/build-<id>/rootfs       the merged tree while the step runs
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pogu.config import Paths
from pogu.linux.blocking import in_thread_to_end
from pogu.oci.digest import ChainId
from pogu.storage.layers import LayerDraft, LayerStore
from pogu.storage.overlay import OverlayMount, mount_overlay, unmount
from pogu.storage.tree import remove_tree

__all__ = ["Workspace", "view", "workspace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """`rootfs` is the merged tree; what is written there is in `draft`."""

    id: str
    directory: Path
    rootfs: Path
    draft: LayerDraft

    def unmount(self) -> None:
        """Before the draft is committed. Idempotent."""
        unmount(self.rootfs)


@asynccontextmanager
async def workspace(
    paths: Paths, layers: LayerStore, parent: ChainId | None
) -> AsyncIterator[Workspace]:
    """Mount a writable tree over `parent`; afterwards nothing of it is left."""
    own_id = f"build-{secrets.token_hex(8)}"
    directory = paths.tmp / own_id
    rootfs = directory / "rootfs"
    rootfs.mkdir(parents=True)
    draft = layers.prepare()
    space = Workspace(id=own_id, directory=directory, rootfs=rootfs, draft=draft)
    try:
        lower = layers.lower_directories(parent)
        overlay = OverlayMount(lower=lower, upper=draft.diff, work=draft.work, volatile=True)
        mount_overlay(overlay, rootfs)
        yield space
    finally:
        await asyncio.shield(in_thread_to_end(_clean, space, layers))


def _clean(space: Workspace, layers: LayerStore) -> None:
    space.unmount()
    layers.discard(space.draft)
    remove_tree(space.directory)


@asynccontextmanager
async def view(paths: Paths, layers: LayerStore, top: ChainId | None) -> AsyncIterator[Path]:
    """Mount a tree read-only: the source of COPY --from."""
    directory = paths.tmp / f"build-{secrets.token_hex(8)}"
    rootfs = directory / "rootfs"
    rootfs.mkdir(parents=True)
    lower = layers.lower_directories(top)
    try:
        if len(lower) == 1:
            yield lower[0]
        else:
            mount_overlay(OverlayMount(lower=lower), rootfs)
            yield rootfs
    finally:
        await asyncio.shield(in_thread_to_end(_clean_view, directory))


def _clean_view(directory: Path) -> None:
    unmount(directory / "rootfs")
    remove_tree(directory)


def sweep(paths: Paths) -> None:
    """At engine start: what builds of a killed engine left under tmp/."""
    for entry in os.scandir(paths.tmp):
        if entry.name.startswith(("build-", "context-", "add-", "probe-")):
            unmount(Path(entry.path) / "rootfs")
            if entry.is_dir(follow_symlinks=False):
                remove_tree(Path(entry.path))
            else:
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)
