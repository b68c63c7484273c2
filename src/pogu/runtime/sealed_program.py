"""Edge: a copy of the runtime's program in sealed memory; owns `<run_root>/sealed/`.

A runtime that is executed from a file which could be written protects itself from its containers
(CVE-2019-5736): it makes a copy or a read-only mount of itself and executes that, a second start of
the program at each call. One that already lies in sealed memory does not: 3 ms less a call.

The memory is a descriptor of the engine. It has a name for as long as the engine lives, a link to
that descriptor, so that conmon and `ps` see a program of the usual name.
"""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from pogu.errors import EngineError
from pogu.linux.process import run

__all__ = ["SealedProgram", "seal_program"]

log = logging.getLogger(__name__)

_MFD_EXEC = 0x10
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
"""The very set that crun and runc look for."""

_SELINUX = Path("/sys/fs/selinux/enforce")
"""Where that is, a program's label decides what it may: a copy has none."""

Stamp = tuple[int, int, int]


class SealedProgram:
    """The copy of one file, as long as that file stays what it was."""

    def __init__(self, file: Path, copy: Path, stamp: Stamp) -> None:
        self._file = file
        self._copy = copy
        self._stamp = stamp

    @property
    def path(self) -> Path:
        """What to execute: the copy, or the file itself once another version is installed."""
        try:
            return self._copy if _stamp(self._file) == self._stamp else self._file
        except FileNotFoundError:
            return self._file


async def seal_program(file: Path, directory: Path) -> SealedProgram | None:
    """Copy the program and name the copy in `directory`; None where the host will not have it.

    The copy stays until the process ends. What an earlier engine left there is replaced.
    """
    if _SELINUX.exists():
        return None
    copy = directory / file.name
    try:
        stamp = _stamp(file)
        _name(_copied(file), copy)
        await run([str(copy), "--version"])
    except (OSError, EngineError) as err:
        log.info("program=%s is not executed from memory: %s", file, err)
        return None
    return SealedProgram(file, copy, stamp)


def _stamp(file: Path) -> Stamp:
    info = file.stat()
    return info.st_ino, info.st_size, info.st_mtime_ns


def _copied(file: Path) -> int:
    """Return a descriptor that nobody can write to any more."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create(file.name, flags | _MFD_EXEC)
    except OSError:  # before Linux 6.3
        fd = os.memfd_create(file.name, flags)
    try:
        with file.open("rb") as source:
            while os.sendfile(fd, source.fileno(), None, 1 << 30):
                pass
        os.fchmod(fd, 0o755)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _name(fd: int, link: Path) -> None:
    new = link.with_name(f"{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(f"/proc/{os.getpid()}/fd/{fd}")
    new.replace(link)
