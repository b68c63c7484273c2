"""The comparison of a writable layer with what is below it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pogu.storage.changes import Change, Kind, LayerChanges, layer_changes, with_parents


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    (tmp_path / "upper").mkdir()
    (tmp_path / "lower/etc").mkdir(parents=True)
    (tmp_path / "lower/etc/same").write_text("same")
    return tmp_path / "upper"


def compare(upper: Path, *stubs: str) -> LayerChanges:
    mine = os.open(upper, os.O_RDONLY)
    theirs = os.open(upper.parent / "lower", os.O_RDONLY)
    try:
        return layer_changes(mine, theirs, stubs)
    finally:
        os.close(mine)
        os.close(theirs)


def test_the_directories_above_a_change_are_changed_and_stand_before_it() -> None:
    kinds = {"a/b/c": Kind.ADDED, "a-b": Kind.DELETED}
    assert with_parents(kinds) == [
        Change("/a", Kind.MODIFIED),
        Change("/a/b", Kind.MODIFIED),
        Change("/a/b/c", Kind.ADDED),
        Change("/a-b", Kind.DELETED),
    ]


def test_a_file_that_was_only_copied_up_is_no_change(upper: Path) -> None:
    (upper / "etc").mkdir()
    (upper / "etc/same").write_text("same")
    there = (upper.parent / "lower/etc/same").stat()
    os.utime(upper / "etc/same", ns=(there.st_atime_ns, there.st_mtime_ns))
    found = compare(upper)
    assert found.changes == []
    assert not found.empty


def test_another_content_is_a_change(upper: Path) -> None:
    (upper / "etc").mkdir()
    (upper / "etc/same").write_text("other")
    assert compare(upper).changes == [Change("/etc", Kind(0)), Change("/etc/same", Kind(0))]


def test_empty_mount_points_and_the_directories_made_for_them_are_hidden(upper: Path) -> None:
    (upper / "etc").mkdir()
    (upper / "etc/hosts").touch()
    (upper / "a/b").mkdir(parents=True)
    found = compare(upper, "etc/hosts", "a/b")
    assert (found.changes, found.empty) == ([], True)


def test_a_mount_point_with_something_in_it_is_shown(upper: Path) -> None:
    (upper / "data").mkdir()
    (upper / "data/file").write_text("x")
    assert [one.path for one in compare(upper, "data").changes] == ["/data", "/data/file"]
