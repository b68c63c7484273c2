"""Order and bounds of output that is not taken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pogu.runtime import backlog as module
from pogu.runtime.backlog import Backlog, Packet


@pytest.fixture
def backlog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backlog]:
    monkeypatch.setattr(module, "_SEGMENT_BYTES", 100)
    monkeypatch.setattr(module, "_BLOCK", 64)
    made = Backlog(tmp_path, memory_bytes=40, file_bytes=300)
    yield made
    made.close()


def all_of(backlog: Backlog) -> list[Packet]:
    taken = []
    while backlog.in_files:
        taken += backlog.take_from_files()
        backlog.forget_taken()
    return taken + backlog.take_from_memory()


def test_what_was_put_comes_out_in_order(backlog: Backlog) -> None:
    packets = [(1 + at % 2, b"%d" % at * (at % 20)) for at in range(60)]
    for packet in packets:
        backlog.put(packet)
        if backlog.memory_full:
            backlog.spill()
    assert backlog.in_files
    assert all_of(backlog) == packets


def test_files_that_were_read_make_room(backlog: Backlog) -> None:
    while not backlog.full:
        backlog.put((1, b"x" * 41))
        backlog.spill()
    assert backlog.take_from_files()
    backlog.take_from_files()
    backlog.take_from_files()
    backlog.forget_taken()
    assert not backlog.full


def test_files_have_no_name_and_are_closed(backlog: Backlog, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    backlog.put((1, b"x" * 50))
    backlog.spill()
    assert len(os.listdir("/proc/self/fd")) == before + 1
    assert list(tmp_path.iterdir()) == []
    backlog.close()
    backlog.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_disk_that_is_full_loses_nothing(
    backlog: Backlog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    backlog.put((2, b"kept" * 20))
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", refuse)
        with pytest.raises(OSError, match="No space"):
            backlog.spill()
    assert not backlog.in_files
    assert all_of(backlog) == [(2, b"kept" * 20)]
