"""Service: blobs on their way here; owns `<root>/tmp/part-<hex>`.

A part outlives a broken connection, a cancelled pull and a killed engine: the next try goes on at
its end. Many may be under way; the same blob is fetched once. Parts that nobody goes on with are
swept, by age and by size, at start and each hour.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from pogu.config import Paths
from pogu.errors import DataLoss, EngineError, Unavailable
from pogu.images.progress import Progress
from pogu.linux.blocking import in_thread
from pogu.oci.digest import Digest
from pogu.registry.client import Repository
from pogu.storage.blobs import BlobStore

__all__ = ["Downloads", "GrowingFile"]

log = logging.getLogger(__name__)

_BLOCK = 1 << 18
_TRIES = 5
_FIRST_PAUSE_S = 0.2
_KEPT_S = 7 * 24 * 3600
_KEPT_BYTES = 20 << 30

_SWEEP_EVERY_S = 3600.0
_TOLD_EVERY_S = 0.2
_WATCHED_S = 60.0
_SLOWEST = 512 * _WATCHED_S
"""Bytes in that time; a connection that brings fewer is given up for a new one."""


class _Broke(Exception):
    """The stream ended before the blob did; what has come is good."""


class GrowingFile:
    """Reads a part while it is still being written; for unpacking beside the transfer.

    `read` blocks its thread until there is more. Raises: OSError when the transfer failed.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._changed = threading.Condition()
        self._size = 0
        self._over = False
        self._failed = False
        self.position = 0
        """How many bytes were read. From any thread."""

    @classmethod
    def whole(cls, path: Path) -> GrowingFile:
        """A file that does not grow any more."""
        file = cls(path)
        file.grown(path.stat().st_size, over=True)
        return file

    def grown(self, size: int, *, over: bool = False, failed: bool = False) -> None:
        """The writer tells how many bytes are there. From any thread."""
        with self._changed:
            self._size = size
            self._over, self._failed = over, failed
            self._changed.notify_all()

    def read(self, size: int = -1) -> bytes:
        with self._changed:
            while self._size <= self.position and not self._over:
                self._changed.wait()
            if self._failed:
                raise OSError("the transfer broke")
            there = self._size - self.position
        data = self._file.read(there if size < 0 else min(size, there))
        self.position += len(data)
        return data

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()


