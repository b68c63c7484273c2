"""Edge: memory that the C library keeps for later."""

from __future__ import annotations

from pogu.linux.libc import libc

__all__ = ["give_back"]


def give_back() -> None:
    """Return freed memory to the kernel (malloc_trim(3)); after work in large blocks.

    glibc keeps it by the thread that took it: an engine would stay as large as its largest layer
    made it. Where the C library has no such call nothing happens.
    """
    trim = getattr(libc, "malloc_trim", None)
    if trim is not None:
        trim(0)
