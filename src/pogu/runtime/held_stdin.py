"""Edge: the input of a container whose end is that of a client's: it outlives the engine.

conmon takes the end of any connection for the end of input, that of a killed engine too. So the
engine writes to the pipe itself, and while none lives, the pipe's write end lies as a message in
a socket that conmon inherited and knows nothing of. It is there as long as conmon is; every engine
may look at it. Who takes the message out has ended the input.

<run_root>/containers/<id>/stdin   the number of that socket among conmon's descriptors
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from pogu.crash_point import crash_point
from pogu.linux.pidfd import descriptor_of

__all__ = ["HeldStdin", "Hold"]

log = logging.getLogger(__name__)

_MARK = "stdin"
_FD = struct.Struct("i")
_LOOK = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC


class Hold:
    """A socket that conmon inherits, to put a container's write end into."""

    def __init__(self, ours: socket.socket, number: int) -> None:
        self._ours = ours
        self.number = number
        """The descriptor to pass on, under this number."""

    @classmethod
    @contextlib.contextmanager
    def made(cls) -> Iterator[Hold]:
        """For as long as it takes to start conmon and to put the write end in."""
        ours, conmons = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, conmons:
            yield cls(ours, conmons.fileno())

    def put(self, run_dir: Path, *, conmon_pid: int, pid: int) -> None:
        """Put the write end of the process's input in, before it is started.

        Where that cannot be (no right to ptrace, a conmon that closes what it does not know) all
        stays with conmon: the input ends with the engine.
        """
        try:
            write_end = os.open(f"/proc/{pid}/fd/0", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if not stat.S_ISFIFO(os.fstat(write_end).st_mode):
                    raise OSError("it is no pipe")
                socket.send_fds(self._ours, [b"stdin"], [write_end])
            finally:
                os.close(write_end)
            with contextlib.closing(HeldStdin(conmon_pid, self.number)) as found:
                if found.ended:
                    raise OSError("conmon does not keep it")
        except OSError as err:
            log.warning("the input of process %d will end with the engine: %s", pid, err)
            return
        crash_point()
        (run_dir / _MARK).write_text(str(self.number))


class HeldStdin:
    """The engine's own descriptor of a container's input."""

    def __init__(self, conmon_pid: int, number: int) -> None:
        """Raises: OSError."""
        self._socket = socket.socket(fileno=descriptor_of(conmon_pid, number))
        self._fd = self._held(socket.MSG_PEEK)
        self._room = asyncio.Event()
        self._given_up = False

    @classmethod
    def of(cls, run_dir: Path, conmon_pid: int) -> HeldStdin | None:
        """Return the input that is held; None where conmon has it. Raises: OSError."""
        try:
            number = int((run_dir / _MARK).read_text())
        except FileNotFoundError:
            return None
        return cls(conmon_pid, number)

    def _held(self, flags: int) -> int:
        """Return a descriptor of what lies in the socket; -1 = somebody has taken it out."""
        try:  # `socket.recv_fds` forgets the flags
            _, ancillary, _, _ = self._socket.recvmsg(
                16, socket.CMSG_SPACE(_FD.size), _LOOK | flags
            )
        except BlockingIOError:
            return -1
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                return int(_FD.unpack_from(data)[0])
        return -1

    @property
    def ended(self) -> bool:
        return self._fd < 0

    async def write(self, data: bytes) -> None:
        """Feed the process, as fast as it reads; what comes after the end is dropped."""
        view = memoryview(data)
        while view and not self.ended and not self._given_up:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                await self._has_room()
            except OSError:
                return

    async def _has_room(self) -> None:
        loop = asyncio.get_running_loop()
        self._room.clear()
        loop.add_writer(self._fd, self._room.set)
        try:
            await self._room.wait()
        finally:
            loop.remove_writer(self._fd)

    def end(self) -> None:
        """End of file for the process, whoever else has looked. Not beside `write`. Idempotent."""
        if not self.ended:
            taken = self._held(0)
            crash_point()
            if taken >= 0:
                os.close(taken)
            self._close_fd()

    def give_up(self) -> None:
        """Wake who waits to write: it will not be read."""
        self._given_up = True
        self._room.set()

    def close(self) -> None:
        """Let go; the input stays as it is. Not beside `write`. Idempotent."""
        self._socket.close()
        self._close_fd()

    def _close_fd(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
