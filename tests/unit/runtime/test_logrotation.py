"""A log stays within its bounds and loses nothing, whatever moment conmon and the engine are at."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pogu.runtime.logrotation import (
    LogBounds,
    expire_log,
    last_resort_bytes,
    prepare_log,
    rotate_log,
)

FULL = LogBounds(max_bytes=0, max_files=3)


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    return tmp_path / "ctr.log"


def begin_anew(path: Path, text: bytes = b"") -> None:
    """As conmon: it empties what waits under this name, or makes it."""
    waiting = path.with_name("ctr.log.tmp")
    with waiting.open("wb") as file:
        waiting.rename(path)
        file.write(text)


def contents(path: Path) -> dict[str, bytes]:
    """The files by name, without the one that waits, which is empty."""
    waiting = path.with_name("ctr.log.tmp")
    assert waiting.read_bytes() == b""
    written = [each for each in path.parent.iterdir() if not each.samefile(waiting)]
    return {each.name: each.read_bytes() for each in written}


def test_a_log_within_its_bounds_is_not_rotated(log_path: Path) -> None:
    bounds = LogBounds(max_bytes=5, max_files=3)
    assert rotate_log(log_path, bounds) is None
    log_path.write_bytes(b"12345")
    assert rotate_log(log_path, bounds) is None
    assert contents(log_path) == {"ctr.log": b"12345", "ctr.log.1": b"12345"}


@pytest.mark.parametrize("max_files", [1, 2, 3, 5])
def test_rotation_keeps_so_many_files(log_path: Path, max_files: int) -> None:
    bounds = LogBounds(max_bytes=0, max_files=max_files)
    prepare_log(log_path)
    for number in range(1, 11):
        begin_anew(log_path, b"%d" % number)
        assert rotate_log(log_path, bounds) is not None
    kept = {f"ctr.log.{number + 1}": b"%d" % number for number in range(1, 11)[-max_files:]}
    assert contents(log_path) == kept | {"ctr.log": b"10"}


def test_a_log_is_prepared_again_when_its_container_starts_again(log_path: Path) -> None:
    prepare_log(log_path)
    log_path.write_bytes(b"first run")
    for _ in range(2):
        prepare_log(log_path)
        assert contents(log_path) == {"ctr.log": b"first run", "ctr.log.1": b"first run"}


def test_while_conmon_has_not_answered_nothing_moves(log_path: Path) -> None:
    log_path.write_bytes(b"x")
    asked = rotate_log(log_path, FULL)
    before = contents(log_path)
    assert asked is not None
    assert rotate_log(log_path, FULL) == asked
    assert contents(log_path) == before == {"ctr.log": b"x", "ctr.log.1": b"x"}


def test_what_conmon_began_while_none_waited_is_numbered(log_path: Path) -> None:
    wide = LogBounds(max_bytes=100, max_files=5)
    prepare_log(log_path)
    for text in (b"a", b"b", b"c"):
        begin_anew(log_path, text)
    rotate_log(log_path, wide)
    assert contents(log_path) == {
        "ctr.log": b"c",
        "ctr.log.1": b"",
        "ctr.log.2": b"a",
        "ctr.log.3": b"c",
    }


def test_a_file_that_waits_comes_after_one_that_conmon_made_beside_it(log_path: Path) -> None:
    prepare_log(log_path)
    other = log_path.with_name("other")
    other.write_bytes(b"its own")
    other.rename(log_path)
    rotate_log(log_path, FULL)
    begin_anew(log_path, b"next")
    rotate_log(log_path, FULL)
    own = {"ctr.log.2": b"its own", "ctr.log.3": b"next", "ctr.log": b"next"}
    assert contents(log_path) == {"ctr.log.1": b"", **own}


def test_a_number_that_a_killed_engine_left_over_goes(log_path: Path) -> None:
    log_path.write_bytes(b"x")
    os.link(log_path, log_path.with_name("ctr.log.1"))
    log_path.with_name("ctr.log.2").touch()
    rotate_log(log_path, LogBounds(max_bytes=100, max_files=3))
    assert log_path.with_name("ctr.log.2").samefile(log_path.with_name("ctr.log.tmp"))
    assert contents(log_path) == {"ctr.log": b"x", "ctr.log.1": b"x"}


def test_files_whose_last_line_is_too_old_are_removed(log_path: Path, tmp_path: Path) -> None:
    bounds = LogBounds(max_bytes=100, max_files=5, max_age_s=3600)
    for name, age_s in (("ctr.log", 7200), ("ctr.log.2", 10), ("ctr.log.1", 7200)):
        path = log_path.with_name(name)
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age_s,) * 2)
    expire_log(log_path, bounds, written=True)
    assert {path.name for path in tmp_path.iterdir()} == {"ctr.log", "ctr.log.2"}
    expire_log(log_path, bounds, written=False)
    assert {path.name for path in tmp_path.iterdir()} == {"ctr.log.2"}


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
