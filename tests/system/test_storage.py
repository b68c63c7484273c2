"""Layers with what only root may make: owners, devices, whiteouts, capabilities, mounts."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.archives import a_directory, a_file, a_link, a_symlink, a_tar, an_entry

from pogu.config import Paths
from pogu.db import Database
from pogu.oci.digest import ChainId
from pogu.storage.apply import apply_tar
from pogu.storage.diff import write_layer_tar
from pogu.storage.layers import LayerStore
from pogu.storage.overlay import OverlayMount, mount_overlay, unmount

pytestmark = pytest.mark.root

OPAQUE = "trusted.overlay.opaque"
NET_RAW = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
"""A file capability, VFS_CAP_REVISION_2: cap_net_raw, effective."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(root=tmp_path / "storage", run_root=tmp_path / "run")
    paths.create()
    return paths


@pytest.fixture
def store(paths: Paths) -> Iterator[LayerStore]:
    db = Database(paths.database)
    yield LayerStore(paths, db)
    db.close()


def is_whiteout(path: Path) -> bool:
    info = path.lstat()
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def is_opaque(path: Path) -> bool:
    return OPAQUE in os.listxattr(path) and os.getxattr(path, OPAQUE) == b"y"


def tar_of(root: Path) -> bytes:
    out = io.BytesIO()
    write_layer_tar(root, out)
    return out.getvalue()


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getnames()


# ---- whiteouts --------------------------------------------------------------------------


def test_whiteouts_become_overlays_own_form(root: Path) -> None:
    apply_tar(a_tar([a_file(".wh.gone"), a_file("d/.wh.x"), a_file("o/.wh..wh..opq")]), root)
    assert is_whiteout(root / "gone")
    assert is_whiteout(root / "d/x")
    assert is_opaque(root / "o")
    assert os.listdir(root / "o") == []


def test_a_whiteout_beside_its_own_file_leaves_the_file(root: Path) -> None:
    before = [a_file("a", b"x"), a_file(".wh.a")]
    after = [a_file(".wh.b"), a_file("b", b"y")]
    apply_tar(a_tar(before + after), root)
    assert (root / "a").read_bytes() == b"x"
    assert (root / "b").read_bytes() == b"y"


def test_a_whiteout_beside_its_own_directory_hides_only_what_is_below(root: Path) -> None:
    before = [a_directory("a"), a_file("a/f", b"x"), a_file(".wh.a")]
    after = [a_file(".wh.b"), a_directory("b"), a_file("b/f", b"y")]
    apply_tar(a_tar(before + after), root)
    for name in ("a", "b"):
        assert is_opaque(root / name)
        assert os.listdir(root / name) == ["f"]


def test_a_whiteout_behind_a_link_stays_inside(root: Path) -> None:
    victim = root.parent / "victim"
    victim.touch()
    apply_tar(a_tar([a_symlink("l", ".."), a_file("l/.wh.victim")]), root)
    assert stat.S_ISREG(victim.lstat().st_mode)
    assert is_whiteout(root / "victim")


def test_marks_of_aufs_are_left_out(root: Path) -> None:
    apply_tar(a_tar([a_file(".wh..wh.plnk"), a_file(".wh..wh.aufs"), a_file("f")]), root)
    assert os.listdir(root) == ["f"]


def test_whiteouts_are_written_as_the_spec_has_them(root: Path) -> None:
    (root / "d").mkdir()
    os.mknod(root / "d/gone", stat.S_IFCHR, 0)
    os.setxattr(root / "d", OPAQUE, b"y")
    os.mknod(root / "top", stat.S_IFCHR, 0)
    assert names(tar_of(root)) == ["d", "d/.wh..wh..opq", "d/.wh.gone", ".wh.top"]


# ---- metadata ---------------------------------------------------------------------------


