"""A COPY whose files are mostly unchanged links them from its last layer, and nobody can tell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess

pytestmark = pytest.mark.root


def a_context(directory: Path, dockerfile: str = "FROM busybox\nCOPY . /data/\n") -> Path:
    for number in range(4):
        (directory / f"d{number}").mkdir()
        (directory / f"d{number}" / f"{number}.txt").write_text(f"file {number}\n")
    (directory / "Dockerfile").write_text(dockerfile)
    return directory


def layer_files(engine: EngineProcess, tag: str) -> dict[str, int]:
    """Inode by path of the image's top layer."""
    top = Path(engine.ok("image", "inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", tag))
    return {
        str(path.relative_to(top)): path.stat().st_ino for path in top.rglob("*") if path.is_file()
    }


def test_only_what_changed_is_written_anew(engine: EngineProcess, tmp_path: Path) -> None:
    context = str(a_context(tmp_path))
    engine.ok("build", "-q", "-t", "many", context)
    before = layer_files(engine, "many")
    (tmp_path / "d1" / "1.txt").write_text("another text\n")
    engine.ok("build", "-q", "-t", "many", context)
    after = layer_files(engine, "many")
    assert {path for path in after if after[path] != before[path]} == {"data/d1/1.txt"}
    assert "another text" in engine.ok("run", "--rm", "many", "cat", "/data/d1/1.txt")


def test_a_linked_layer_has_the_same_digest_as_a_copied_one(
    engine: EngineProcess, tmp_path: Path
) -> None:
    context = str(a_context(tmp_path))
    engine.ok("build", "-q", "-t", "linked", context)
    (tmp_path / "d0" / "0.txt").write_text("changed\n")
    os.utime(tmp_path / "d0", (1_600_000_000, 1_600_000_000))
    engine.ok("build", "-q", "-t", "linked", context)
    engine.ok("build", "-q", "--no-cache", "-t", "copied", context)
    layers = "{{json .RootFS.Layers}}"
    linked = engine.ok("image", "inspect", "-f", layers, "linked")
    assert linked == engine.ok("image", "inspect", "-f", layers, "copied")


def test_a_changed_mode_owner_or_time_is_no_reason_to_link(
    engine: EngineProcess, tmp_path: Path
) -> None:
    context = str(a_context(tmp_path))
    engine.ok("build", "-q", "-t", "modes", context)
    (tmp_path / "d0" / "0.txt").chmod(0o600)
    os.utime(tmp_path / "d1" / "1.txt", (1_500_000_000, 1_500_000_000))
    engine.ok("build", "-q", "-t", "modes", context)
    said = engine.ok("run", "--rm", "modes", "ls", "-ln", "/data/d0/0.txt")
    assert said.startswith("-rw-------")
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY --chown=7:8 . /data/\n")
    engine.ok("build", "-q", "-t", "modes", context)
    said = engine.ok("run", "--rm", "modes", "stat", "-c", "%u:%g", "/data/d2/2.txt")
    assert said == "7:8"


def test_what_a_container_writes_changes_no_other_image(
    engine: EngineProcess, tmp_path: Path
) -> None:
    context = str(a_context(tmp_path))
    engine.ok("build", "-q", "-t", "first", context)
    (tmp_path / "d3" / "3.txt").write_text("new\n")
    engine.ok("build", "-q", "-t", "first", context)
    engine.ok("run", "--rm", "first", "sh", "-c", "echo spoiled >> /data/d0/0.txt")
    (tmp_path / "Dockerfile").write_text(
        "FROM first\nRUN echo spoiled >> /data/d0/0.txt && rm /data/d1/1.txt\n"
    )
    engine.ok("build", "-q", "-t", "second", context)
    assert engine.ok("run", "--rm", "first", "cat", "/data/d0/0.txt") == "file 0"
    assert engine.ok("run", "--rm", "first", "cat", "/data/d1/1.txt") == "file 1"


def test_links_go_into_directories_that_a_lower_layer_has(
    engine: EngineProcess, tmp_path: Path
) -> None:
    context = a_context(tmp_path, "FROM busybox\nRUN mkdir -p /data/d0\nCOPY . /data/\n")
    engine.ok("build", "-q", "-t", "lower", str(context))
    (tmp_path / "d2" / "2.txt").write_text("changed\n")
    engine.ok("build", "-q", "-t", "lower", str(context))
    assert engine.ok("run", "--rm", "lower", "cat", "/data/d0/0.txt", "/data/d2/2.txt") == (
        "file 0\nchanged"
    )
