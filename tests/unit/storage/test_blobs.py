"""Blobs: named by their digest, verified when read."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from pogu.config import Paths
from pogu.errors import DataLoss, NotFound
from pogu.oci.digest import Digest, sha256_digest
from pogu.storage.blobs import BlobStore


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(root=tmp_path / "root", run_root=tmp_path / "run")
    paths.create()
    return paths


def test_what_is_written_is_read_again(paths: Paths) -> None:
    blobs = BlobStore(paths)
    digest = blobs.write(b"config")
    assert blobs.write(b"config") == digest == sha256_digest(b"config")
    assert blobs.read(digest) == b"config"
    assert blobs.all() == [digest]
    assert os.listdir(paths.tmp) == []


def test_a_damaged_blob_is_not_given_out(paths: Paths) -> None:
    blobs = BlobStore(paths)
    digest = blobs.write(b"config")
    blobs.path(digest).write_bytes(b"other")
    with pytest.raises(DataLoss, match="damaged"):
        blobs.read(digest)


def test_a_stream_with_another_digest_leaves_nothing(paths: Paths) -> None:
    blobs = BlobStore(paths)
    with pytest.raises(DataLoss):
        blobs.ingest(io.BytesIO(b"x"), expected=sha256_digest(b"y"))
    assert os.listdir(paths.tmp) == blobs.all() == []
    assert blobs.ingest(io.BytesIO(b"x"), expected=sha256_digest(b"x")) == sha256_digest(b"x")


def test_a_blob_that_is_not_there_is_named(paths: Paths) -> None:
    blobs = BlobStore(paths)
    absent = Digest("sha256:" + "0" * 64)
    blobs.remove(absent)
    with pytest.raises(NotFound, match="0000"):
        blobs.read(absent)
