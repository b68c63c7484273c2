"""Unpacking: what a tar says is there afterwards; what a hostile one tries is not."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.archives import a_directory, a_file, a_link, a_symlink, a_tar, an_entry

from pogu.storage.apply import apply_tar
from pogu.storage.failure import write_failure
from pogu.storage.tarstream import BadArchive
from pogu.storage.tree import remove_tree


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "root"
    path.mkdir()
    yield path
    remove_tree(path)


def outside(root: Path) -> list[str]:
    return [path.name for path in root.parent.iterdir() if path != root]


def test_files_directories_and_links_are_there_with_mode_and_time(root: Path) -> None:
    tar = a_tar(
        [a_directory("d", mode=0o750), a_file("d/f", b"text", mode=0o4711), a_symlink("l", "d/f")]
    )
    done = apply_tar(tar, root)
    info = (root / "d/f").stat()
    assert (root / "l").read_bytes() == b"text"
    assert (stat.S_IMODE(info.st_mode), info.st_mtime) == (0o4711, 1_000_000_000)
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o750
    assert (root / "d").stat().st_mtime == (root / "l").lstat().st_mtime == 1_000_000_000
    assert done.size_bytes == 4
    assert done.diff_id_hex == hashlib.sha256(tar.getvalue()).hexdigest()


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "..", "./../evil", "/../evil", "a/b/../../../evil"]
)
def test_a_name_that_leaves_the_root_is_refused(root: Path, name: str) -> None:
    with pytest.raises(BadArchive, match="leaves the root"):
        apply_tar(a_tar([a_file(name, b"x")]), root)
    assert outside(root) == []


def test_an_absolute_name_lies_below_the_root(root: Path) -> None:
    apply_tar(a_tar([a_file("/etc/x", b"x"), a_file("//y", b"y"), a_file("./z", b"z")]), root)
    assert [(root / name).read_bytes() for name in ("etc/x", "y", "z")] == [b"x", b"y", b"z"]


@pytest.mark.parametrize("depth", ["", "../", "../../../../"])
def test_an_entry_behind_a_link_stays_inside(root: Path, depth: str) -> None:
    (root / "in").mkdir()
    (root.parent / "in").mkdir()
    apply_tar(a_tar([a_symlink("l", f"{depth}in"), a_file("l/evil", b"x")]), root)
    assert (root / "in/evil").read_bytes() == b"x"
    assert list((root.parent / "in").iterdir()) == []


def test_an_absolute_link_leads_into_the_root(root: Path) -> None:
    target = str(root.parent / "there")
    Path(target).mkdir()
    (root / target.lstrip("/")).mkdir(parents=True)
    apply_tar(a_tar([a_symlink("l", target), a_file("l/evil", b"x")]), root)
    assert (root / target.lstrip("/") / "evil").exists()
    assert list(Path(target).iterdir()) == []


def test_a_file_in_the_place_of_a_link_replaces_the_link(root: Path) -> None:
    victim = root.parent / "victim"
    victim.write_text("old")
    apply_tar(a_tar([a_symlink("l", str(victim)), a_file("l", b"new")]), root)
    assert victim.read_text() == "old"
    assert (root / "l").read_text() == "new"
    assert not (root / "l").is_symlink()


def test_a_directory_in_the_place_of_a_link_replaces_the_link(root: Path) -> None:
    other = root.parent / "other"
    other.mkdir(mode=0o700)
    tar = a_tar([a_symlink("l", str(other)), a_directory("l", mode=0o777), a_file("l/f", b"x")])
    apply_tar(tar, root)
    assert list(other.iterdir()) == []
    assert stat.S_IMODE(other.stat().st_mode) == 0o700
    assert (root / "l/f").exists()


def test_a_link_changed_between_entries_is_followed_anew(root: Path) -> None:
    entries = [
        *(a_directory("a"), a_directory("b"), a_symlink("l", "a"), a_file("l/one", b"1")),
        *(a_symlink("l", "b"), a_file("l/two", b"2")),
    ]
    apply_tar(a_tar(entries), root)
    assert (os.listdir(root / "a"), os.listdir(root / "b")) == (["one"], ["two"])


@pytest.mark.parametrize("target", ["../../etc/passwd", "missing", "l/../../x"])
def test_a_hard_link_to_what_is_not_there_is_refused(root: Path, target: str) -> None:
    with pytest.raises(BadArchive):
        apply_tar(a_tar([a_link("l", target)]), root)


def test_a_hard_link_to_a_link_does_not_follow_it(root: Path) -> None:
    victim = root.parent / "victim"
    victim.write_text("secret")
    apply_tar(a_tar([a_symlink("s", str(victim)), a_link("h", "s")]), root)
    assert (root / "h").is_symlink()
    assert victim.stat().st_nlink == 1


def test_a_hard_link_through_a_link_stays_inside(root: Path) -> None:
    (root.parent / "secret").write_text("x")
    with pytest.raises(BadArchive, match="no file of this archive"):
        apply_tar(a_tar([a_symlink("up", ".."), a_link("h", "up/secret")]), root)


def test_a_hard_link_shares_its_inode(root: Path) -> None:
    apply_tar(a_tar([a_file("a", b"x"), a_link("d/b", "a"), a_link("a", "a")]), root)
    assert (root / "a").samefile(root / "d/b")


@pytest.mark.parametrize(
    "entries",
    [
        [a_file("f", b"x"), a_file("f/g", b"y")],
        [a_symlink("l", "l"), a_file("l/x", b"y")],
        [a_symlink("l", "nowhere"), a_file("l/x", b"y")],
        [a_directory("d"), a_link("e", "d")],
        [a_directory("d"), a_file("d/f", b"x"), a_link("d", "d/f")],
        [a_file("n" * 300, b"x")],
        [a_file("d/" * 2100 + "f", b"x")],
        [a_symlink("l", "")],
        [a_symlink("l", "t" * 5000)],
        [an_entry("x", type=b"Z")],
        [an_entry("x", pax={"mtime": "nonsense"})],
        [an_entry("x", pax={"mtime": "9" * 30})],
        [an_entry("x", content=b"data", pax={"size": "-1"})],
    ],
)
def test_a_tar_that_cannot_be_is_the_archives_fault(
    root: Path, entries: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    with pytest.raises(BadArchive):
        apply_tar(a_tar(entries), root)


def test_a_path_of_a_thousand_directories_is_made(root: Path) -> None:
    apply_tar(a_tar([a_file("d/" * 1200 + "f", b"x")]), root)
    with open(root / ("d/" * 1200 + "f"), "rb") as file:
        assert file.read() == b"x"


def test_a_later_entry_replaces_an_earlier_one_of_another_kind(root: Path) -> None:
    entries = [a_directory("x"), a_file("x/y", b"1"), a_file("x", b"2"), a_symlink("f", "x")]
    apply_tar(a_tar([*entries, a_directory("f")]), root)
    assert (root / "x").read_bytes() == b"2"
    assert (root / "f").is_dir()
    assert not (root / "f").is_symlink()


def test_a_directory_that_comes_again_keeps_its_content(root: Path) -> None:
    apply_tar(a_tar([a_directory("d"), a_file("d/f", b"x"), a_directory("d", mode=0o700)]), root)
    assert (root / "d/f").exists()
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o700


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_and_strange_names_survive(root: Path, format: int) -> None:
    long, link = "long/" + "n" * 200, "t" * 300
    entries = [a_file(long, b"x"), a_symlink("l", link), a_file("bl\u00e4h \n*", b"y")]
    apply_tar(a_tar([*entries, a_file("caf\udce9", b"z")], format=format), root)
    assert (root / long).read_bytes() == b"x"
    assert os.readlink(root / "l") == link
    assert (root / "bl\u00e4h \n*").exists()
    assert b"caf\xe9" in os.listdir(os.fsencode(root))


def test_fractions_of_seconds_and_times_before_1970_survive(root: Path) -> None:
    pax = {"mtime": "1000000000.123456789"}
    apply_tar(a_tar([an_entry("a", pax=pax), an_entry("b", pax={"mtime": "-5.25"})]), root)
    assert (root / "a").stat().st_mtime_ns == 1_000_000_000_123_456_789
    assert (root / "b").stat().st_mtime_ns == -5_250_000_000


def a_sparse_tar() -> io.BytesIO:
    """GNU's old sparse form: 1 MiB with `head` at 0 and `tail` in the last four bytes."""
    entry = tarfile.TarInfo("sparse")
    entry.type = tarfile.GNUTYPE_SPARSE
    entry.size = 1024
    block = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    segments = [(0, 512), ((1 << 20) - 512, 512), (0, 0), (0, 0)]
    for index, (offset, size) in enumerate(segments):
        block[386 + 24 * index : 410 + 24 * index] = b"%011o\0%011o\0" % (offset, size)
    block[483:495] = b"%011o\0" % (1 << 20)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    data = b"head".ljust(512, b"\0") + b"tail".rjust(512, b"\0")
    return io.BytesIO(bytes(block) + data + bytes(1024))


