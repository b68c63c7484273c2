"""Memory that goes back to the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from pogu.linux.libc import libc
from pogu.linux.memory import give_back


def resident_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def test_what_lies_below_a_block_in_use_is_given_back() -> None:
    if not hasattr(libc, "malloc_trim"):
        pytest.skip("not glibc")
    blocks = [b"x" * 8192 + bytes([number % 256]) for number in range(10_000)]
    last = blocks[-1]
    blocks.clear()
    before = resident_kib()
    give_back()
    assert last
    assert resident_kib() < before - 40_000
