"""Edge: libnftables(3), the library that the program `nft` is made of.

In the process, because a transaction then costs 0.1 ms and not a program's start.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import threading

from pogu.errors import CommandFailed

__all__ = ["Nftables"]

log = logging.getLogger(__name__)


class Nftables:
    """One context, opened at the first use; calls from any thread are taken in turn."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._library: ctypes.CDLL | None = None
        self._context: ctypes.c_void_p | None = None
        self._missing = False

    def open(self) -> bool:
        """Load the library; False when the host has none.

        Call it where programs are spawned from (the event loop): the library's socket is not
        close-on-exec until this returns.
        """
        if self._context is None and not self._missing:
            try:
                self._library = ctypes.CDLL("libnftables.so.1")
            except OSError:
                self._missing = True
                log.warning("libnftables is missing: no NAT; published ports go by the engine")
                return False
            self._context = _new_context(self._library)
        return not self._missing

    def run(self, text: str) -> str:
        """Run `nft -f -` with `text`, one transaction; return what it prints.

        Raises: CommandFailed, then nothing has changed.
        """
        assert self._library is not None
        log.debug("nft text=%s", text)
        with self._lock:
            code = self._library.nft_run_cmd_from_buffer(self._context, text.encode())
            output: bytes = self._library.nft_ctx_get_output_buffer(self._context)
            errors: bytes = self._library.nft_ctx_get_error_buffer(self._context)
        if code != 0:
            raise CommandFailed(["nft", "-f", "-"], 1, errors.decode(errors="replace"))
        return output.decode(errors="replace")


def _new_context(library: ctypes.CDLL) -> ctypes.c_void_p:
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    before = set(os.listdir("/proc/self/fd"))
    context = ctypes.c_void_p(library.nft_ctx_new(ctypes.c_uint32(0)))
    for number in set(os.listdir("/proc/self/fd")) - before:
        try:
            fcntl.fcntl(int(number), fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        except OSError:
            continue  # the directory's own descriptor, closed by now
    library.nft_ctx_buffer_output(context)
    library.nft_ctx_buffer_error(context)
    return context