def test_a_sparse_file_has_its_holes(root: Path) -> None:
    done = apply_tar(a_sparse_tar(), root)
    content = (root / "sparse").read_bytes()
    assert (content[:4], content[-4:], len(content)) == (b"head", b"tail", 1 << 20)
    assert not any(content[512:-512])
    assert done.size_bytes == 1 << 20


@pytest.mark.parametrize("tail", [b"tail", b""])
def test_long_runs_of_zeros_take_no_space(root: Path, tail: bytes) -> None:
    content = b"head" + bytes(64 << 20) + tail
    apply_tar(a_tar([a_file("disk", content)]), root)
    assert (root / "disk").read_bytes() == content
    assert (root / "disk").stat().st_blocks * 512 < 4 << 20


def test_user_attributes_are_set(root: Path) -> None:
    apply_tar(a_tar([an_entry("f", pax={"SCHILY.xattr.user.colour": "bl\u00e4u"})]), root)
    try:
        found = os.getxattr(root / "f", "user.colour")
    except OSError:
        pytest.skip("this file system has no user attributes")
    assert found.decode() == "bl\u00e4u"


@pytest.mark.parametrize("name", ["trusted.overlay.opaque", "security.selinux"])
def test_marks_that_are_not_the_archives_to_set_are_left_out(root: Path, name: str) -> None:
    apply_tar(a_tar([an_entry("d", type=tarfile.DIRTYPE, pax={f"SCHILY.xattr.{name}": "y"})]), root)
    assert name not in os.listxattr(root / "d")


