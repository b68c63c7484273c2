"""The rows of what lies in a storage root add up to what `du` says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pogu.config import Paths
from pogu.upkeep.usage import storage_usage


def a_root(tmp_path: Path) -> Paths:
    """A storage root with a little of everything."""
    paths = Paths(root=tmp_path / "root", run_root=tmp_path / "run")
    paths.create()
    files = {
        "layers/aaa/diff/usr/shared": 9000,
        "layers/aaa/journal": 10,
        "layers/bbb/diff/own": 100,
        "blobs/sha256/00": 5000,
        "containers/c1/upper/data": 20_000,
        "containers/c1/ctr.log": 6000,
        "containers/c1/config.json": 10,
        "volumes/v1/_data/table": 30_000,
        "tmp/part-00": 40_000,
        "tmp/layer-x/diff/half": 1,
        "state.db": 12_000,
        "engine.log.1": 1,
        "left/by/somebody": 3,
    }
    for name, size in files.items():
        path = paths.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    os.link(paths.layers / "aaa/diff/usr/shared", paths.layers / "bbb/diff/linked")
    return paths


def test_the_rows_add_up_to_what_du_says(tmp_path: Path) -> None:
    paths = a_root(tmp_path)
    rows = storage_usage(paths, in_images={"aaa"})
    words = ["du", "-sx", "--block-size=1", str(paths.root)]
    said = subprocess.run(words, capture_output=True, check=True, text=True).stdout
    assert sum(row.disk_bytes for row in rows) == int(said.split()[0])


def test_every_kind_has_its_row(tmp_path: Path) -> None:
    rows = {row.kind: row for row in storage_usage(a_root(tmp_path), in_images={"aaa"})}
    assert {kind: row.count for kind, row in rows.items()} == {
        "Image layers": 1,
        "Build cache layers": 1,
        "Blobs": 1,
        "Container layers": 1,
        "Container logs": 1,
        "Container state": 1,
        "Volumes": 1,
        "Unfinished downloads": 1,
        "Unfinished work": 1,
        "Database": 1,
        "Engine log": 1,
        "Other": 1,
    }
    assert rows["Volumes"].disk_bytes >= 30_000
    assert rows["Build cache layers"].disk_bytes < 9000 + 4096 * 4  # what is linked counts once