def a_rich_tar() -> io.BytesIO:
    """A little of everything that a layer may hold."""
    capability = NET_RAW.decode("utf-8", "surrogateescape")
    return a_tar(
        [
            an_entry("d", type=tarfile.DIRTYPE, mode=0o1777, owner=(1, 2)),
            an_entry("d/setuid", content=b"x", mode=0o6755, owner=(1000, 1001)),
            an_entry("large-owner", owner=(3_000_000, 4_000_000)),
            an_entry("null", type=tarfile.CHRTYPE, mode=0o666, device=(1, 3)),
            an_entry("disk", type=tarfile.BLKTYPE, mode=0o660, device=(8, 1), owner=(0, 6)),
            an_entry("pipe", type=tarfile.FIFOTYPE, mode=0o622),
            an_entry("link", type=tarfile.SYMTYPE, link="/x", mode=0o777, owner=(5, 6)),
            a_link("hard", "d/setuid"),
            an_entry("ping", content=b"y", pax={"SCHILY.xattr.security.capability": capability}),
            an_entry("n" * 180, content=b"z"),
            a_file(".wh.gone"),
            a_file("d/.wh..wh..opq"),
        ]
    )


def test_owners_modes_and_devices_are_there(root: Path) -> None:
    apply_tar(a_rich_tar(), root)
    seen = {}
    for path in (root / "d", root / "d/setuid", root / "large-owner", root / "link"):
        info = path.lstat()
        seen[path.name] = (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode))
    assert seen == {
        "d": (1, 2, 0o1777),
        "setuid": (1000, 1001, 0o6755),
        "large-owner": (3_000_000, 4_000_000, 0o644),
        "link": (5, 6, 0o777),
    }
    null = (root / "null").stat()
    assert (stat.S_ISCHR(null.st_mode), null.st_rdev) == (True, os.makedev(1, 3))
    assert stat.S_IMODE(null.st_mode) == 0o666
    disk = (root / "disk").stat()
    assert (stat.S_ISBLK(disk.st_mode), disk.st_rdev) == (True, os.makedev(8, 1))
    assert stat.S_ISFIFO((root / "pipe").stat().st_mode)


def test_a_file_capability_outlives_owner_and_mode(root: Path) -> None:
    apply_tar(a_rich_tar(), root)
    assert os.getxattr(root / "ping", "security.capability") == NET_RAW


def test_overlays_marks_cannot_be_smuggled_in(root: Path) -> None:
    marks = {f"SCHILY.xattr.{OPAQUE}": "y", "SCHILY.xattr.trusted.overlay.redirect": "/etc"}
    apply_tar(a_tar([an_entry("d", type=tarfile.DIRTYPE, pax=marks)]), root)
    assert not any(name.startswith("trusted.overlay") for name in os.listxattr(root / "d"))


def test_everything_survives_the_round_trip(tmp_path: Path) -> None:
    roots = [tmp_path / name for name in ("one", "two")]
    for path in roots:
        path.mkdir()
    apply_tar(a_rich_tar(), roots[0])
    data = tar_of(roots[0])
    applied = apply_tar(io.BytesIO(data), roots[1])
    assert tar_of(roots[1]) == data
    assert applied.diff_id_hex == hashlib.sha256(data).hexdigest()
    assert os.getxattr(roots[1] / "ping", "security.capability") == NET_RAW
    assert is_opaque(roots[1] / "d")
    assert is_whiteout(roots[1] / "gone")
    assert (roots[1] / "hard").samefile(roots[1] / "d/setuid")


def test_a_layer_with_everything_keeps_its_diff_id(store: LayerStore) -> None:
    tar = a_rich_tar()
    layer = store.commit_tar(tar, parent=None)
    out = io.BytesIO()
    store.write_tar(layer.chain_id, out)
    assert out.getvalue() == tar.getvalue()
    assert layer.diff_id == f"sha256:{hashlib.sha256(tar.getvalue()).hexdigest()}"


# ---- mounts -----------------------------------------------------------------------------


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "mount/rootfs"
    path.mkdir(parents=True)
    yield path
    unmount(path)
    assert not os.path.ismount(path)


