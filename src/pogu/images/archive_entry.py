"""Edge: the content of one entry of an archive that streams by, and a copy of it on disk."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from pogu.oci.digest import Digest
from pogu.storage.tarstream import TarStream

__all__ = ["Content", "Kept"]

_CHUNK = 1 << 20


class Content:
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


class Kept:
    """Content that is hashed and written to a file of tmp/ as it is read."""

    def __init__(self, content: Content, fd: int, path: Path) -> None:
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

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self._taken:
            self._path.unlink(missing_ok=True)
