"""Edge: one process executed in a running container, by the runtime's `exec`.

crun stays as the process's parent and ends with its exit code. runc would pass all output through
itself and wait for whoever still holds it, so it detaches: its process becomes ours, since the
engine adopts orphans. The engine holds the stdio, so output is handed on as fast as it is taken and
no faster. Nothing lies on disk, except the socket over which a terminal comes and runc's pid file,
for a moment. When the engine dies the process goes on without its streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import signal
import struct
import termios
from collections.abc import Awaitable, Callable
from pathlib import Path

from pogu.errors import EngineError
from pogu.linux.process import not_executed, write_all
from pogu.linux.spawn import adopt, expect_orphan, reap, spawn, wait_pidfd
from pogu.runtime.console import ConsoleSocket
from pogu.runtime.failure import exec_failure
from pogu.runtime.oci_runtime import OciRuntime
from pogu.runtime.outlet import Outlet, deliver

__all__ = ["ExecProcess", "Sink"]

Sink = Callable[[int, bytes], Awaitable[None]]
"""Takes output (1 stdout, 2 stderr); ConnectionError says that nobody reads any more."""

Owner = tuple[int, int]

_LONGEST_PAUSE_S = 0.02


class ExecProcess:
    """A process beside the container's first one. `begin` once; then everything else."""

    def __init__(
        self, runtime: OciRuntime, container_id: str, run_dir: Path, *, owner: Owner | None = None
    ) -> None:
        """`run_dir`: where the socket for a terminal stands for a moment.

        `owner` is the process's user on the host where it has a user namespace: its streams are
        its own there, and no stdin is an empty pipe, because crun gives away what it finds there.
        """
        self._owner = owner
        self._runtime = runtime.maker(container_id)
        self._container_id = container_id
        self._run_dir = run_dir
        self._sink: Sink | None = None
        self._outlets: list[Outlet] = []
        self._input = -1
        self._is_writing = False
        self._terminal = -1
        self._spec = self._log = -1
        self._parent = 0
        """The runtime's process; 0 when it has ended."""
        self._pid_file = run_dir / f"exec-{secrets.token_hex(8)}.pid"
        self._adopted = 0
        """The process itself, once a runtime that detached has left it to us."""
        self._over = asyncio.Event()
        """The runtime has ended; its output may not be delivered yet."""
        self._runs = False
        self._failure: EngineError | None = None
        self._run: asyncio.Task[int] | None = None

    # ---- start ---------------------------------------------------------------------------

    async def begin(
        self, process: bytes, *, terminal: bool, stdin: bool, sink: Sink | None = None
    ) -> None:
        """Start the runtime with this process (see `exec_process`); output goes to `sink`.

        Returns before the process runs: see `started`. Raises: EngineError.
        """
        self._sink = sink
        try:
            self._spec = os.memfd_create("process")
            self._log = os.memfd_create("log")
            os.write(self._spec, process)
            if not terminal:
                self._begin_with_pipes(stdin=stdin)
            else:
                await self._begin_with_console()
        except BaseException:
            if self._parent:
                os.kill(self._parent, signal.SIGKILL)
                reap(self._parent)
                self._parent = 0
            self._close()
            raise
        for outlet in self._outlets:
            outlet.begin(self._take)
        self._run = asyncio.create_task(self._to_the_end(), name=f"exec {self._container_id[:12]}")
        self._run.add_done_callback(lambda run: run.cancelled() or run.exception())

    @property
    def _detaches(self) -> bool:
        return self._runtime.name == "runc"

    def _argv(self, *words: str) -> list[str]:
        log, spec = _own_path(self._log), _own_path(self._spec)
        if self._detaches:
            words = ("--detach", "--pid-file", str(self._pid_file), *words)
        return self._runtime.argv(
            *("--log", log, "--log-format", "json", "exec", "--process", spec),
            *words,
            self._container_id,
        )

    def _spawn(self, stdin: int, stdout: int, stderr: int, *words: str) -> None:
        argv = self._argv(*words)
        if self._detaches:
            expect_orphan()
        try:
            self._parent = spawn(argv, stdin=stdin, stdout=stdout, stderr=stderr, new_session=True)
        except OSError as err:
            if self._detaches:
                adopt(0)
            raise not_executed(argv[0], err) from err

    def _begin_with_pipes(self, *, stdin: bool) -> None:
        with contextlib.ExitStack() as theirs:
            if stdin:
                inside, self._input = os.pipe()
            elif self._owner is not None:
                inside, nobodys = os.pipe()
                os.close(nobodys)
            else:
                inside = os.open(os.devnull, os.O_RDONLY)
            theirs.callback(os.close, inside)
            outputs = []
            for stream in (1, 2):
                ours, its = os.pipe()
                theirs.callback(os.close, its)
                self._outlets.append(Outlet(ours, stream))
                outputs.append(its)
            if self._owner is not None:
                for fd in (inside, *outputs):
                    os.fchown(fd, *self._owner)
            self._spawn(inside, outputs[0], outputs[1])

    async def _begin_with_console(self) -> None:
        """The runtime sends the container's terminal itself over a socket."""
        null = os.open(os.devnull, os.O_RDWR) if self._owner is None else os.memfd_create("null")
        try:
            with ConsoleSocket(self._run_dir) as console:
                self._spawn(null, null, null, "--tty", "--console-socket", console.path)
                receiving = asyncio.ensure_future(console.receive())
                ending = asyncio.ensure_future(wait_pidfd(self._parent))
                await asyncio.wait((receiving, ending), return_when=asyncio.FIRST_COMPLETED)
                ending.cancel()
                if not receiving.done():
                    receiving.cancel()
                    return  # it failed: `_to_the_end` says why
                self._terminal = receiving.result()
        finally:
            os.close(null)
        self._keep_terminal()

    def _keep_terminal(self) -> None:
        self._input = os.dup(self._terminal)
        self._outlets.append(Outlet(os.dup(self._terminal), 1))

    # ---- while it runs -------------------------------------------------------------------

    async def _take(self, stream: int, data: bytes) -> None:
        if not self._runs and stream == 2:
            await self._settled()  # it may be the runtime that complains
        if self._failure is not None or self._sink is None:
            return
        try:
            await self._sink(stream, data)
        except ConnectionError:
            self._sink = None

    async def _settled(self) -> None:
        """Wait until the process runs, or the runtime has ended."""
        pause_s = 0.0005
        while not self._runs and not self._over.is_set():
            if self._has_begun():
                self._runs = True
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _has_begun(self) -> bool:
        """True when the runtime's child is no runtime any more: it has executed the program."""
        if self._detaches:
            return self._adopted != 0
        pid = self.pid
        return bool(pid) and _command(pid) not in (_command(self._parent), b"")

    @property
    def pid(self) -> int:
        """The process as the host sees it; 0 before it is made and when it has ended."""
        if self._detaches or not self._parent:
            return self._adopted
        listed: list[str] = []
        with contextlib.suppress(OSError):
            for path in Path(f"/proc/{self._parent}/task").glob("*/children"):
                listed += path.read_text().split()
        return int(listed[0]) if listed else 0

    async def started(self) -> None:
        """Return when the process runs, or ran. Raises: EngineError when it could not start."""
        await self._settled()
        if not self._runs:
            await self.wait()

    async def write(self, data: bytes) -> None:
        """Feed stdin, as fast as it is read; what comes after its end is dropped."""
        if self._input < 0:
            return
        self._is_writing = True
        try:
            with contextlib.suppress(OSError):
                await write_all(self._input, data)
        finally:
            self._is_writing = False
            if self._over.is_set():
                self._close_input()

    async def close_stdin(self) -> None:
        """End of file for the process; a terminal has none. Idempotent."""
        if self._terminal < 0:
            self._close_input()

    def _close_input(self) -> None:
        if self._input >= 0 and not self._is_writing:
            os.close(self._input)
            self._input = -1

    def discard_output(self) -> None:
        """Nobody reads any more: the process goes on, what it writes is dropped."""
        self._sink = None

    def resize(self, *, height: int, width: int) -> None:
        """Set the terminal's size. Without effect on a process that has none or has ended."""
        if self._terminal < 0:
            return
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("4H", height, width, 0, 0))

    def kill(self) -> None:
        """SIGKILL the process and those of its group. Idempotent."""
        pid = self.pid
        with contextlib.suppress(ProcessLookupError):
            if pid and self._has_begun():
                group = os.getpgid(pid)
                if not self._parent or group != os.getpgid(self._parent):
                    os.killpg(group, signal.SIGKILL)
                os.kill(pid, signal.SIGKILL)
            elif self._parent:
                os.kill(self._parent, signal.SIGKILL)

    # ---- the end -------------------------------------------------------------------------

    async def wait(self) -> int:
        """Return the exit code, when all that the process wrote has been taken.

        Raises: EngineError in Docker's words when it could not be started.
        """
        assert self._run is not None
        return await asyncio.shield(self._run)

    async def _to_the_end(self) -> int:
        status = await self._end_of_runtime()
        if self._adopted:
            await wait_pidfd(self._adopted)
            status = reap(self._adopted)
            self._adopted = 0
        said = os.pread(self._log, 1 << 16, 0).decode(errors="replace")
        if status != 0 and '"error"' in said:
            self._failure = exec_failure(said)
        self._over.set()
        if self._failure is None:
            await deliver(self._outlets)
        self._close()
        if self._failure is not None:
            raise self._failure
        return status if status >= 0 else 128 - status

    async def _end_of_runtime(self) -> int:
        """Return its exit code; a process that it left behind is ours from now on."""
        await wait_pidfd(self._parent)
        status = reap(self._parent)
        self._parent = 0
        if self._detaches:
            try:
                self._adopted = int(self._pid_file.read_text()) if status == 0 else 0
            finally:
                adopt(self._adopted)
                self._pid_file.unlink(missing_ok=True)
        return status

    def _close(self) -> None:
        """Let go of the streams; pipes that somebody may still write to are read and dropped."""
        self._sink = None
        for outlet in self._outlets:
            if self._terminal >= 0 or not self._over.is_set():
                outlet.stop()
        self._close_input()
        for fd in (self._terminal, self._spec, self._log):
            if fd >= 0:
                os.close(fd)
        self._terminal = self._spec = self._log = -1


def _own_path(fd: int) -> str:
    """A path to one of our descriptors that other processes can open: none is inherited."""
    return f"/proc/{os.getpid()}/fd/{fd}"


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