class Downloads:
    """Fetches blobs into parts and parts into the blob store."""

    def __init__(
        self,
        paths: Paths,
        blobs: BlobStore,
        *,
        at_once: int = 4,
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        self._first_pause_s = first_pause_s
        self._paths = paths
        self._blobs = blobs
        self._slots = asyncio.Semaphore(at_once)
        self._running: dict[Digest, tuple[asyncio.Lock, int]] = {}
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """True while the next fetch has to wait for its turn."""
        return self._slots.locked()

    def part(self, digest: Digest) -> Path:
        return self._paths.tmp / f"part-{digest.removeprefix('sha256:')}"

    async def fetch(
        self,
        repository: Repository,
        digest: Digest,
        size: int,
        *,
        progress: Progress,
        reader: Callable[[Path], GrowingFile] | None = None,
    ) -> Path:
        """Bring a blob into the store, verified and durable; return its path.

        What is here already is not fetched. `reader` is told the part to read along.
        Raises: DataLoss when the content differs from its digest; Unavailable.
        """
        async with self._alone(digest, lambda have: progress(have, size)):
            if self._blobs.has(digest):
                return self._blobs.path(digest)
            async with self._slots:
                await self._complete(repository, digest, size, progress, reader)
            await in_thread(self._blobs.adopt, self.part(digest), digest)
        return self._blobs.path(digest)

    @contextlib.asynccontextmanager
    async def _alone(
        self, digest: Digest, tell: Callable[[int], Awaitable[None]]
    ) -> AsyncIterator[None]:
        """One at a time for each blob; the next one finds what the first has brought, and is told
        meanwhile how much that is.
        """
        lock, waiting = self._running.get(digest, (asyncio.Lock(), 0))
        self._running[digest] = lock, waiting + 1
        try:
            async with self.told_while_waiting(lock, digest, tell):
                yield
        finally:
            lock, waiting = self._running.pop(digest)
            if waiting > 1:
                self._running[digest] = lock, waiting - 1

    @contextlib.asynccontextmanager
    async def told_while_waiting(
        self, lock: asyncio.Lock, digest: Digest, tell: Callable[[int], Awaitable[None]]
    ) -> AsyncIterator[None]:
        """Hold a lock; while another one has it, who brings the blob, be told how much has come."""
        telling = asyncio.create_task(self._tell(digest, tell)) if lock.locked() else None
        try:
            async with lock:
                if telling is not None:
                    telling.cancel()
                yield
        finally:
            if telling is not None:
                telling.cancel()

    async def _tell(self, digest: Digest, tell: Callable[[int], Awaitable[None]]) -> None:
        """Until cancelled. A client that left is seen by whoever waits for the blob."""
        with contextlib.suppress(ConnectionError):
            while True:
                with contextlib.suppress(FileNotFoundError):
                    await tell(self.part(digest).stat().st_size)
                await asyncio.sleep(_TOLD_EVERY_S)

    async def _complete(
        self,
        repository: Repository,
        digest: Digest,
        size: int,
        progress: Progress,
        reader: Callable[[Path], GrowingFile] | None,
    ) -> None:
        """Begins anew when the bytes of an earlier run, or those of a mirror, are damaged."""
        part = self.part(digest)
        while True:
            part.touch(mode=0o600)
            resumed = part.stat().st_size > 0
            growing = reader(part) if reader is not None else None
            try:
                await self._transfer(repository, digest, size, progress, growing)
                break
            except BaseException as err:
                if growing is not None:
                    growing.grown(0, over=True, failed=True)
                if isinstance(err, DataLoss):
                    part.unlink(missing_ok=True)
                    if resumed or repository.leave_mirrors():
                        log.info("blob=%s begins anew: %s", digest, err)
                        continue
                raise
        if growing is not None:
            growing.grown(part.stat().st_size, over=True)

    async def _transfer(
        self,
        repository: Repository,
        digest: Digest,
        size: int,
        progress: Progress,
        growing: GrowingFile | None,
    ) -> None:
        """Read to the end, going on where a connection broke; the digest decides."""
        part = self.part(digest)
        hashed = await in_thread(_hash_of, part)
        have = part.stat().st_size
        if have > size:
            hashed, have = _start_over(part)
        failures = 0
        while have < size or (size == 0 and failures == 0):
            before = have
            try:
                have, hashed = await self._append(
                    repository, digest, have, hashed, size, progress, growing
                )
                if have >= size:
                    break
                raise _Broke(f"the transfer of {digest} ended after {have} of {size} bytes")
            except _Broke as err:
                have = part.stat().st_size
                hashed = await in_thread(_hash_of, part)
                # Each time that something has arrived counts as a new beginning.
                failures = 1 if have > before else failures + 1
                if failures >= _TRIES:
                    raise _broken(digest, err) from err
                log.info("blob=%s goes on at %s: %s", digest, have, err)
                await asyncio.sleep(self._first_pause_s * 2 ** (failures - 1))
        if f"sha256:{hashed.hexdigest()}" != digest:
            raise DataLoss(
                f"filesystem layer verification failed for digest {digest}",
                hint="what the registry sent is damaged; it was thrown away, try again",
            )

    async def _append(
        self,
        repository: Repository,
        digest: Digest,
        have: int,
        hashed: Any,
        size: int,
        progress: Progress,
        growing: GrowingFile | None,
    ) -> tuple[int, Any]:
        import aiohttp

        part = self.part(digest)
        try:
            async with repository.blob(digest, offset=have) as (offset, stream):
                if offset != have:
                    hashed, have = _start_over(part)
                with part.open("ab") as file:
                    slow = _Slowness()
                    while data := await stream.read(_BLOCK):
                        if have + len(data) > size:
                            raise DataLoss(f"the registry sent more than {size} bytes of {digest}")
                        file.write(data)
                        hashed.update(data)
                        have += len(data)
                        if growing is not None:
                            file.flush()
                            growing.grown(have)
                        slow.check(len(data))
                        await progress(have, size)
        except (aiohttp.ClientError, TimeoutError) as err:
            reason = str(err) or "nothing came any more"
            raise _Broke(f"the transfer of {digest} broke: {reason}") from err
        return have, hashed

    def start(self) -> None:
        """Sweep now and then, until `close`."""

        async def sweep_on() -> None:
            while True:
                await asyncio.sleep(_SWEEP_EVERY_S)
                await in_thread(self.sweep, keep=frozenset(self._running))

        self._sweeping = asyncio.create_task(sweep_on())

    def close(self) -> None:
        """Idempotent."""
        if self._sweeping is not None:
            self._sweeping.cancel()

    def sweep(self, *, keep: frozenset[Digest] = frozenset()) -> None:
        """Parts of long ago go, and the oldest above the bound; not those of `keep`. Slow."""
        busy = {str(self.part(digest)) for digest in keep}
        parts = []
        for entry in os.scandir(self._paths.tmp):
            if entry.name.startswith("part-") and entry.path not in busy:
                with contextlib.suppress(FileNotFoundError):
                    info = entry.stat()
                    parts.append((info.st_mtime, info.st_size, entry.path))
        total = 0
        for changed, size, path in sorted(parts, reverse=True):
            total += size
            if total > _KEPT_BYTES or time.time() - changed > _KEPT_S:
                Path(path).unlink(missing_ok=True)


class _Slowness:
    """Sees a connection that lives and brings next to nothing."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._bytes = 0

    def check(self, count: int) -> None:
        """Raises: TimeoutError."""
        self._bytes += count
        now = time.monotonic()
        if now - self._since >= _WATCHED_S:
            if self._bytes < _SLOWEST:
                raise TimeoutError(f"only {self._bytes} bytes in {now - self._since:.0f} s")
            self._since, self._bytes = now, 0


def _hash_of(path: Path) -> Any:
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            hashed.update(data)
    return hashed


def _start_over(part: Path) -> tuple[Any, int]:
    os.truncate(part, 0)
    return hashlib.sha256(), 0


def _broken(digest: Digest, err: Exception) -> EngineError:
    return Unavailable(
        f"{err}", hint=f"what arrived of {digest[:19]} is kept: pull again and it goes on there"
    )
