"""What layers on each other show, and what of the lower ones is hidden."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.archives import a_directory, a_file, a_link, a_symlink, a_tar

from pogu.config import Paths
from pogu.db import Database
from pogu.storage.layers import LayerStore
from pogu.storage.merged import MergedTree

pytestmark = pytest.mark.root

Entry = tuple[tarfile.TarInfo, bytes]
BASE: list[Entry] = [
    a_directory("kept"),
    a_file("kept/file", b"x" * 10),
    a_file("replaced", b"x" * 100),
    a_file("deleted", b"x" * 1000),
    a_file("tree/one", b"x" * 2000),
    a_file("tree/two", b"x" * 3000),
    a_file("opaque/old", b"x" * 50_000),
    a_file("linked", b"x" * 600_000),
    a_link("second-name", "linked"),
]


def merged(tmp_path: Path, *layers: Sequence[Entry]) -> MergedTree:
    paths = Paths(root=tmp_path / "root", run_root=tmp_path / "run")
    paths.create()
    store = LayerStore(paths, Database(paths.database))
    top = None
    for entries in layers:
        top = store.commit_tar(a_tar(entries), parent=top).chain_id
    return MergedTree([layer.path for layer in store.chain(top)])


def seen(tree: MergedTree) -> set[str]:
    assert tree.root is not None
    found, waiting = set(), [("", tree.root)]
    while waiting:
        path, node = waiting.pop()
        for name, child in node.children.items():
            below = f"{path}/{name}".lstrip("/")
            waiting.append((below, child))
            if not child.is_directory:
                found.add(below)
    return found


def test_one_layer_hides_nothing(tmp_path: Path) -> None:
    tree = merged(tmp_path, list(BASE))
    assert tree.hidden_bytes == [0]
    assert "second-name" in seen(tree)


def test_what_is_replaced_or_deleted_above_is_hidden(tmp_path: Path) -> None:
    above = [a_file("replaced", b"new"), a_file(".wh.deleted"), a_file(".wh.tree")]
    tree = merged(tmp_path, list(BASE), above)
    assert tree.hidden_bytes == [100 + 1000 + 2000 + 3000, 0]
    assert seen(tree) == {"kept/file", "replaced", "opaque/old", "linked", "second-name"}
    assert tree.path(tree.root.children["replaced"], "replaced").read_bytes() == b"new"  # type: ignore[union-attr]


def test_an_opaque_directory_hides_what_was_in_it(tmp_path: Path) -> None:
    above = [a_directory("opaque"), a_file("opaque/.wh..wh..opq"), a_file("opaque/new", b"y")]
    tree = merged(tmp_path, list(BASE), above)
    assert tree.hidden_bytes == [50_000, 0]
    assert "opaque/new" in seen(tree)
    assert "opaque/old" not in seen(tree)


def test_a_directory_that_becomes_a_link_hides_all_in_it(tmp_path: Path) -> None:
    tree = merged(tmp_path, list(BASE), [a_symlink("tree", "kept")])
    assert tree.hidden_bytes == [5000, 0]


def test_a_file_with_two_names_is_hidden_with_the_second(tmp_path: Path) -> None:
    tree = merged(tmp_path, list(BASE), [a_file(".wh.linked")], [a_file(".wh.second-name")])
    assert tree.hidden_bytes == [600_000, 0, 0]
    tree = merged(tmp_path / "other", list(BASE), [a_file(".wh.linked")])
    assert tree.hidden_bytes == [0, 0]


def test_what_is_made_and_deleted_in_the_middle_is_hidden_there(tmp_path: Path) -> None:
    tree = merged(tmp_path, [], [a_file("cache", b"x" * 77)], [a_file(".wh.cache")])
    assert tree.hidden_bytes == [0, 77, 0]
