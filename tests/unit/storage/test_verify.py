"""Damage of an unpacked layer is found, and a whole layer is called whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.archives import a_directory, a_file, a_link, a_symlink, a_tar, an_entry

from pogu.config import Paths
from pogu.db import Database
from pogu.storage.layers import Layer, LayerStore
from pogu.storage.verify import layer_damage

pytestmark = pytest.mark.root


@pytest.fixture
def store(tmp_path: Path) -> LayerStore:
    paths = Paths(root=tmp_path / "root", run_root=tmp_path / "run")
    paths.create()
    return LayerStore(paths, Database(paths.database))


def from_tar(store: LayerStore) -> Layer:
    """A layer with whatever a tar can bring, names given twice too."""
    return store.commit_tar(
        a_tar(
            [
                a_directory("usr", mode=0o750),
                a_directory("usr/lib"),
                a_symlink("lib", "usr/lib"),
                a_file("lib/behind-a-link", b"content"),
                a_file("usr/twice", b"first"),
                a_link("usr/kept", "usr/twice"),
                a_file("usr/twice", b"second, longer"),
                a_link("usr/hard", "usr/twice"),
                a_file("made/its/parents", b"x" * 5000),
                an_entry("owned", content=b"1", owner=(7, 8), pax={"SCHILY.xattr.user.a": "b"}),
                a_file("gone/.wh.hidden"),
                a_file("opaque/.wh..wh..opq"),
                a_directory("replaced"),
                a_file("replaced/below"),
                a_file("replaced", b"now a file"),
                an_entry("timed", pax={"mtime": "1000000000.25"}),
            ]
        ),
        parent=None,
    )


def of_a_build(store: LayerStore) -> Layer:
    draft = store.prepare()
    (draft.diff / "usr").mkdir(mode=0o750)
    (draft.diff / "usr" / "twice").write_bytes(b"second, longer")
    (draft.diff / "made").mkdir()
    (draft.diff / "owned").write_bytes(b"1")
    return store.commit(draft, parent=None)


@pytest.mark.parametrize("make", [from_tar, of_a_build])
def test_a_whole_layer_has_no_damage(
    store: LayerStore, make: Callable[[LayerStore], Layer]
) -> None:
    assert layer_damage(make(store)) == []


def flip(path: Path) -> None:
    """One bit, and the time as it was: what a bad disk does."""
    info = path.stat()
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(info.st_mtime_ns, info.st_mtime_ns))


DAMAGE: list[tuple[Callable[[Path], object], str]] = [
    (lambda root: flip(root / "usr/twice"), ""),
    (lambda root: os.truncate(root / "usr/twice", 3), "usr/twice"),
    (lambda root: (root / "usr/twice").unlink(), "usr/twice"),
    (lambda root: shutil.rmtree(root / "made"), "made"),
    (lambda root: (root / "usr").chmod(0o777), "usr: has the mode 0777, not 0750"),
    (lambda root: os.chown(root / "owned", 0, 0), "owned: belongs to 0:0, not 7:8"),
    (lambda root: (root / "more").write_bytes(b""), "more: does not belong here"),
    (shutil.rmtree, "its directory is missing"),
]


@pytest.mark.parametrize(("harm", "said"), DAMAGE)
def test_damage_of_a_layer_from_a_tar_is_found_and_named(
    store: LayerStore, harm: Callable[[Path], object], said: str
) -> None:
    layer = from_tar(store)
    harm(layer.path)
    found = layer_damage(layer)
    assert found
    assert said in found[0]


@pytest.mark.parametrize("harm", [harm for harm, said in DAMAGE if "not 7:8" not in said])
def test_damage_of_a_built_layer_is_found(
    store: LayerStore, harm: Callable[[Path], object]
) -> None:
    layer = of_a_build(store)
    harm(layer.path)
    assert layer_damage(layer)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda root: os.setxattr(root / "owned", "user.a", b"c"), "owned: has another user.a"),
        (lambda root: (root / "gone/hidden").unlink(), "gone/hidden: is missing"),
        (lambda root: os.utime(root / "timed"), "timed: was changed later"),
        (lambda root: (root.parent / "journal").write_bytes(b"no journal"), "cannot be read"),
        (lambda root: os.truncate(root.parent / "journal", 20), ""),
    ],
)
def test_what_only_a_tar_tells_is_compared_too(
    store: LayerStore, harm: Callable[[Path], object], said: str
) -> None:
    layer = from_tar(store)
    harm(layer.path)
    assert said in layer_damage(layer)[0]
