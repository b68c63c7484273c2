"""Commit, diff and export of real containers, running and stopped."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, eventually

pytestmark = pytest.mark.root

_CHANGE = """
echo new > /etc/new; rm /etc/passwd; mkdir -p /made/below; echo 1 > /made/below/file
ln /made/below/file /made/hard; ln -s /nowhere /made/link; chmod 4755 /made/below/file
mkfifo /made/pipe; echo data > /data/in-volume; echo ready
"""


@pytest.fixture
def changed(engine: EngineProcess) -> Iterator[str]:
    """A running container with changes of every kind."""
    script = f"{_CHANGE}exec sleep 1000"
    engine.ok("run", "-d", "--name", "web", "-v", "/data", "busybox", "sh", "-c", script)
    eventually(lambda: "ready" in engine.ok("logs", "web"))
    yield "web"
    engine.ok("rm", "-f", "-v", "web")


def export(engine: EngineProcess, name: str) -> dict[str, tarfile.TarInfo]:
    done = subprocess.run([*engine.argv, "export", name], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        return {entry.name: entry for entry in tar}


def test_diff_shows_what_the_container_changed_and_not_what_the_engine_made(
    engine: EngineProcess, changed: str
) -> None:
    expected = [
        *("C /etc", "A /etc/new", "D /etc/passwd", "A /made", "A /made/below"),
        *("A /made/below/file", "A /made/hard", "A /made/link", "A /made/pipe"),
    ]
    assert engine.ok("diff", changed).splitlines() == expected
    engine.ok("stop", "-t", "0", changed)
    assert engine.ok("container", "diff", changed).splitlines() == expected


def test_a_container_that_changed_nothing_has_no_diff(engine: EngineProcess) -> None:
    engine.ok("run", "--name", "quiet", "busybox", "true")
    assert engine.ok("diff", "quiet") == ""
    image = engine.ok("commit", "quiet")
    layers = engine.ok("inspect", "-f", "{{len .RootFS.Layers}}", image)
    assert layers == engine.ok("inspect", "-f", "{{len .RootFS.Layers}}", "busybox")
    engine.ok("rm", "quiet")


def test_an_image_of_a_running_container_has_its_files_but_not_its_volumes(
    engine: EngineProcess, changed: str
) -> None:
    engine.ok("commit", "-a", "me", "-m", "why", "-c", 'CMD ["cat", "/etc/new"]', changed, "made:1")
    assert engine.status(changed) == "running"
    assert engine.ok("run", "--rm", "made:1") == "new"
    look = "stat -c %a-%h-%F /made/hard /made/pipe; readlink /made/link; ls /data /etc/passwd"
    done = engine.call("run", "--rm", "made:1", "sh", "-c", look)
    assert "4755-2-regular file" in done.stdout
    assert "-fifo" in done.stdout
    assert "/nowhere" in done.stdout
    assert "in-volume" not in done.stdout
    assert "/etc/passwd: No such file" in done.stderr
    image = json.loads(engine.ok("inspect", "--type", "image", "made:1"))[0]
    assert (image["Author"], image["Comment"]) == ("me", "why")
    parent = engine.ok("inspect", "-f", "{{.Id}}", "busybox")
    assert image["Parent"] == parent


def test_a_directory_made_anew_hides_what_the_image_had_in_it(engine: EngineProcess) -> None:
    engine.ok("build", "-t", "full", "-", stdin=b"FROM busybox\nRUN mkdir /d && touch /d/old\n")
    engine.ok("run", "--name", "oo", "full", "sh", "-c", "rm -r /d && mkdir /d && touch /d/new")
    assert engine.ok("diff", "oo").splitlines() == ["C /d", "A /d/new", "D /d/old"]
    engine.ok("commit", "oo", "anew")
    assert engine.ok("run", "--rm", "anew", "ls", "/d") == "new"
    engine.ok("rm", "oo")


@pytest.mark.parametrize("state", ["running", "stopped", "created"])
def test_an_export_holds_the_whole_tree_and_becomes_an_image_again(
    engine: EngineProcess, changed: str, state: str, tmp_path: Path
) -> None:
    if state == "stopped":
        engine.ok("stop", "-t", "0", changed)
    name = "fresh" if state == "created" else changed
    if state == "created":
        engine.ok("create", "--name", "fresh", "busybox", "true")
    found = export(engine, name)
    assert "bin/sh" in found
    assert "data/in-volume" not in found
    assert ("etc/new" in found) == (state != "created")
    target = tmp_path / "root.tar"
    engine.ok("export", "-o", str(target), name)
    assert os.listdir(tmp_path) == ["root.tar"]
    engine.ok("import", str(target), "again")
    assert engine.ok("run", "--rm", "again", "echo", "runs") == "runs"
    if state == "created":
        engine.ok("rm", "fresh")


def test_wrong_use_is_refused_in_words(engine: EngineProcess, tmp_path: Path) -> None:
    engine.ok("create", "--name", "ww", "busybox", "true")
    for command in ("commit", "diff", "export"):
        assert "No such container: nobody" in engine.refused(command, "nobody")
    target = tmp_path / "out.tar"
    engine.refused("export", "-o", str(target), "nobody")
    assert not target.exists()
    assert "is not a valid change command" in engine.refused("commit", "-c", "RUN true", "ww")
    assert "must be lowercase" in engine.refused("commit", "ww", "UPPER")
    assert "is a directory" in engine.refused("export", "-o", str(tmp_path), "ww")
    engine.ok("rm", "ww")


def test_a_kill_while_a_container_is_committed_leaves_it_running(
    engine: EngineProcess, changed: str
) -> None:
    for _ in range(4):
        with engine.popen("commit", changed) as committing:
            engine.kill()
            committing.communicate(timeout=60)
        assert engine.status(changed) == "running"
        assert os.listdir(engine.root / "tmp") == []
    views = engine.run_root / "views"
    assert not views.exists() or not os.listdir(views)
    engine.ok("commit", changed)
