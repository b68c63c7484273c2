"""Service: one container's stdio, shared by all who attach to it.

conmon writes to each of its connections and waits for the slowest, and takes the end of any of them
for the end of the container's input. So the engine has one connection, reads it always, and hands
on: each listener has a `Backlog` of its own.

Who attached before the start runs the container in the foreground: the output waits for it while it
reads, as for a pipe, so that nothing is lost. Who came later only looks on: nothing waits for it.
A listener that does not read at all has its output kept in files, up to a bound. Beyond that the
output waits for the one in the foreground; another is told and sees no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from pogu.errors import SystemFailure
from pogu.linux.blocking import in_thread_to_end
from pogu.runtime.attach_stream import AttachStream
from pogu.runtime.backlog import Backlog, Packet

__all__ = ["Broadcast", "Listener"]

log = logging.getLogger(__name__)

_MEMORY_BYTES = 1 << 20
_FILE_BYTES = 256 << 20
_PIECE = 1 << 16
_PATIENCE_S = 1.0
"""How long the output waits for a listener in the foreground that takes nothing at all."""


class Listener:
    """One attachment: all output since it came; input that goes to the one process."""

    def __init__(self, broadcast: Broadcast, backlog: Backlog, *, foreground: bool) -> None:
        self._broadcast = broadcast
        self._backlog = backlog
        self._foreground = foreground
        self._files = asyncio.Lock()
        self._there_is = asyncio.Event()
        self._taken = asyncio.Event()
        self._ended = False
        self._overrun = False
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[Packet]:
        """Yield (1 stdout | 2 stderr, bytes) until the container's output ends.

        Raises: SystemFailure after the last of it when more came than can be kept.
        """
        while True:
            self._there_is.clear()
            taken = await self._take()
            self._taken.set()
            for packet in _joined(taken):
                yield packet
                self._taken.set()
            if self._closed:
                return
            if taken:
                continue
            if self._overrun:
                raise SystemFailure(
                    f"{_FILE_BYTES >> 20} MB of output were waiting for this client, which did not"
                    " read: it is detached, the container goes on",
                    hint="the rest is in the container's log",
                )
            if self._ended:
                return
            await self._there_is.wait()

    async def _take(self) -> list[Packet]:
        if self._backlog.in_files or self._files.locked():
            async with self._files:
                taken = await in_thread_to_end(self._backlog.take_from_files)
                self._backlog.forget_taken()
                if taken or self._backlog.in_files:
                    return taken
        return self._backlog.take_from_memory()

    def put(self, packets: list[Packet]) -> None:
        """Keep for the client; `has_room` then."""
        if self._overrun or self._closed:
            return
        for packet in packets:
            self._backlog.put(packet)
        self._there_is.set()

    async def has_room(self) -> None:
        """Return when more may come: at once, unless the memory is full."""
        while self._backlog.memory_full and not (self._closed or self._overrun):
            if self._foreground and await self._has_taken():
                continue
            if not self._backlog.memory_full:  # taken at the last moment
                return
            if self._backlog.full:
                if self._foreground:
                    await self._taken_some()
                else:
                    self._overrun = True
                continue
            await self._spill()

    async def _taken_some(self) -> None:
        self._taken.clear()
        await self._taken.wait()

    async def _has_taken(self) -> bool:
        """Wait a moment for the client. True when it reads."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._taken_some(), _PATIENCE_S)
            return True
        return False

    async def _spill(self) -> None:
        async with self._files:
            if not self._backlog.memory_full:
                return
            try:
                await in_thread_to_end(self._backlog.spill)
            except OSError as err:
                log.warning("cannot keep output for a client that does not read: %s", err)
                if self._foreground:
                    await asyncio.sleep(_PATIENCE_S)
                else:
                    self._overrun = True

    def end(self) -> None:
        """No more output will come."""
        self._ended = True
        self._there_is.set()

    async def write(self, data: bytes) -> None:
        """Feed the process; what comes after its end is dropped."""
        await self._broadcast.write(data)

    async def close_stdin(self) -> None:
        """End of file, where the container's input ends with that of a client. Idempotent."""
        await self._broadcast.close_stdin()

    async def aclose(self) -> None:
        """Idempotent; the container goes on, and its input stays open."""
        self._closed = True
        self._taken.set()
        self._there_is.set()
        self._broadcast.leave(self)
        async with self._files:
            self._backlog.close()


