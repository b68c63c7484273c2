"""A log stays within its bounds, whatever moment conmon and the engine are at."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pogu.runtime.logrotation import (
    LogBounds,
    expire_log,
    hold_newest,
    last_resort_bytes,
    rotate_log,
)

FULL = LogBounds(max_bytes=0, max_files=3)


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    return tmp_path / "ctr.log"


def begin_anew(path: Path, text: bytes = b"") -> None:
    """As conmon: a new file takes the name."""
    fresh = path.with_name("ctr.log.tmp")
    fresh.write_bytes(text)
    fresh.rename(path)


def contents(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.parent.iterdir()}


def test_a_log_within_its_bounds_is_not_rotated(log_path: Path) -> None:
    bounds = LogBounds(max_bytes=5, max_files=3)
    assert rotate_log(log_path, bounds) is None
    log_path.write_bytes(b"12345")
    assert rotate_log(log_path, bounds) is None
    assert contents(log_path) == {"ctr.log": b"12345", "ctr.log.0": b"12345"}


@pytest.mark.parametrize("max_files", [2, 3, 5])
def test_rotation_keeps_so_many_files(log_path: Path, max_files: int) -> None:
    bounds = LogBounds(max_bytes=0, max_files=max_files)
    for number in range(10):
        begin_anew(log_path, b"%d" % number)
        hold_newest(log_path)
        assert rotate_log(log_path, bounds) is not None
    begin_anew(log_path, b"10")
    assert hold_newest(log_path)
    kept = {"ctr.log": b"10", "ctr.log.0": b"10"}
    assert contents(log_path) == kept | {
        f"ctr.log.{back}": b"%d" % (10 - back) for back in range(1, max_files)
    }


def test_one_file_is_only_begun_anew(log_path: Path) -> None:
    log_path.write_bytes(b"x")
    assert rotate_log(log_path, LogBounds(max_bytes=0, max_files=1)) == log_path.stat().st_ino
    assert list(contents(log_path)) == ["ctr.log"]


def test_while_conmon_has_not_answered_nothing_moves(log_path: Path) -> None:
    log_path.write_bytes(b"x")
    asked = rotate_log(log_path, FULL)
    before = contents(log_path)
    assert rotate_log(log_path, FULL) == asked
    assert not hold_newest(log_path)
    assert contents(log_path) == before == {"ctr.log": b"x", "ctr.log.1": b"x"}


def test_an_engine_that_was_killed_between_rename_and_question_asks_again(log_path: Path) -> None:
    log_path.write_bytes(b"x")
    assert rotate_log(log_path, FULL) == rotate_log(log_path, FULL) == log_path.stat().st_ino


def test_what_conmon_ended_by_itself_is_numbered(log_path: Path) -> None:
    log_path.write_bytes(b"old")
    wide = LogBounds(max_bytes=100, max_files=3)
    rotate_log(log_path, wide)
    begin_anew(log_path, b"new")
    assert rotate_log(log_path, wide) is None
    assert contents(log_path) == {"ctr.log": b"new", "ctr.log.0": b"new", "ctr.log.1": b"old"}


def test_files_whose_last_line_is_too_old_are_removed(log_path: Path) -> None:
    bounds = LogBounds(max_bytes=100, max_files=5, max_age_s=3600)
    for name, age_s in (("ctr.log", 7200), ("ctr.log.1", 10), ("ctr.log.2", 7200)):
        path = log_path.with_name(name)
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age_s,) * 2)
    expire_log(log_path, bounds, written=True)
    assert set(contents(log_path)) == {"ctr.log", "ctr.log.1"}
    expire_log(log_path, bounds, written=False)
    assert set(contents(log_path)) == {"ctr.log.1"}


@pytest.mark.parametrize(("age_s", "rotates"), [(7200, True), (60, False)])
def test_a_file_whose_first_line_is_too_old_is_ended(
    log_path: Path, age_s: int, rotates: bool
) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - age_s))
    log_path.write_text(f"{stamp}.000000000+00:00 stdout F x\n")
    bounds = LogBounds(max_bytes=1000, max_files=3, max_age_s=3600)
    assert (rotate_log(log_path, bounds) is not None) == rotates


def test_conmon_alone_is_bounded_well_behind_the_engine() -> None:
    assert last_resort_bytes(LogBounds(max_bytes=10, max_files=2)) == 64 << 20
    assert last_resort_bytes(LogBounds(max_bytes=20 << 20, max_files=5)) == 100 << 20
