"""Edge: how many files the engine may still open; a start that would take the last is refused."""

from __future__ import annotations

import errno
import os
import resource

from pogu.host_failure import host_failure

__all__ = ["SPARE_FOR_STARTS", "check_descriptors"]

SPARE_FOR_STARTS = 96
"""Kept for what must always work: to stop, to remove, to list, to exec."""


_ENOUGH = 384
"""Of fewer, a smaller part is spared."""


def check_descriptors(spare: int) -> None:
    """Raises: SystemFailure when fewer than `spare` are left; of a small limit, a smaller part."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return
    try:
        count = _open_files()
    except OSError as err:  # not even the directory can be read
        raise host_failure(err) or err from err
    if count + min(spare, spare * limit // _ENOUGH) >= limit:
        too_many = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        raise host_failure(too_many) or too_many


def _open_files() -> int:
    """How many this process has open. The lowest free number would not tell: it may be a hole."""
    directory = "/proc/self/fd"
    return os.stat(directory).st_size or len(os.listdir(directory))  # 0 before Linux 6.2
