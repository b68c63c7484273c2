"""Edge: one blob on its way to a registry (distribution-spec, "Pushing blobs").

All in one PATCH, as every registry takes it. Where that breaks the registry is asked how much has
come and is sent the rest; where it has forgotten, the upload begins anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from pogu.errors import EngineError, InvalidParameter, NotFound, Unavailable
from pogu.linux.blocking import in_thread
from pogu.oci.digest import Digest
from pogu.registry.client import Pieces, Repository

__all__ = ["upload_file"]

log = logging.getLogger(__name__)

_TRIES = 5
_FIRST_PAUSE_S = 0.2
_PIECE = 1 << 20
_TOO_LARGE = 413
_LARGEST_CHUNK = 64 << 20
_SMALLEST_CHUNK = 1 << 20

Progress = Callable[[int, int], Awaitable[None]]


async def upload_file(
    repository: Repository,
    path: Path,
    digest: Digest,
    *,
    progress: Progress,
    first_pause_s: float = _FIRST_PAUSE_S,
) -> None:
    """Bring a file there, whatever the connection does. Raises: Unavailable, Unauthorized, …"""
    upload = _Upload(repository, path, digest, progress)
    failures = reached = 0
    while True:
        try:
            return await upload.attempt()
        except (Unavailable, NotFound, InvalidParameter) as err:
            failures += 1
            if failures >= _TRIES:
                raise
            log.info("upload=%s broke: %s", digest, err)
            await asyncio.sleep(first_pause_s * 2 ** (failures - 1))
            if not isinstance(err, Unavailable) and await repository.has_blob(digest):
                return  # it was the answer to the last request that got lost
            await upload.resume(begin_anew=isinstance(err, InvalidParameter))
            if upload.offset > reached:
                # Something has arrived: that counts as a new beginning.
                failures, reached = 0, upload.offset


class _Upload:
    """Where an upload stands."""

    def __init__(
        self, repository: Repository, path: Path, digest: Digest, progress: Progress
    ) -> None:
        self._repository = repository
        self._path = path
        self._digest = digest
        self._progress = progress
        self._total = path.stat().st_size
        self._chunk = self._total
        self._location = ""
        self.offset = 0

    async def attempt(self) -> None:
        """Go on from where it stands to the end."""
        if not self._location:
            self._location = await self._repository.start_upload()
        while self.offset < self._total:
            count = min(self._chunk, self._total - self.offset)
            there = await self._repository.send(
                self._location, self._pieces(self.offset, count), offset=self.offset, count=count
            )
            if isinstance(there, str):
                self._location = there
                self.offset += count
            elif there == _TOO_LARGE and self._chunk > _SMALLEST_CHUNK:
                self._chunk = min(self._chunk, 2 * _LARGEST_CHUNK) // 2
            else:
                return await self._at_once()
        await self._repository.finish_upload(self._location, self._digest)

    async def _at_once(self) -> None:
        """The registry takes no parts: all of it with the last request."""
        self._location = await self._repository.start_upload()
        self.offset = 0
        await self._repository.finish_upload(
            self._location, self._digest, self._pieces(0, self._total), count=self._total
        )

    async def resume(self, *, begin_anew: bool) -> None:
        """Ask how far it came; what the registry does not know any more begins anew."""
        location, self._location, self.offset = self._location, "", 0
        if begin_anew or not location:
            return
        try:
            there, offset = await self._repository.uploaded(location)
        except EngineError as err:
            log.info("upload=%s begins anew: %s", self._digest, err)
            return
        if offset <= self._total:
            self._location, self.offset = there, offset

    def _pieces(self, offset: int, count: int) -> Pieces:
        async def pieces() -> AsyncIterator[bytes]:
            at = offset
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                while at < offset + count:
                    data = await in_thread(os.pread, fd, min(_PIECE, offset + count - at), at)
                    if not data:
                        return
                    yield data
                    at += len(data)
                    await self._progress(at, self._total)
            finally:
                os.close(fd)

        return pieces
