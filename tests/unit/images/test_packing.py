"""Compressions as they are asked for, and bytes that stay the same."""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path

import pytest
import zstandard

from pogu.db import Database
from pogu.errors import InvalidParameter
from pogu.images.packing import Compression, _BlobFile, _codec, parse_compression
from pogu.images.provenance import LayerBlob, Provenance
from pogu.oci.digest import DiffId, Digest, sha256_digest
from pogu.oci.image import MediaType

TEXT = b"".join(b"line %d of a layer\n" % number for number in range(200_000))


def packed(path: Path, compression: Compression, step: int = 70_000) -> bytes:
    sink = _BlobFile(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), _codec(compression))
    for start in range(0, len(TEXT), step):
        sink.write(TEXT[start : start + step])
    digest = sink.finish()
    raw = path.read_bytes()
    assert digest == f"sha256:{hashlib.sha256(raw).hexdigest()}"
    assert sink.written == len(raw)
    return raw


@pytest.mark.parametrize(
    "compression",
    [
        Compression(),
        Compression(kind="gzip", level=2),
        Compression(kind="gzip", level=9),
        Compression(kind="zstd"),
        Compression(kind="zstd", level=19),
    ],
    ids=lambda one: f"{one.kind}{one.level}",
)
def test_a_compression_gives_the_same_bytes_each_time_and_the_text_back(
    tmp_path: Path, compression: Compression
) -> None:
    raw = packed(tmp_path / "one", compression)
    assert raw == packed(tmp_path / "two", compression)
    if compression.kind == "zstd":
        assert zstandard.ZstdDecompressor().decompressobj().decompress(raw) == TEXT
    else:
        assert zlib.decompress(raw, wbits=31) == TEXT


def test_the_bytes_do_not_depend_on_how_the_tar_was_written(tmp_path: Path) -> None:
    raw = packed(tmp_path / "one", Compression())
    assert raw == packed(tmp_path / "two", Compression(), step=len(TEXT))
    assert raw == packed(tmp_path / "three", Compression(), step=4_099)


def test_nothing_is_packed_as_an_empty_stream(tmp_path: Path) -> None:
    sink = _BlobFile(os.open(tmp_path / "f", os.O_WRONLY | os.O_CREAT), _codec(Compression()))
    sink.finish()
    assert zlib.decompress((tmp_path / "f").read_bytes(), wbits=31) == b""


def test_a_higher_level_is_smaller(tmp_path: Path) -> None:
    fast = packed(tmp_path / "fast", parse_compression("gzip", "1"))
    small = packed(tmp_path / "small", parse_compression("gzip", "9"))
    assert len(small) < len(fast)


@pytest.mark.parametrize(
    ("kind", "level", "packing"),
    [
        ("", "", ""),
        ("gzip", "", ""),
        ("gzip", "6", "gzip:6"),
        ("", "6", "gzip:6"),
        ("zstd", "", "zstd:3"),
        ("zstd", "22", "zstd:22"),
    ],
)
def test_what_is_asked_for_has_one_name(kind: str, level: str, packing: str) -> None:
    assert parse_compression(kind, level).packing == packing


@pytest.mark.parametrize(
    ("kind", "level"), [("xz", ""), ("gzip", "0"), ("gzip", "10"), ("zstd", "23"), ("zstd", "-1")]
)
def test_what_is_no_compression_is_refused(kind: str, level: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid compression"):
        parse_compression(kind, level)


def a_blob(packing: str = "", media_type: str = MediaType.OCI_LAYER_GZIP) -> LayerBlob:
    return LayerBlob(
        digest=sha256_digest(b"x"),
        diff_id=DiffId("sha256:y"),
        media_type=media_type,
        size_bytes=1,
        packing=packing,
    )


@pytest.mark.parametrize(
    ("kind", "level", "blob", "answer"),
    [
        ("", "", a_blob(), True),
        ("", "", a_blob("zstd:3", MediaType.OCI_LAYER_ZSTD), False),
        ("gzip", "", a_blob(), True),
        ("gzip", "", a_blob("gzip:6"), False),
        ("gzip", "6", a_blob("gzip:6"), True),
        ("gzip", "6", a_blob(), False),
        ("zstd", "", a_blob(), False),
        ("zstd", "", a_blob("", MediaType.OCI_LAYER_ZSTD), True),
        ("zstd", "3", a_blob("zstd:3", MediaType.OCI_LAYER_ZSTD), True),
    ],
)
def test_a_known_blob_is_used_again_where_it_is_what_is_asked_for(
    kind: str, level: str, blob: LayerBlob, answer: bool
) -> None:
    assert parse_compression(kind, level).is_form(blob) is answer


def test_a_form_that_is_there_without_asking_stays_one(tmp_path: Path) -> None:
    provenance = Provenance(Database(tmp_path / "state.db"))
    provenance.add_layer(a_blob())
    provenance.add_layer(a_blob("zstd:3"))
    assert [blob.packing for blob in provenance.layer(DiffId("sha256:y"))] == [""]
    manifest, image = Digest("sha256:m"), Digest("sha256:i")
    provenance.add_manifest(manifest, image, "kind", packing="zstd:3")
    provenance.add_manifest(manifest, image, "kind")
    assert [one.packing for one in provenance.manifests(image)] == [""]
    assert provenance.image_of(manifest) == image
