"""Service: what is in a container's file system: its changes, its export, an image of it.

A running container's tree is read where the engine has it mounted, without what the container has
mounted in it; a stopped one's in a view of its own (`view.py`). No lock is held while a client is
waited for.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pogu.config import Paths
from pogu.containers.bundles import Bundles
from pogu.containers.commit import committed_config, committed_image
from pogu.containers.entry import Entry
from pogu.containers.freezer import Freezer
from pogu.containers.model import ContainerRecord, Status
from pogu.containers.rootfs import RootFilesystems
from pogu.containers.running_ids import ids_of
from pogu.containers.states import States
from pogu.containers.view import mounted_view, opened_directory
from pogu.errors import Conflict, EngineError, NotFound
from pogu.images.image import Image, rfc3339
from pogu.images.store import ImageStore
from pogu.linux.blocking import in_own_thread, in_thread
from pogu.model.container import ContainerConfig
from pogu.oci.reference import Reference
from pogu.storage.changes import Change, LayerChanges, layer_changes
from pogu.storage.failure import write_failure
from pogu.storage.layers import Layer, LayerStore, Unpacked
from pogu.storage.livetree import write_live_tar
from pogu.storage.overlay import OverlayMount
from pogu.storage.tarwriter import TarSink

__all__ = ["ContainerFiles"]

_STUBS = (
    *("dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf", "sbin/docker-init"),
    *("dev/pts", "dev/shm", "dev/mqueue", "dev/console"),
)
"""What runtimes make in a root file system to mount Docker's usual things on."""


