"""Edge: the systemd journal: whether this host has one, and what a container wrote into it.

conmon sends each line to journald itself, with CONTAINER_ID_FULL, CONTAINER_ID, CONTAINER_NAME,
CONTAINER_TAG, SYSLOG_IDENTIFIER and PRIORITY (3 for stderr, 6 for stdout), so that nothing depends
on the engine. It is read by `journalctl`, which knows the files of every version of systemd.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from pogu.errors import SystemFailure
from pogu.linux.blocking import in_thread
from pogu.linux.process import read_some, run
from pogu.linux.spawn import reap, spawn
from pogu.runtime.journal_entries import FIELDS, JournalEntries, JournalTail, file_lines
from pogu.runtime.logformat import LogView, Rendering

__all__ = ["check_readable", "has_journal", "journalctl_argv", "read_journal"]

_SOCKET = "/run/systemd/journal/socket"
_BLOCK = 1 << 20
_SYNC_S = 10.0
_LATEST_S = 253_402_300_799
"""What journalctl reads as a time, at most: the end of the year 9999."""


def has_journal() -> bool:
    """True when journald takes messages here."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect(_SOCKET)
        except OSError:
            return False
        return True


def check_readable() -> None:
    """Raises: SystemFailure when there is nothing to read it with."""
    if shutil.which("journalctl") is None:
        raise _missing()


def _missing() -> SystemFailure:
    return SystemFailure(
        "journalctl: program not found", hint="install it to read logs of the driver journald"
    )


def journalctl_argv(container_id: str, *words: str) -> list[str]:
    """The command that prints a container's entries, oldest first."""
    fields = f"--output-fields={','.join(FIELDS)}"
    match = f"CONTAINER_ID_FULL={container_id}"
    return ["journalctl", "--quiet", "--all", "-o", "export", fields, *words, match]


async def read_journal(
    container_id: str,
    view: LogView,
    *,
    follow: bool = False,
    ended: asyncio.Event | None = None,
) -> AsyncGenerator[bytes]:
    """As `logfile.read_log`, of the journal: also what the container's earlier runs wrote."""
    await _sync()
    reader = _Reader(container_id, view)
    await reader.start_at_tail()
    if follow:
        async with contextlib.aclosing(reader.followed(ended)) as texts:
            async for text in texts:
                yield text
        await _sync()
    async with contextlib.aclosing(reader.rest()) as texts:
        async for text in texts:
            yield text
    if last := reader.rendering.finish():
        yield last


class _Reader:
    """Goes on after the last entry that was read, whichever child read it."""

    def __init__(self, container_id: str, view: LogView) -> None:
        self._container_id = container_id
        self._view = view
        self._from: tuple[str, ...] = ()
        if view.since_ns:
            self._from = (f"--since=@{min(view.since_ns // 1_000_000_000, _LATEST_S)}",)
        self._entries = JournalEntries()
        self.rendering = Rendering(view)

    async def start_at_tail(self) -> None:
        """Begin at the first of the last lines, where only those are wanted."""
        if self._view.tail is None:
            return
        tail = JournalTail(self._view.tail)
        argv = journalctl_argv(self._container_id, "--reverse")
        async with _journalctl(argv) as child:
            while (block := await child.read()) and not tail.feed(self._entries.feed(block)):
                pass
        if tail.cursor:
            self._from = (f"--cursor={tail.cursor.decode()}",)
            self.rendering = Rendering(self._view, skip=1)

    async def followed(self, ended: asyncio.Event | None) -> AsyncGenerator[bytes]:
        """What comes until `ended` is set or the time of the view is over; not all of it."""
        async with self._child("--follow", "--no-tail") as child:
            stop = asyncio.create_task(child.stop_when(ended, self._view.until_ns))
            try:
                while text := await self._next(child):
                    yield text
            finally:
                stop.cancel()

    async def rest(self) -> AsyncGenerator[bytes]:
        """All that the journal has by now."""
        async with self._child() as child:
            while text := await self._next(child):
                yield text

    def _child(self, *words: str) -> AbstractAsyncContextManager[_Child]:
        """A child that goes on where the last one ended, maybe within an entry."""
        self._entries = JournalEntries()
        return _journalctl(journalctl_argv(self._container_id, *words, *self._from))

    async def _next(self, child: _Child) -> bytes:
        """The next that is shown; empty when there is no more."""
        while not self.rendering.over and (block := await child.read()):
            if text := await in_thread(self._rendered, block):
                return text
        return b""

    def _rendered(self, block: bytes) -> bytes:
        found = list(self._entries.feed(block))
        if not found:
            return b""
        self._from = (f"--after-cursor={found[-1].cursor.decode()}",)
        return self.rendering.feed(file_lines(found))


class _Child:
    """A running journalctl."""

    def __init__(self, pid: int, output: int) -> None:
        self._pid = pid
        self._output = output

    async def read(self) -> bytes:
        """The next of its output; empty at the end."""
        return await read_some(self._output, _BLOCK)

    async def stop_when(self, ended: asyncio.Event | None, until_ns: int) -> None:
        """End it when `ended` is set, or at that time."""
        left_s = max(0.0, (until_ns - time.time_ns()) / 1e9) if until_ns else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                await (ended or asyncio.Event()).wait()
        os.kill(self._pid, signal.SIGTERM)


@asynccontextmanager
async def _journalctl(argv: Sequence[str]) -> AsyncIterator[_Child]:
    """Start it; afterwards it has ended. One that follows ends by itself when we are killed.

    Raises: SystemFailure when it is missing, or failed.
    """
    output, child_output = os.pipe()
    said, null = os.memfd_create("journalctl"), os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _BLOCK)
        try:
            pid = spawn(argv, stdin=null, stdout=child_output, stderr=said)
        except FileNotFoundError as err:
            raise _missing() from err
        finally:
            os.close(child_output)
        try:
            yield _Child(pid, output)
        finally:
            os.kill(pid, signal.SIGKILL)  # a child that we have not reaped keeps its pid
            code = reap(pid)
        if code > 0 and (text := os.pread(said, 4096, 0).decode(errors="replace").strip()):
            raise SystemFailure(f"cannot read the journal: {text}")
    finally:
        for fd in (output, said, null):
            os.close(fd)


async def _sync() -> None:
    """Have journald write what it was sent; without an answer whatever is there must do."""
    with contextlib.suppress(SystemFailure):
        await run(["journalctl", "--quiet", "--sync"], timeout_s=_SYNC_S, check=False)