class Broadcast:
    """The engine's own connection to one run of a container; ends with its output."""

    def __init__(
        self, stream: AttachStream, tmp: Path, *, stdin_once: bool, name: str = "broadcast"
    ) -> None:
        """Reads at once. `tmp`: where output lies that is not taken; `stdin_once`: the end of one
        client's input is the end of the process's.
        """
        self._stream = stream
        self._tmp = tmp
        self._stdin_once = stdin_once
        self._listeners: list[Listener] = []
        self._writing = asyncio.Lock()
        self._accepted: asyncio.Future[None] | None = None
        self.over = False
        """The output has ended, or came when nobody listened: the next one begins anew."""
        self._reading = asyncio.create_task(self._read(), name=name)
        self._reading.add_done_callback(self._end)

    def join(self, *, foreground: bool) -> Listener:
        """Listen from now on. The caller closes what it gets."""
        backlog = Backlog(self._tmp, memory_bytes=_MEMORY_BYTES, file_bytes=_FILE_BYTES)
        listener = Listener(self, backlog, foreground=foreground)
        self._listeners.append(listener)
        return listener

    async def begun(self) -> None:
        """Return when nothing is missed that the process writes from now on.

        At its start it misses nothing anyway: there is no other connection before.
        """
        if not self._ends_input:
            if self._accepted is None:
                self._accepted = asyncio.ensure_future(self._stream.accepted())
            await asyncio.shield(self._accepted)

    @property
    def _ends_input(self) -> bool:
        return self._stdin_once and self._stream.holds_stdin

    async def _read(self) -> None:
        async for packets in self._stream.batches():
            if not self._listeners and not self._ends_input:
                self.over = True  # who comes now begins anew
                return
            for listener in self._listeners:
                listener.put(packets)
            for listener in tuple(self._listeners):
                await listener.has_room()
            await asyncio.sleep(0)  # a program that never stops writing is not alone here

    def _end(self, reading: asyncio.Task[None]) -> None:
        self.over = True
        for listener in self._listeners:
            listener.end()
        self._stream.hang_up()
        if not self._writing.locked():
            self._stream.close()
        if not reading.cancelled() and reading.exception() is not None:
            log.error("reading a container's output failed", exc_info=reading.exception())

    def leave(self, listener: Listener) -> None:
        """When nobody is left, the next output ends it, unless that would end the input."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def stop(self) -> None:
        """Let go of the container, which goes on. Idempotent."""
        self.over = True
        self._reading.cancel()

    async def aclose(self) -> None:
        """As `stop`; return when it is done."""
        self.stop()
        await asyncio.wait([self._reading])

    async def write(self, data: bytes) -> None:
        async with self._writing:
            await self._stream.write(data)
        if self.over:
            self._stream.close()

    async def close_stdin(self) -> None:
        if self._stdin_once:
            async with self._writing:
                await self._stream.close_stdin()


def _joined(packets: list[Packet]) -> list[Packet]:
    """Neighbours of one stream become one packet, of a size that shows who reads."""
    joined: list[Packet] = []
    at = 0
    while at < len(packets):
        stream, end, size = packets[at][0], at, 0
        while end < len(packets) and packets[end][0] == stream and size < _PIECE:
            size += len(packets[end][1])
            end += 1
        joined.append((stream, b"".join(data for _, data in packets[at:end])))
        at = end
    return joined
