"""Names inside a tree that they cannot leave."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pogu.storage.rooted import RootedTree, clean_path
from pogu.storage.tarstream import BadArchive
from pogu.storage.tree import remove_tree


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("a", "a"),
        ("/a", "a"),
        ("///a//b/", "a/b"),
        ("./a/./b", "a/b"),
        ("a/../b", "b"),
        ("", "."),
        ("/", "."),
        ("a/..", "."),
        ("..a", "..a"),
        ("...", "..."),
    ],
)
def test_a_name_is_cleaned(name: str, cleaned: str) -> None:
    assert clean_path(name) == cleaned


@pytest.mark.parametrize("name", ["..", "../a", "/..", "a/../..", "a/b/../../../c", "a\0b"])
def test_a_name_that_leaves_or_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(BadArchive):
        clean_path(name)


def test_a_place_tells_the_path_without_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("/real")
    with RootedTree(tmp_path) as tree:
        assert tree.place("link/f").real_path == "real/f"
        assert tree.place("f").real_path == "f"


def test_missing_parents_are_made_behind_links_too(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("../../../real")
    with RootedTree(tmp_path) as tree:
        tree.place("link/a/b/f")
    assert (tmp_path / "real/a/b").is_dir()


def test_many_directories_do_not_keep_many_descriptors(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with RootedTree(tmp_path) as tree:
        for number in range(300):
            tree.place(f"{number}/f")
        assert len(os.listdir("/proc/self/fd")) < before + 80
    assert len(os.listdir("/proc/self/fd")) == before


def a_deep_tree(top: Path, depth: int) -> None:
    fd = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


def test_a_tree_deeper_than_the_stack_is_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "beside").mkdir(parents=True)
    a_deep_tree(top, 1500)
    remove_tree(top)
    assert not top.exists()
    remove_tree(top)


def test_removing_a_tree_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/kept").touch()
    (tmp_path / "top").mkdir()
    (tmp_path / "top/link").symlink_to(tmp_path / "other")
    remove_tree(tmp_path / "top")
    assert (tmp_path / "other/kept").exists()
    assert not (tmp_path / "top").exists()
