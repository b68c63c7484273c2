"""Layers as tars: the same directory gives the same bytes, a journal gives back any tar."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import tarfile
from pathlib import Path

import pytest
from tests.archives import a_directory, a_file, a_link, a_symlink, a_tar

from pogu.storage.apply import apply_tar
from pogu.storage.diff import write_journaled_tar, write_layer_tar
from pogu.storage.journal import read_journal
from pogu.storage.tarstream import BadArchive
from pogu.storage.tree import remove_tree


def tar_of(root: Path) -> bytes:
    out = io.BytesIO()
    write_layer_tar(root, out)
    return out.getvalue()


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


def a_tree(root: Path) -> Path:
    (root / "d/e").mkdir(parents=True)
    (root / "d/f").write_bytes(b"content")
    (root / "d/f").chmod(0o4750)
    os.link(root / "d/f", root / "d/g")
    (root / "l").symlink_to("/d/f")
    (root / ("n" * 150)).write_bytes(b"x" * 513)
    (root / "\u00fcml").touch()
    (root / "empty").touch()
    for path in [*root.rglob("*"), root]:
        os.utime(path, (5, 5), follow_symlinks=False)
    return root


def test_apply_then_write_gives_the_same_diff_id(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    first = tar_of(a_tree(tmp_path / "in"))
    applied = apply_tar(io.BytesIO(first), tmp_path / "out")
    assert hashlib.sha256(tar_of(tmp_path / "out")).hexdigest() == applied.diff_id_hex


def test_every_reader_of_tars_understands_it(tmp_path: Path) -> None:
    found = members(tar_of(a_tree(tmp_path)))
    assert list(found) == ["d", "d/e", "d/f", "d/g", "empty", "l", "n" * 150, "\u00fcml"]
    assert (found["d/f"].mode, found["d/f"].mtime, found["d/f"].size) == (0o4750, 5, 7)
    assert (found["d/g"].islnk(), found["d/g"].linkname) == (True, "d/f")
    assert (found["l"].issym(), found["l"].linkname) == (True, "/d/f")


def test_the_size_is_that_of_the_regular_files_once(tmp_path: Path) -> None:
    assert write_layer_tar(a_tree(tmp_path), io.BytesIO()) == 7 + 513


def test_names_of_100_bytes_still_fit_a_plain_header(tmp_path: Path) -> None:
    (tmp_path / ("n" * 100)).touch()
    (tmp_path / ("m" * 101)).touch()
    data = tar_of(tmp_path)
    assert data.count(b"ustar") == 3
    assert set(members(data)) == {"n" * 100, "m" * 101}


def test_names_that_are_not_utf8_and_times_before_1970_come_through(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    strange = os.fsencode(tmp_path / "in") + b"/caf\xe9"
    os.close(os.open(strange, os.O_CREAT | os.O_WRONLY))
    os.utime(strange, (-100, -100))
    data = tar_of(tmp_path / "in")
    apply_tar(io.BytesIO(data), tmp_path / "out")
    assert os.listdir(os.fsencode(tmp_path / "out")) == [b"caf\xe9"]
    assert tar_of(tmp_path / "out") == data


def test_a_socket_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        assert members(tar_of(tmp_path)) == {}


def test_an_empty_directory_is_a_tar_of_two_empty_blocks(tmp_path: Path) -> None:
    assert tar_of(tmp_path) == bytes(1024)


def test_a_tree_deeper_than_the_stack_is_written(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    apply_tar(a_tar([a_directory("d/" * 1199)]), tmp_path / "in")
    apply_tar(io.BytesIO(tar_of(tmp_path / "in")), tmp_path / "out")
    assert os.path.isdir(tmp_path / "out" / ("d/" * 1199))
    remove_tree(tmp_path)  # pytest itself could not


def again(tmp_path: Path, tar: io.BytesIO) -> bytes:
    """Unpack with a journal, write from it."""
    (tmp_path / "root").mkdir()
    apply_tar(tar, tmp_path / "root", journal=tmp_path / "journal")
    out = io.BytesIO()
    write_journaled_tar(tmp_path / "root", read_journal(tmp_path / "journal"), out)
    return out.getvalue()


@pytest.mark.parametrize(
    "format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=str
)
def test_a_journal_gives_back_the_very_bytes(tmp_path: Path, format: int) -> None:
    entries = [
        *(a_directory("./"), a_directory("./d"), a_file("./d/f", b"x" * 3000)),
        *(a_link("./d/g", "./d/f"), a_symlink("./l", "d"), a_file("z", b"z"), a_file("a", b"a")),
    ]
    tar = a_tar(entries, format=format)
    assert again(tmp_path, tar) == tar.getvalue()


@pytest.mark.parametrize(
    "entries",
    [
        [a_file("f", b"one"), a_file("f", b"two")],
        [a_file("d/f", b"one"), a_file("d", b"two")],
        [a_file("d/f", b"one"), a_symlink("d", "x")],
        [a_directory("a"), a_symlink("l", "a"), a_file("l/f", b"one"), a_file("a/f", b"two")],
        [a_file("f", b"one"), a_link("g", "f"), a_file("f", b"two")],
        [a_directory("r"), a_symlink("l", "/r"), a_file("l/f", b"one"), a_symlink("l", "x")],
    ],
)
def test_content_that_a_later_entry_took_away_is_in_the_journal(
    tmp_path: Path, entries: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    tar = a_tar(entries)
    assert again(tmp_path, tar) == tar.getvalue()


def test_names_that_are_not_utf8_stand_in_the_journal(tmp_path: Path) -> None:
    tar = a_tar([a_file("caf\udce9/x", b"content")], format=tarfile.GNU_FORMAT)
    assert again(tmp_path, tar) == tar.getvalue()


def test_padding_and_bytes_behind_the_end_are_kept(tmp_path: Path) -> None:
    data = a_tar([a_file("f", b"x")]).getvalue()
    odd = data[:513] + b"garbage".ljust(511, b"!") + data[1024:] + b"behind"
    assert again(tmp_path, io.BytesIO(odd)) == odd


def test_a_broken_tar_leaves_no_open_journal(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(BadArchive):
        again(tmp_path, io.BytesIO(b"no tar"))
    assert len(os.listdir("/proc/self/fd")) == before