def test_127_layers_are_one_tree(store: LayerStore, target: Path) -> None:
    top: ChainId | None = None
    for number in range(127):
        tar = a_tar([a_file(f"f{number}", b"x"), a_file("last", str(number).encode())])
        top = store.commit_tar(tar, parent=top).chain_id
    draft = store.prepare()
    lower = store.lower_directories(top)
    mount_overlay(OverlayMount(lower=lower, upper=draft.diff, work=draft.work), target)
    assert len(os.listdir(target)) == 128
    assert (target / "last").read_text() == "126"
    (target / "last").write_text("written")
    assert os.listdir(draft.diff) == ["last"]
    unmount(target)
    store.discard(draft)


def test_layers_hide_what_lies_below(store: LayerStore, target: Path) -> None:
    below = a_tar([a_file("gone", b"x"), a_file("d/old", b"x"), a_file("stays", b"x")])
    above = a_tar([a_file(".wh.gone"), a_file("d/.wh..wh..opq"), a_file("d/new", b"y")])
    bottom = store.commit_tar(below, parent=None)
    top = store.commit_tar(above, parent=bottom.chain_id)
    mount_overlay(OverlayMount(lower=store.lower_directories(top.chain_id)), target)
    assert sorted(os.listdir(target)) == ["d", "stays"]
    assert os.listdir(target / "d") == ["new"]


def test_what_a_step_changed_is_a_layer_that_does_the_same(store: LayerStore, target: Path) -> None:
    tar = a_tar([a_file("gone", b"x"), a_file("d/old", b"x"), a_file("kept", b"x")])
    base = store.commit_tar(tar, parent=None)
    draft = store.prepare()
    lower = store.lower_directories(base.chain_id)
    mount_overlay(OverlayMount(lower=lower, upper=draft.diff, work=draft.work), target)
    (target / "gone").unlink()
    (target / "d/old").unlink()
    (target / "d").rmdir()
    (target / "d").mkdir()
    (target / "d/new").write_text("new")
    unmount(target)
    out = io.BytesIO()
    layer = store.commit(draft, parent=base.chain_id)
    store.write_tar(layer.chain_id, out)
    assert names(out.getvalue()) == ["d", "d/.wh..wh..opq", "d/new", ".wh.gone"]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_tree_of_few_layers_can_be_mounted_with_and_without_upper(
    store: LayerStore, target: Path, count: int
) -> None:
    top: ChainId | None = None
    for number in range(count):
        top = store.commit_tar(a_tar([a_file(f"f{number}")]), parent=top).chain_id
    mount_overlay(OverlayMount(lower=store.lower_directories(top)), target)
    assert len(os.listdir(target)) == count
    unmount(target)
    unmount(target)
    draft = store.prepare()
    lower = store.lower_directories(top)
    mount_overlay(OverlayMount(lower=lower, upper=draft.diff, work=draft.work), target)
    (target / "new").touch()
    assert os.listdir(draft.diff) == ["new"]


def test_what_lies_in_a_set_group_id_directory_keeps_its_own_group(tmp_path: Path) -> None:
    entries = [
        an_entry("mail", type=tarfile.DIRTYPE, mode=0o2775, owner=(0, 8)),
        a_file("mail/spool", b"x"),
        an_entry("mail/box", type=tarfile.DIRTYPE, mode=0o755),
        an_entry("mail/link", type=tarfile.SYMTYPE, link="spool"),
    ]
    apply_tar(a_tar(entries), tmp_path)
    owners = [os.lstat(tmp_path / "mail" / name).st_gid for name in ("spool", "box", "link")]
    assert owners == [0, 0, 0]
    assert stat.S_IMODE((tmp_path / "mail/box").stat().st_mode) == 0o755


def test_modes_are_those_of_the_archive_below_a_default_acl(tmp_path: Path) -> None:
    acl = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, permissions, 0xFFFFFFFF)
        for tag, permissions in ((0x01, 7), (0x04, 5), (0x20, 0))
    )
    os.setxattr(tmp_path, "system.posix_acl_default", acl)
    apply_tar(a_tar([a_directory("d"), a_file("d/f", b"x", mode=0o644)]), tmp_path)
    assert stat.S_IMODE((tmp_path / "d/f").stat().st_mode) == 0o644


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o777, 0o4755, 0o1600, 0])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, mode: int) -> None:
    apply_tar(a_tar([a_file("f", b"x", mode=mode)]), tmp_path)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == mode
