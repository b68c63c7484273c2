"""The quick way to read a header says what tarfile says, or nothing."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.archives import a_directory, a_file, a_link, a_symlink, a_tar, an_entry

from pogu.storage.tarheader import BLOCK_BYTES, entry_of, plain_entry

GNU, USTAR, PAX = tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT


def header(entry: tuple[tarfile.TarInfo, bytes], *, format: int = USTAR) -> bytes:
    return a_tar([entry], format=format).getvalue()[:BLOCK_BYTES]


def parsed_by_tarfile(block: bytes) -> tarfile.TarInfo:
    return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")


@pytest.mark.parametrize("format", [GNU, USTAR, PAX])
@pytest.mark.parametrize(
    "entry",
    [
        a_file("etc/passwd", b"x" * 700),
        an_entry("sbin/su", mode=0o4755, owner=(0, 42)),
        a_directory("usr/share"),
        a_symlink("l", "../target"),
        a_link("h", "etc/passwd"),
        a_file("./caf\udce9", b"z"),
    ],
)
def test_reads_what_tarfile_reads(entry: tuple[tarfile.TarInfo, bytes], format: int) -> None:
    block = header(entry, format=format)
    if block[156:157] != b"x":
        assert plain_entry(block) == entry_of(parsed_by_tarfile(block))


def test_reads_the_prefix_of_long_names() -> None:
    name = "d" * 90 + "/" + "f" * 60
    entry = plain_entry(header(a_file(name)))
    assert entry is not None
    assert entry.name == name


@pytest.mark.parametrize(
    "entry",
    [
        an_entry("big", owner=(3_000_000, 0)),
        an_entry("pipe", type=tarfile.FIFOTYPE),
        an_entry("tty", type=tarfile.CHRTYPE, device=(5, 0)),
        an_entry("old/", type=tarfile.AREGTYPE),
        a_file("n" * 120),
    ],
)
def test_leaves_what_is_not_plain_to_tarfile(entry: tuple[tarfile.TarInfo, bytes]) -> None:
    assert plain_entry(header(entry, format=GNU)) is None


def test_leaves_the_end_of_the_archive_to_tarfile() -> None:
    assert plain_entry(bytes(BLOCK_BYTES)) is None


@given(st.integers(0, BLOCK_BYTES - 1), st.integers(0, 255))
def test_a_changed_byte_is_never_taken_for_right(at: int, value: int) -> None:
    """Unless tarfile takes it as well: spaces and NULs after the checksum's digits."""
    block = bytearray(header(a_file("etc/passwd", b"x")))
    block[at] = value
    entry = plain_entry(bytes(block))
    if entry is not None:
        assert entry == entry_of(parsed_by_tarfile(bytes(block)))


@given(st.binary(min_size=BLOCK_BYTES, max_size=BLOCK_BYTES))
def test_noise_is_no_header(block: bytes) -> None:
    assert plain_entry(block) is None


def test_many_entries_are_the_same_by_both_ways() -> None:
    entries = [a_file(f"d/{number:04}", bytes(number)) for number in range(300)]
    raw = a_tar(entries, format=USTAR).getvalue()
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        for member in tar:
            block = raw[member.offset : member.offset + BLOCK_BYTES]
            assert plain_entry(block) == entry_of(member)
