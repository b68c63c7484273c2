"""Format: what the host could not give → an error in Docker's words, with what to do. Pure."""

from __future__ import annotations

import errno
import os

from pogu.errors import EngineError, SystemFailure

__all__ = ["host_failure"]

_HINTS = {
    errno.ENOSPC: "`pogu image prune` and `pogu container prune` free space; `df -h` and `df -i`"
    " show the disk",
    errno.EROFS: "`dmesg` says why the kernel made it so: mend it (fsck), then"
    " `mount -o remount,rw` it; what runs goes on meanwhile",
    errno.EIO: "the disk answers with errors: see `dmesg`; what runs goes on meanwhile",
    errno.EMFILE: "the engine may not open more files: remove or stop something, or raise its limit"
    " (`ulimit -Hn`, LimitNOFILE= of its unit) and restart it; containers go on",
    errno.ENFILE: "the whole host has too many files open: sysctl fs.file-max",
    errno.ENOMEM: "the host, or the engine's control group, has no memory left: see `free -h`",
    errno.EAGAIN: "no more processes or threads may be made: see `ulimit -u`, the pids limit of the"
    " engine's control group (TasksMax= of its unit) and sysctl kernel.pid_max",
}


def host_failure(err: BaseException, doing: str = "") -> EngineError | None:
    """Return the error for what the host refused; None when it is not the host's fault.

    `doing`: what the message names, else the file.
    """
    if isinstance(err, MemoryError):
        return _refused(errno.ENOMEM, "")
    if isinstance(err, RuntimeError) and "can't start new thread" in str(err):
        return _refused(errno.EAGAIN, "start a thread")
    if not isinstance(err, OSError):
        return None
    where = str(err.filename or "")
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return _refused(errno.ENOSPC, doing or f"write {where}".rstrip())
    return _refused(err.errno, doing or where) if err.errno in _HINTS else None


def _refused(number: int, where: str) -> SystemFailure:
    said = os.strerror(number).lower()
    return SystemFailure(f"{where}: {said}" if where else said, hint=_HINTS[number])
