"""Compressed streams, told by their first bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from tests.archives import a_file, a_tar

from pogu.storage.apply import apply_tar
from pogu.storage.compression import decompressed, is_archive
from pogu.storage.tarstream import BadArchive

Compress = Callable[[bytes], bytes]
WAYS: dict[str, Compress] = {
    "none": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_compression_is_undone(way: str) -> None:
    data = b"text " * 100_000
    assert decompressed(io.BytesIO(WAYS[way](data))).read() == data


@pytest.mark.parametrize("way", ["gzip", "zstd", "xz", "bzip2"])
def test_members_one_after_the_other_are_one_stream(way: str) -> None:
    data = WAYS[way](b"one ") + WAYS[way](b"two")
    assert decompressed(io.BytesIO(data)).read() == b"one two"


@pytest.mark.parametrize("way", WAYS)
def test_the_diff_id_is_that_of_the_uncompressed_tar(tmp_path: Path, way: str) -> None:
    tar = a_tar([a_file("f", b"x" * 3000)]).getvalue()
    for name in ("plain", "packed"):
        (tmp_path / name).mkdir()
    plain = apply_tar(io.BytesIO(tar), tmp_path / "plain")
    assert apply_tar(io.BytesIO(WAYS[way](tar)), tmp_path / "packed") == plain


@pytest.mark.parametrize("way", ["gzip", "zstd", "xz", "bzip2"])
def test_a_compressed_tar_that_is_cut_short_is_refused(tmp_path: Path, way: str) -> None:
    import random

    noise = random.Random(1).randbytes(200_000)
    packed = WAYS[way](a_tar([a_file("f", noise)]).getvalue())
    with pytest.raises(BadArchive):
        apply_tar(io.BytesIO(packed[:100_000]), tmp_path)


@pytest.mark.parametrize("way", WAYS)
def test_a_tar_is_recognised_in_every_compression(way: str) -> None:
    assert is_archive(io.BytesIO(WAYS[way](a_tar([a_file("f", b"x")]).getvalue())))


@pytest.mark.parametrize("data", [b"", b"text", b"x" * 1024, gzip.compress(b"text"), bytes(1024)])
def test_other_files_are_no_archives(data: bytes) -> None:
    assert not is_archive(io.BytesIO(data))


def test_a_tar_of_before_ustar_is_known_by_its_checksum() -> None:
    block = bytearray(a_tar([a_file("f")]).getvalue()[:512])
    block[257:265] = bytes(8)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    assert is_archive(io.BytesIO(bytes(block)))
