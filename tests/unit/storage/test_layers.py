"""Layers: made once, named by what is in them, gone with everything of them."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest
from tests.archives import a_file, a_tar

from pogu.config import Paths
from pogu.db import Database
from pogu.errors import DataLoss, NotFound
from pogu.oci.digest import ChainId, DiffId, chain_id
from pogu.storage.layers import LayerStore
from pogu.storage.tarstream import BadArchive


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(root=tmp_path / "root", run_root=tmp_path / "run")
    paths.create()
    return paths


@pytest.fixture
def store(paths: Paths) -> LayerStore:
    return LayerStore(paths, Database(paths.database))


def a_layer_tar(text: str = "x") -> io.BytesIO:
    return a_tar([a_file("f", text.encode())])


def test_a_layer_is_named_by_its_tar_and_what_is_below(store: LayerStore) -> None:
    tar = a_layer_tar()
    below = store.commit_tar(tar, parent=None)
    above = store.commit_tar(a_layer_tar("y"), parent=below.chain_id)
    assert str(below.chain_id) == below.diff_id
    assert below.diff_id == f"sha256:{hashlib.sha256(tar.getvalue()).hexdigest()}"
    assert above.chain_id == chain_id(below.chain_id, above.diff_id)
    assert store.chain(above.chain_id) == [below, above]
    assert store.lower_directories(above.chain_id) == (above.path, below.path)
    assert (above.path / "f").read_text() == "y"


def test_scratch_has_no_layers(store: LayerStore) -> None:
    assert store.chain(None) == []
    assert store.lower_directories(None) == ()


def test_the_same_layer_is_kept_once(store: LayerStore, paths: Paths) -> None:
    first = store.commit_tar(a_layer_tar(), parent=None)
    assert store.commit_tar(a_layer_tar(), parent=None) is first
    assert len(store.all()) == len(os.listdir(paths.layers)) == 1
    assert os.listdir(paths.tmp) == []


def test_the_same_tar_over_another_parent_is_another_layer(store: LayerStore) -> None:
    below = store.commit_tar(a_layer_tar(), parent=None)
    above = store.commit_tar(a_layer_tar(), parent=below.chain_id)
    assert above.diff_id == below.diff_id
    assert above.chain_id != below.chain_id


def test_a_draft_becomes_a_layer_that_writes_its_diff_id(store: LayerStore, paths: Paths) -> None:
    draft = store.prepare()
    (draft.diff / "made").write_text("by hand")
    layer = store.commit(draft, parent=None)
    out = io.BytesIO()
    store.write_tar(layer.chain_id, out)
    assert f"sha256:{hashlib.sha256(out.getvalue()).hexdigest()}" == layer.diff_id
    assert layer.size_bytes == 7
    assert sorted(os.listdir(layer.path.parent)) == ["diff"]
    assert os.listdir(paths.tmp) == []


def test_an_unpacked_tar_is_written_again_byte_for_byte(store: LayerStore) -> None:
    tar = a_layer_tar()
    layer = store.commit_tar(tar, parent=None)
    out = io.BytesIO()
    store.write_tar(layer.chain_id, out)
    assert out.getvalue() == tar.getvalue()


def test_a_tar_other_than_expected_leaves_nothing(store: LayerStore, paths: Paths) -> None:
    with pytest.raises(DataLoss, match="layer verification failed"):
        store.commit_tar(a_layer_tar(), parent=None, expected=DiffId("sha256:" + "0" * 64))
    assert os.listdir(paths.tmp) == os.listdir(paths.layers) == []
    assert store.all() == []


def test_a_broken_tar_leaves_nothing(store: LayerStore, paths: Paths) -> None:
    with pytest.raises(BadArchive):
        store.commit_tar(a_tar([a_file("../x", b"x")]), parent=None)
    assert os.listdir(paths.tmp) == os.listdir(paths.layers) == []
    assert store.all() == []


def test_layers_are_there_after_a_restart(store: LayerStore, paths: Paths) -> None:
    below = store.commit_tar(a_layer_tar(), parent=None)
    above = store.commit_tar(a_layer_tar("y"), parent=below.chain_id)
    again = LayerStore(paths, Database(paths.database))
    assert again.chain(above.chain_id) == [below, above]


def test_a_removed_layer_is_gone_from_disk_and_table(store: LayerStore, paths: Paths) -> None:
    layer = store.commit_tar(a_layer_tar(), parent=None)
    store.remove(layer.chain_id)
    store.remove(layer.chain_id)
    assert not store.has(layer.chain_id)
    assert os.listdir(paths.layers) == os.listdir(paths.tmp) == []
    assert LayerStore(paths, Database(paths.database)).all() == []
    with pytest.raises(NotFound):
        store.get(layer.chain_id)


def test_a_chain_is_detached_in_any_order(store: LayerStore, paths: Paths) -> None:
    below = store.commit_tar(a_layer_tar(), parent=None).chain_id
    above = store.commit_tar(a_layer_tar("y"), parent=below).chain_id
    trash = store.detach([below, above, ChainId("sha256:unknown")])
    assert store.all() == []
    assert os.listdir(paths.layers) == []
    assert len(os.listdir(paths.tmp)) == 1, "the lower one lies in the upper one's directory"
    store.discard(trash)
    assert os.listdir(paths.tmp) == []


def test_the_sweep_removes_what_no_row_names(store: LayerStore, paths: Paths) -> None:
    layer = store.commit_tar(a_layer_tar(), parent=None)
    (paths.layers / "0123456789ab/diff").mkdir(parents=True)
    (paths.tmp / "layer-x/diff").mkdir(parents=True)
    (paths.tmp / "blob-x").touch()
    (paths.tmp / "other").touch()
    store.sweep()
    assert os.listdir(paths.layers) == [layer.short_id]
    assert os.listdir(paths.tmp) == ["other"]


def test_lost_layers_are_forgotten_at_start_with_all_above_them(
    store: LayerStore, paths: Paths
) -> None:
    below = store.commit_tar(a_layer_tar(), parent=None)
    middle = store.commit_tar(a_layer_tar("y"), parent=below.chain_id)
    top = store.commit_tar(a_layer_tar("z"), parent=middle.chain_id)
    beside = store.commit_tar(a_layer_tar("beside"), parent=below.chain_id)
    middle.path.parent.rename(paths.root / "lost")
    store = LayerStore(paths, Database(paths.database))
    assert {layer.chain_id for layer in store.all()} == {below.chain_id, beside.chain_id}
    again = LayerStore(paths, Database(paths.database))
    assert not again.has(top.chain_id)


def test_a_directory_left_by_a_kill_before_its_row_is_replaced(
    store: LayerStore, paths: Paths
) -> None:
    short_id = hashlib.sha256(a_layer_tar().getvalue()).hexdigest()[:12]
    (paths.layers / short_id / "diff").mkdir(parents=True)
    (paths.layers / short_id / "diff/stale").touch()
    layer = store.commit_tar(a_layer_tar(), parent=None)
    assert os.listdir(layer.path) == ["f"]


def test_a_layer_deeper_than_the_stack_is_made_and_removed(store: LayerStore, paths: Paths) -> None:
    layer = store.commit_tar(a_tar([a_file("d/" * 1200 + "f", b"x")]), parent=None)
    store.remove(layer.chain_id)
    assert os.listdir(paths.tmp) == os.listdir(paths.layers) == []
