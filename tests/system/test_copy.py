"""COPY with owners: what comes from the context, from a stage, with --chown; into mounted trees."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pogu.build.context import Context
from pogu.build.copy import CopyJob, copy_into, make_directory
from pogu.build.sources import find_sources
from pogu.build.workspace import sweep, view, workspace
from pogu.config import Paths
from pogu.db import Database
from pogu.storage.layers import LayerStore
from pogu.storage.overlay import OverlayMount, mount_overlay

pytestmark = pytest.mark.root


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """`file` of 7:8 and `dir/inner`, `dir/link` of 9:10."""
    top = tmp_path / "context"
    (top / "dir").mkdir(parents=True)
    (top / "file").write_text("file")
    (top / "dir/inner").write_text("inner")
    (top / "dir/link").symlink_to("inner")
    os.chown(top / "file", 7, 8)
    for name in ("dir", "dir/inner", "dir/link"):
        os.chown(top / name, 9, 10, follow_symlinks=False)
    return top


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


def copy(
    context: Path, root: Path, *words: str, owner: tuple[int, int] | None, mode: int | None = None
) -> None:
    sources = find_sources(Context(context, what="build context"), words[:-1])
    copy_into(root, CopyJob(sources=sources, destination=words[-1], owner=owner, mode=mode))


def owners(root: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        found[str(path.relative_to(root))] = (info.st_uid, info.st_gid)
    return found


def test_what_comes_from_the_context_belongs_to_root(context: Path, root: Path) -> None:
    copy(context, root, ".", "/new/x", owner=(0, 0))
    assert set(owners(root).values()) == {(0, 0)}


def test_what_comes_from_a_stage_keeps_its_owner(context: Path, root: Path) -> None:
    copy(context, root, "dir", "file", "/new/x/", owner=None)
    assert owners(root) == {
        "new": (0, 0),
        "new/x": (9, 10),
        "new/x/file": (7, 8),
        "new/x/inner": (9, 10),
        "new/x/link": (9, 10),
    }


def test_chown_is_for_all_that_is_made(context: Path, root: Path) -> None:
    (root / "there").mkdir()
    copy(context, root, "dir", "/there/new/x", owner=(1000, 1001))
    found = owners(root)
    assert found.pop("there") == (0, 0)
    assert set(found.values()) == {(1000, 1001)}


def test_setuid_and_capabilities_outlive_the_change_of_owner(context: Path, root: Path) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    (context / "file").chmod(0o4755)
    os.setxattr(context / "dir/inner", "security.capability", capability)
    copy(context, root, ".", "/x", owner=(1000, 1000))
    assert stat.S_IMODE((root / "x/file").stat().st_mode) == 0o4755
    assert os.getxattr(root / "x/dir/inner", "security.capability") == capability


def test_devices_of_a_stage_come_along(context: Path, root: Path) -> None:
    os.mknod(context / "dir/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    copy(context, root, "dir", "/x", owner=None)
    info = (root / "x/null").stat()
    assert (stat.S_ISCHR(info.st_mode), info.st_rdev) == (True, os.makedev(1, 3))


def test_a_workdir_is_made_with_its_parents_for_root(root: Path) -> None:
    make_directory(root, "/a/b/c")
    make_directory(root, "/a/b/c")
    make_directory(root, "/")
    assert owners(root) == {"a": (0, 0), "a/b": (0, 0), "a/b/c": (0, 0)}
    assert stat.S_IMODE((root / "a/b/c").stat().st_mode) == 0o755


def test_a_workdir_behind_a_link_is_made_inside(root: Path) -> None:
    (root / "real").mkdir()
    (root / "link").symlink_to("/real")
    make_directory(root, "/link/app")
    assert (root / "real/app").is_dir()


# ---- the tree a step works in -----------------------------------------------------------


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(root=tmp_path / "storage", run_root=tmp_path / "run")
    paths.create()
    return paths


async def test_what_is_copied_into_a_mounted_tree_is_the_layer(context: Path, paths: Paths) -> None:
    layers = LayerStore(paths, Database(paths.database))
    base = layers.prepare()
    (base.diff / "etc").mkdir()
    (base.diff / "etc/old").touch()
    parent = layers.commit(base, parent=None).chain_id
    async with workspace(paths, layers, parent) as space:
        copy(context, space.rootfs, "file", "/etc/", owner=(0, 0))
        space.unmount()
        layer = layers.commit(space.draft, parent=parent)
    assert sorted(path.name for path in layer.path.rglob("*")) == ["etc", "file"]
    async with view(paths, layers, layer.chain_id) as tree:
        assert sorted(os.listdir(tree / "etc")) == ["file", "old"]
    assert os.listdir(paths.tmp) == []


async def test_scratch_can_be_looked_at(paths: Paths) -> None:
    async with view(paths, LayerStore(paths, Database(paths.database)), None) as tree:
        assert os.listdir(tree) == []
    assert os.listdir(paths.tmp) == []


async def test_a_failed_step_leaves_no_mount_and_no_draft(paths: Paths) -> None:
    layers = LayerStore(paths, Database(paths.database))
    with pytest.raises(ZeroDivisionError):
        async with workspace(paths, layers, None) as space:
            (space.rootfs / "x").touch()
            raise ZeroDivisionError
    assert os.listdir(paths.tmp) == []
    assert str(paths.tmp) not in Path("/proc/self/mountinfo").read_text()


async def test_the_sweep_removes_what_killed_builds_left(paths: Paths) -> None:
    for name in ("build-1/rootfs", "context-1/d", "add-1"):
        (paths.tmp / name).mkdir(parents=True)
    mount_overlay(
        OverlayMount(lower=(), upper=paths.tmp / "add-1", work=paths.tmp / "context-1/d"),
        paths.tmp / "build-1/rootfs",
    )
    (paths.tmp / "context-2").touch()
    (paths.tmp / "other").touch()
    sweep(paths)
    assert os.listdir(paths.tmp) == ["other"]
    assert str(paths.tmp) not in Path("/proc/self/mountinfo").read_text()
