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
    """Raises: SystemFailure when fewer than `spare` are left. Costs a microsecond.

    The kernel gives the lowest number that is free: all below it are taken.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return
    too_many = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    try:
        fd = os.dup(0)
    except OSError as err:
        raise host_failure(err) or err from err
    os.close(fd)
    if fd + min(spare, spare * limit // _ENOUGH) >= limit:
        raise host_failure(too_many) or too_many
