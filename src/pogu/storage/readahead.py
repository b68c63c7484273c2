"""Edge: a stream read, decompressed and hashed by a thread of its own, ahead of its consumer."""

from __future__ import annotations

import hashlib
import queue
import threading
from typing import BinaryIO

from pogu.storage.compression import decompressed

__all__ = ["ReadAhead"]

_BLOCK_BYTES = 1 << 18
_BLOCKS = 32


class ReadAhead:
    """Blocks of the uncompressed stream; if `hashed`, the digest of all of them once the last was
    taken.

    The source stays its owner's. After `close` in the middle the thread ends with the read that
    it waits in.
    """

    def __init__(self, source: BinaryIO, *, hashed: bool = True) -> None:
        self._source = source
        self._hashed = hashed
        self._hash = hashlib.sha256()
        self._blocks: queue.Queue[bytes | BaseException] = queue.Queue(maxsize=_BLOCKS)
        self._closed = False
        self._over = False
        self._thread = threading.Thread(target=self._read_all, name="pogu-read", daemon=True)
        self._thread.start()

    def _read_all(self) -> None:
        try:
            stream = decompressed(self._source)
            while not self._closed and (block := stream.read(_BLOCK_BYTES)):
                self._blocks.put(block)
                if self._hashed:
                    self._hash.update(block)
            self._blocks.put(b"")
        except BaseException as err:
            self._blocks.put(err)

    def next(self) -> bytes:
        """Return the next block, empty at the end. Raises: what reading raised."""
        if self._over:
            return b""
        block = self._blocks.get()
        if isinstance(block, BaseException):
            self._over = True
            raise block
        self._over = not block
        return block

    def hexdigest(self) -> str:
        """Digest of the whole stream, which the caller has read to its end."""
        self._thread.join()
        return self._hash.hexdigest()

    def close(self) -> None:
        """Let the thread go. Idempotent."""
        self._closed = self._over = True
        while not self._blocks.empty():
            self._blocks.get_nowait()
