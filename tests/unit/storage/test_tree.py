"""Sizes of trees are what `du` says; removal takes all."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pogu.storage.tree import TreeMeter, TreeSize, remove_tree, tree_bytes


def du_bytes(*paths: Path) -> int:
    """What du says of all of them together."""
    words = ["du", "-scx", "--block-size=1", *map(str, paths)]
    said = subprocess.run(words, capture_output=True, check=True, text=True).stdout
    return int(said.splitlines()[-1].split()[0])


def a_tree(root: Path) -> Path:
    (root / "sub" / "deeper").mkdir(parents=True)
    (root / "one").write_bytes(b"x" * 10_000)
    (root / "sub" / "two").write_bytes(b"x" * 5)
    (root / "sub" / "link").symlink_to("two")
    os.truncate(root / "sub" / "two", 1 << 20)  # sparse
    return root


def test_a_hard_link_counts_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    os.link(tmp_path / "a", tmp_path / "b")
    assert tree_bytes(tmp_path) == 100


def test_disk_bytes_are_what_du_says(tmp_path: Path) -> None:
    root = a_tree(tmp_path / "tree")
    size = TreeMeter().measure(root)
    assert size == TreeSize(10_000 + (1 << 20) + len("two"), du_bytes(root))


def test_what_two_trees_share_counts_in_the_first(tmp_path: Path) -> None:
    first, second = a_tree(tmp_path / "first"), tmp_path / "second"
    second.mkdir()
    os.link(first / "one", second / "one")
    meter = TreeMeter()
    total = meter.measure(first) + meter.measure(second)
    assert total.disk_bytes == du_bytes(first, second)
    assert meter.measure(second).content_bytes == 0


def test_nothing_has_no_size(tmp_path: Path) -> None:
    assert TreeMeter().measure(tmp_path / "absent") == TreeSize()


def test_a_tree_deeper_than_a_path_may_be_long_is_measured(tmp_path: Path) -> None:
    root = tmp_path / "deep"
    root.mkdir()
    fd = os.open(root, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d" * 50, dir_fd=fd)
        below = os.open("d" * 50, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=fd))
    os.truncate(f"/proc/self/fd/{fd}/file", 7)
    os.close(fd)
    try:
        assert tree_bytes(root) == 7
    finally:
        remove_tree(root)
    assert not root.exists()