def test_without_whiteouts_their_names_are_ordinary(root: Path) -> None:
    apply_tar(a_tar([a_file(".wh.x", b"1"), a_file("d/.wh..wh..opq", b"2")]), root, whiteouts=False)
    assert (root / ".wh.x").read_bytes() == b"1"
    assert (root / "d/.wh..wh..opq").read_bytes() == b"2"


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh..."])
def test_a_whiteout_of_nothing_or_of_the_directory_itself_is_refused(root: Path, name: str) -> None:
    with pytest.raises(BadArchive, match="whiteout"):
        apply_tar(a_tar([a_directory("d"), a_file(name)]), root)


@pytest.mark.parametrize("keep", [100, 512, 700, 1500])
def test_a_tar_that_is_cut_short_is_refused(root: Path, keep: int) -> None:
    whole = a_tar([a_file("f", b"x" * 600), a_file("g", b"y")]).getvalue()
    with pytest.raises(BadArchive):
        apply_tar(io.BytesIO(whole[:keep]), root)


def test_a_tar_without_its_last_padding_and_trailer_is_taken(root: Path) -> None:
    whole = a_tar([a_file("f", b"x" * 600)]).getvalue()
    apply_tar(io.BytesIO(whole[: 512 + 600]), root)
    assert (root / "f").read_bytes() == b"x" * 600


@pytest.mark.parametrize("data", [b"hello", b"\x1f\x8b\x08broken", b"x" * 2048, b"BZh9no"])
def test_what_is_no_tar_is_refused(root: Path, data: bytes) -> None:
    with pytest.raises(BadArchive):
        apply_tar(io.BytesIO(data), root)


def test_a_damaged_header_behind_the_first_is_no_silent_end(root: Path) -> None:
    data = bytearray(a_tar([a_file("a", b"x"), a_file("b", b"y")]).getvalue())
    data[1024 + 10] ^= 1
    with pytest.raises(BadArchive):
        apply_tar(io.BytesIO(bytes(data)), root)


def test_an_empty_tar_makes_nothing(root: Path) -> None:
    assert apply_tar(a_tar(), root).size_bytes == 0
    assert list(root.iterdir()) == []


def test_the_entry_of_the_root_sets_the_roots_mode(root: Path) -> None:
    apply_tar(a_tar([a_directory("./", mode=0o711)]), root)
    assert stat.S_IMODE(root.stat().st_mode) == 0o711


def test_a_full_disk_is_named_with_what_frees_space() -> None:
    error = write_failure(OSError(28, "No space left on device", "/x"))
    assert "no space left on device" in error.message
    assert error.hint
    assert "prune" in error.hint
