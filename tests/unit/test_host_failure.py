"""What the host could not give is said in Docker's words, with a hint; a defect is not hidden."""

from __future__ import annotations

import errno
import os

import pytest

from pogu.host_failure import host_failure


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a"), "write /a: no space left on"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "/a"), "/a: read-only file system"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "too many open files"),
        (MemoryError(), "cannot allocate memory"),
        (RuntimeError("can't start new thread"), "start a thread: resource temporarily"),
    ],
)
def test_what_the_host_lacks(error: Exception, words: str) -> None:
    found = host_failure(error)
    assert found is not None
    assert found.message.startswith(words)
    assert found.hint


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), OSError(errno.EBADF, "x")])
def test_a_defect_is_not_the_hosts(error: Exception) -> None:
    assert host_failure(error) is None


def test_what_was_done_is_named() -> None:
    found = host_failure(OSError(errno.EROFS, "x", "/a"), "create data")
    assert str(found) == "create data: read-only file system"
