"""Edge: output that a client has not taken yet: a little in memory, beyond that in files.

The files have no name, so they are gone with the engine.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections import deque
from pathlib import Path

__all__ = ["Backlog", "Packet"]

Packet = tuple[int, bytes]
"""1 stdout, 2 stderr, and what was written there."""

_SEGMENT_BYTES = 16 << 20
_BLOCK = 1 << 18
_HEAD = struct.Struct(">BL")


class Backlog:
    """First in, first out; owns its files. `spill` and `take_from_files` block for a moment."""

    def __init__(self, directory: Path, *, memory_bytes: int, file_bytes: int) -> None:
        """`directory`: where the files lie; the bounds are kept to within one write."""
        self._directory = directory
        self._memory_bytes = memory_bytes
        self._file_bytes = file_bytes
        self._newest: deque[Packet] = deque()
        self._newest_bytes = 0
        self._segments: deque[_Segment] = deque()

    def put(self, packet: Packet) -> None:
        """Take what was written last."""
        self._newest.append(packet)
        self._newest_bytes += len(packet[1])

    @property
    def in_files(self) -> bool:
        return bool(self._segments)

    @property
    def memory_full(self) -> bool:
        return self._newest_bytes > self._memory_bytes

    @property
    def full(self) -> bool:
        """Nothing more goes into the files. A slow reader makes room."""
        return sum(one.written_bytes for one in self._segments) >= self._file_bytes

    def spill(self) -> None:
        """Move what is in memory into the files. Raises: OSError; then nothing has moved."""
        if not self._segments or self._segments[-1].written_bytes >= _SEGMENT_BYTES:
            self._segments.append(_Segment(self._directory))
        data = bytearray()
        for stream, piece in self._newest:
            data += _HEAD.pack(stream, len(piece)) + piece
        try:
            self._segments[-1].append(data)
        except OSError:
            if not self._segments[-1].written_bytes:
                self._segments.pop().close()
            raise
        self._clear_memory()

    def take_from_files(self) -> list[Packet]:
        """The oldest packets; `forget_taken` then. In a thread, never beside `spill`."""
        for segment in self._segments:
            if taken := segment.read():
                return taken
        return []

    def forget_taken(self) -> None:
        """Let go of the files that were read to their end."""
        while self._segments and self._segments[0].read_whole:
            self._segments.popleft().close()

    def take_from_memory(self) -> list[Packet]:
        """The newest packets: when nothing older is in files."""
        taken = list(self._newest)
        self._clear_memory()
        return taken

    def _clear_memory(self) -> None:
        self._newest.clear()
        self._newest_bytes = 0

    def close(self) -> None:
        """Forget all of it. Idempotent."""
        self._clear_memory()
        while self._segments:
            self._segments.popleft().close()


class _Segment:
    """A part of the backlog in a file without a name."""

    def __init__(self, directory: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115
        self.written_bytes = 0
        self._read_bytes = 0

    def append(self, data: bytes | bytearray) -> None:
        view = memoryview(data)
        at = self.written_bytes
        while view:
            written = os.pwrite(self._file.fileno(), view, at)
            view, at = view[written:], at + written
        self.written_bytes = at

    @property
    def read_whole(self) -> bool:
        return self._read_bytes >= self.written_bytes

    def read(self) -> list[Packet]:
        """Some whole packets from where the last read ended."""
        length = min(_BLOCK, self.written_bytes - self._read_bytes)
        block = os.pread(self._file.fileno(), length, self._read_bytes)
        packets, at = [], 0
        while at + _HEAD.size <= len(block):
            stream, size = _HEAD.unpack_from(block, at)
            end = at + _HEAD.size + size
            if end > len(block):
                break
            packets.append((stream, block[at + _HEAD.size : end]))
            at = end
        self._read_bytes += at
        return packets

    def close(self) -> None:
        self._file.close()
