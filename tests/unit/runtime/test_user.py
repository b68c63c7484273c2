"""Users and groups against the files of a root file system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pogu.errors import InvalidParameter
from pogu.runtime.user import resolve_user
from pogu.runtime.workload import UserIds

PASSWD = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\n:broken\nbob:x:1:2\n"
GROUP = "root:x:0:\nann:x:1001:\naudio:x:29:bob,ann\nvideo:x:44:ann\ncdrom:x:24:annie\n"


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    return tmp_path


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", UserIds(home="/root")),
        ("0", UserIds(home="/root")),
        (":29", UserIds(gid=29, home="/root")),
        ("ann", UserIds(uid=1000, gid=1001, additional_gids=(29, 44), home="/home/ann")),
        ("1000", UserIds(uid=1000, gid=1001, additional_gids=(29, 44), home="/home/ann")),
        ("ann:audio", UserIds(uid=1000, gid=29, home="/home/ann")),
        ("ann:5", UserIds(uid=1000, gid=5, home="/home/ann")),
        ("4711", UserIds(uid=4711, gid=0, home="/")),
        ("4711:4712", UserIds(uid=4711, gid=4712, home="/")),
    ],
)
def test_a_user_becomes_numbers(rootfs: Path, user: str, expected: UserIds) -> None:
    assert resolve_user(rootfs, user) == expected


def test_groups_are_added_by_name_and_number_once(rootfs: Path) -> None:
    user = resolve_user(rootfs, "ann", group_add=("video", "cdrom", "99"))
    assert user.additional_gids == (29, 44, 24, 99)
    assert resolve_user(rootfs, "ann:audio", group_add=("audio", "99")).additional_gids == (99,)


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("eve", "unable to find user eve: no matching entries in passwd file"),
        ("ann:nogroup", "unable to find group nogroup: no matching entries in group file"),
        ("2147483648", "unable to find user 2147483648"),
        ("-1", "unable to find user -1"),
    ],
)
def test_an_unknown_name_is_refused_in_dockers_words(rootfs: Path, user: str, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        resolve_user(rootfs, user)


def test_an_empty_image_has_root_and_numbers(tmp_path: Path) -> None:
    assert resolve_user(tmp_path, "").uid == 0
    assert resolve_user(tmp_path, "7:8") == UserIds(uid=7, gid=8, home="/")
    with pytest.raises(InvalidParameter):
        resolve_user(tmp_path, "root")


def test_a_link_never_leads_out_of_the_image(rootfs: Path) -> None:
    outside = rootfs.parent / f"{rootfs.name}-outside"
    outside.write_text("spy:x:1:1::/:\n")
    (rootfs / "etc/passwd").unlink()
    (rootfs / "etc/passwd").symlink_to(outside)
    with pytest.raises(InvalidParameter):
        resolve_user(rootfs, "spy")


def test_a_link_inside_the_image_is_followed(rootfs: Path) -> None:
    (rootfs / "etc/passwd").rename(rootfs / "etc/real")
    (rootfs / "etc/passwd").symlink_to("/etc/real")
    assert resolve_user(rootfs, "ann").uid == 1000


def test_what_is_no_file_counts_as_none(rootfs: Path) -> None:
    for name in ("passwd", "group"):
        (rootfs / "etc" / name).unlink()
    (rootfs / "etc/passwd").mkdir()
    os.mkfifo(rootfs / "etc/group")
    assert resolve_user(rootfs, "3").uid == 3