class ContainerFiles:
    """Works on entries; `find` raises NotFound."""

    def __init__(
        self,
        *,
        paths: Paths,
        layers: LayerStore,
        images: ImageStore,
        bundles: Bundles,
        roots: RootFilesystems,
        states: States,
        freezer: Freezer,
        find: Callable[[str], Entry],
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._paths = paths
        self._layers = layers
        self._images = images
        self._bundles = bundles
        self._roots = roots
        self._states = states
        self._freezer = freezer
        self._find = find
        self._clock_ns = clock_ns

    # ---- changes -------------------------------------------------------------------------

    async def changes(self, name: str) -> list[Change]:
        """What the container changed in its image's tree. Raises: NotFound."""
        return (await in_thread(self._examine, self._find(name).record)).changes

    def _examine(self, record: ContainerRecord) -> LayerChanges:
        below = OverlayMount(lower=self._layers.lower_directories(record.top_layer))
        try:
            with (
                mounted_view(self._paths, below) as root,
                opened_directory(root) as lower,
                opened_directory(self._upper(record)) as upper,
            ):
                return layer_changes(upper, lower, _stubs(record))
        except OSError as err:
            raise _unreadable(record, err) from err

    def _upper(self, record: ContainerRecord) -> Path:
        return self._bundles.directory(record.id) / "upper"

    # ---- export --------------------------------------------------------------------------

    def export(self, name: str) -> Callable[[TarSink], None]:
        """Return what writes the whole tree as a tar, without volumes, in a thread.

        Raises: NotFound; Conflict when it is being removed.
        """
        entry = self._find(name)
        if entry.state.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f"You cannot export container {entry.id} which is {entry.state.status}")
        self._states.publish(entry, "export")

        def write(sink: TarSink) -> None:
            with self._readable(entry) as root, opened_directory(root) as fd:
                write_live_tar(fd, sink, ids=ids_of(entry))

        return write

    @contextmanager
    def _readable(self, entry: Entry) -> Iterator[Path]:
        """The tree without what is mounted in the container."""
        if entry.active:
            yield self._bundles.directory(entry.id) / "rootfs"
            return
        with mounted_view(self._paths, self._roots.readable(entry.record)) as root:
            yield root

    # ---- commit --------------------------------------------------------------------------

    async def commit(
        self,
        name: str,
        *,
        config: ContainerConfig,
        reference: Reference | None,
        author: str,
        comment: str,
        pause: bool,
    ) -> tuple[Image, list[str]]:
        """Make an image of the container, durable; return it with warnings.

        What `config` leaves open comes from the container. A running one stands still while its
        layer is copied when `pause`. Raises: NotFound; Conflict; SystemFailure.
        """
        entry = self._find(name)
        if entry.state.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f"You cannot commit container {entry.id} which is {entry.state.status}")
        config = committed_config(config, entry.record.config)
        async with self._images.hold():
            layer, warnings = await self._layer_of(entry, pause=pause)
            parent = self._parent(entry.record)
            image = await self._images.create(
                committed_image(
                    parent.config if parent else None,
                    below=[one.diff_id for one in self._layers.chain(entry.record.top_layer)],
                    layer=layer.diff_id if layer else None,
                    config=config,
                    command=entry.record.config.cmd or (),
                    author=author,
                    comment=comment,
                    created=rfc3339(self._clock_ns()),
                ),
                parent=parent.id if parent else None,
                references=[reference] if reference else [],
            )
        named = reference.with_default_tag().familiar if reference else ""
        self._states.publish(entry, "commit", comment=comment, imageID=image.id, imageRef=named)
        return image, warnings

    def _parent(self, record: ContainerRecord) -> Image | None:
        """None when the image is gone by force: its layers are still here."""
        with contextlib.suppress(NotFound):
            return self._images.get(record.image_id)
        return None

    async def _layer_of(self, entry: Entry, *, pause: bool) -> tuple[Layer | None, list[str]]:
        """Copy the writable layer; None when nothing is in it."""
        warnings = []
        async with contextlib.AsyncExitStack() as held:
            try:
                await held.enter_async_context(self._freezer.frozen(entry) if pause else entry.lock)
            except EngineError as err:
                warnings.append(
                    f"the container was not paused while it was committed: {err.message}"
                )
                await held.enter_async_context(entry.lock)
            if entry.removed:
                raise NotFound(f"No such container: {entry.name}")
            unpacked = await in_own_thread(self._copy_layer, entry.record)
        if unpacked is None:
            return None, warnings
        parent = entry.record.top_layer
        return await in_own_thread(
            lambda: self._layers.commit_unpacked(unpacked, parent=parent)
        ), warnings

    def _copy_layer(self, record: ContainerRecord) -> Unpacked | None:
        """Pack the upper directory and unpack it again: nothing in the copy is shared with it."""
        found = self._examine(record)
        if found.empty:
            return None
        read_fd, write_fd = os.pipe()
        failures: list[BaseException] = []

        def pack() -> None:
            try:
                with (
                    open(write_fd, "wb", 1 << 20) as out,
                    opened_directory(self._upper(record)) as upper,
                ):
                    write_live_tar(upper, out, layer=True, hidden=found.hidden)
            except BaseException as err:
                failures.append(err)

        packer = threading.Thread(target=pack, name="pogu-commit", daemon=True)
        packer.start()
        unpacked = None
        try:
            with open(read_fd, "rb") as tar:
                unpacked = self._layers.unpack(tar)
        finally:
            packer.join()
            if failures and unpacked is not None:
                self._layers.discard(unpacked.draft)
        if failures:
            raise _packing_failure(record, failures[0])
        return unpacked


def _packing_failure(record: ContainerRecord, failure: BaseException) -> BaseException:
    return _unreadable(record, failure) if isinstance(failure, OSError) else failure


def _unreadable(record: ContainerRecord, err: OSError) -> EngineError:
    if isinstance(err, FileNotFoundError):
        return NotFound(f"No such container: {record.id}", hint="it was removed meanwhile")
    return write_failure(err)


def _stubs(record: ContainerRecord) -> list[str]:
    mounted = [mount.destination.strip("/") for mount in record.mounts]
    return [*_STUBS, *mounted, *(path.strip("/") for path in record.host_config.tmpfs or {})]
