"""cp both ways, with running and stopped containers, and what a hostile container tries."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, eventually

pytestmark = pytest.mark.root


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`file`, `dir/{a,link,sub/b}` in the present directory."""
    (tmp_path / "dir/sub").mkdir(parents=True)
    (tmp_path / "file").write_text("file")
    (tmp_path / "dir/a").write_text("a")
    (tmp_path / "dir/sub/b").write_text("b")
    (tmp_path / "dir/link").symlink_to("a")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(params=["running", "created", "stopped"])
def box(engine: EngineProcess, here: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A container with a volume at /data and a read-only directory at /ro."""
    words = ["-v", "vol:/data", "-v", f"{here}/dir:/ro:ro", "busybox", "sleep", "1000"]
    engine.ok("create", "--name", "box", *words)
    if request.param != "created":
        engine.ok("start", "box")
    if request.param == "stopped":
        engine.ok("stop", "-t", "0", "box")
    yield "box"
    engine.ok("rm", "-f", "box")
    engine.ok("volume", "rm", "vol")


def names(engine: EngineProcess, path: str) -> list[str]:
    """What `cp … -` sends of a path."""
    done = subprocess.run([*engine.argv, "cp", path, "-"], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        return tar.getnames()


def test_to_a_container_by_docker_s_rules(engine: EngineProcess, box: str) -> None:
    engine.ok("cp", "file", "box:/tmp")
    engine.ok("cp", "file", "box:/tmp/renamed")
    engine.ok("cp", "dir", "box:/tmp")
    engine.ok("cp", "dir", "box:/tmp/new")
    engine.ok("cp", "dir/.", "box:/tmp/new/sub")
    tree = ["tmp/new", "tmp/new/a", "tmp/new/link", "tmp/new/sub", "tmp/new/sub/a"]
    tree += ["tmp/new/sub/b", "tmp/new/sub/link", "tmp/new/sub/sub", "tmp/new/sub/sub/b"]
    assert names(engine, "box:/tmp/new") == [name.removeprefix("tmp/") for name in tree]
    assert names(engine, "box:/tmp/renamed") == ["renamed"]
    assert "tmp/dir/sub/b" in names(engine, "box:/tmp")
    assert "cannot copy directory" in engine.refused("cp", "dir", "box:/etc/passwd", code=1)
    assert "no such directory" in engine.refused("cp", "file", "box:/none/", code=1)
    said = engine.refused("cp", "file", "box:/none/file", code=1)
    assert "Could not find the file /none in container box" in said
    said = engine.refused("cp", "dir/.", "box:/tmp/dir/a", code=1)
    assert "cannot copy directory" in said
    said = engine.refused("cp", "./file", "box:/tmp/new/../file/", code=1)
    assert "no such directory" in said


def test_from_a_container_by_docker_s_rules(engine: EngineProcess, box: str, here: Path) -> None:
    engine.ok("cp", "dir", "box:/tmp/dir")
    engine.ok("cp", "box:/tmp/dir/a", "copy")
    engine.ok("cp", "box:/tmp/dir", "fresh")
    engine.ok("cp", "box:/tmp/dir", "fresh")
    engine.ok("cp", "box:/tmp/dir/.", "fresh/sub")
    assert (here / "copy").read_text() == "a"
    assert (here / "fresh/dir/sub/b").read_text() == "b"
    assert (here / "fresh/sub/sub/b").read_text() == "b"
    assert os.readlink(here / "fresh/link") == "a"
    engine.ok("cp", "box:/tmp/dir/link", "as-link")
    engine.ok("cp", "-L", "box:/tmp/dir/link", "as-file")
    assert os.readlink(here / "as-link") == "a"
    assert (here / "as-file").read_text() == "a"
    assert "cannot copy directory" in engine.refused("cp", "box:/tmp/dir", "file", code=1)
    assert "no such directory" in engine.refused("cp", "box:/etc/passwd", "none/", code=1)
    assert "does not exist" in engine.refused("cp", "box:/etc/passwd", "none/x", code=1)
    assert "Could not find the file /none" in engine.refused("cp", "box:/none", ".", code=1)


def test_through_a_volume_and_not_into_what_is_read_only(
    engine: EngineProcess, box: str, here: Path
) -> None:
    engine.ok("cp", "file", "box:/data/file")
    volume = engine.ok("volume", "inspect", "-f", "{{.Mountpoint}}", "vol")
    assert Path(volume, "file").read_text() == "file"
    engine.ok("cp", "box:/data/file", "back")
    assert (here / "back").read_text() == "file"
    assert "a" in names(engine, "box:/ro/a")
    said = engine.refused("cp", "file", "box:/ro/new", code=1)
    assert "mounted volume is marked read-only" in said


def test_a_stream_both_ways(engine: EngineProcess, box: str) -> None:
    data = subprocess.run(
        [*engine.argv, "cp", "box:/etc/passwd", "-"], capture_output=True, check=True
    ).stdout
    engine.ok("cp", "-", "box:/tmp", stdin=data)
    assert names(engine, "box:/tmp/passwd") == ["passwd"]
    assert "must be a directory" in engine.refused("cp", "-", "box:/etc/passwd", stdin=data)
    said = engine.refused("cp", "-", "box:/tmp", stdin=b"no tar at all" * 100)
    assert "invalid tar" in said


def test_owners_are_root_s_or_with_archive_mode_those_of_the_source(
    engine: EngineProcess, here: Path
) -> None:
    engine.ok("run", "-d", "--name", "own", "busybox", "sleep", "1000")
    os.chown(here / "file", 7, 8)
    engine.ok("cp", "file", "own:/plain")
    engine.ok("cp", "-a", "file", "own:/kept")
    found = {}
    for name in ("plain", "kept"):
        done = subprocess.run(
            [*engine.argv, "cp", f"own:/{name}", "-"], capture_output=True, check=True
        )
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
            found[name] = (tar.getmember(name).uid, tar.getmember(name).gid)
    assert found == {"plain": (0, 0), "kept": (7, 8)}
    engine.ok("cp", "-a", "own:/kept", "kept")
    engine.ok("cp", "own:/kept", "mine")
    assert ((here / "kept").stat().st_uid, (here / "mine").stat().st_uid) == (7, os.geteuid())
    engine.ok("rm", "-f", "own")


def test_a_tmpfs_of_a_running_container_and_a_read_only_root(
    engine: EngineProcess, here: Path
) -> None:
    words = ["--read-only", "--tmpfs", "/scratch", "busybox", "sleep", "1000"]
    engine.ok("run", "-d", "--name", "tight", *words)
    engine.ok("cp", "file", "tight:/scratch/file")
    assert names(engine, "tight:/scratch") == ["scratch", "scratch/file"]
    said = engine.refused("cp", "file", "tight:/etc/file", code=1)
    assert "container rootfs is marked read-only" in said
    engine.ok("rm", "-f", "tight")


def test_links_of_a_container_lead_nowhere_else(engine: EngineProcess, here: Path) -> None:
    secret = here / "secret"
    secret.mkdir()
    (secret / "file").write_text("host")
    script = f"""
    ln -s {secret} /out; ln -s /proc/1/root /root-link; ln -s ../../../../../..{secret} /up
    mkdir -p {secret}; echo ready; exec sleep 1000"""
    engine.ok("run", "-d", "--name", "evil", "busybox", "sh", "-c", script)
    eventually(lambda: "ready" in engine.ok("logs", "evil"))
    for link in ("out", "up"):
        engine.ok("cp", "file", f"evil:/{link}/planted")
        engine.refused("cp", f"evil:/{link}/file", "got", code=1)
    engine.refused("cp", "file", f"evil:/root-link/{secret}/planted", code=1)
    hostile = io.BytesIO()
    with tarfile.open(fileobj=hostile, mode="w") as tar:
        way = tarfile.TarInfo("way")
        way.type, way.linkname = tarfile.SYMTYPE, str(secret)
        tar.addfile(way)
        planted = tarfile.TarInfo("way/planted")
        planted.size = 1
        tar.addfile(planted, io.BytesIO(b"x"))
    engine.ok("cp", "-", "evil:/tmp", stdin=hostile.getvalue())
    assert os.listdir(secret) == ["file"]
    engine.ok("rm", "-f", "evil")


def test_a_container_that_swaps_directories_for_links_gains_nothing(
    engine: EngineProcess, here: Path
) -> None:
    secret = here / "secret"
    secret.mkdir()
    (secret / "b").write_text("of the host")
    script = f"""
    mkdir -p /t/real/sub /t/sub {secret}; echo echo > /t/real/sub/b; echo ready
    while :; do mv /t/sub /t/away; ln -s {secret} /t/sub; rm /t/sub; mv /t/away /t/sub; done"""
    engine.ok("run", "-d", "--name", "swap", "busybox", "sh", "-c", script)
    eventually(lambda: "ready" in engine.ok("logs", "swap"))
    (here / "tree/sub").mkdir(parents=True)
    (here / "tree/sub/b").write_text("planted")
    for _ in range(15):
        engine.call("cp", "tree/.", "swap:/t")
        done = subprocess.run(
            [*engine.argv, "cp", "swap:/t", "-"], capture_output=True, check=False
        )
        assert b"of the host" not in done.stdout
    assert (secret / "b").read_text() == "of the host"
    assert os.listdir(secret) == ["b"]
    engine.ok("rm", "-f", "swap")


def test_a_kill_in_the_middle_leaves_no_mount(engine: EngineProcess, here: Path) -> None:
    engine.ok("create", "--name", "big", "-v", "/data", "busybox", "true")
    with engine.popen("cp", "-", "big:/tmp") as copying:
        views = engine.run_root / "views"
        eventually(lambda: views.exists() and os.listdir(views), what="the view is mounted")
        engine.kill()
        copying.communicate(timeout=60)
    assert engine.status("big") == "created"
    assert os.listdir(views) == []
    assert str(views) not in Path("/proc/self/mountinfo").read_text()
    engine.ok("cp", "file", "big:/tmp")
    engine.ok("rm", "-v", "big")


def test_wrong_use_is_refused_in_words(engine: EngineProcess, here: Path) -> None:
    assert "No such container: nobody" in engine.refused("cp", "file", "nobody:/x", code=1)
    assert "No such container: nobody" in engine.refused("cp", "nobody:/x", ".", code=1)
    assert "between containers" in engine.refused("cp", "a:/x", "b:/x", code=1)
    assert "at least one container" in engine.refused("cp", "file", "dir", code=1)
    assert "can not be empty" in engine.refused("cp", "", "a:/x", code=1)
    engine.ok("create", "--name", "words", "busybox", "true")
    assert "no such file" in engine.refused("cp", "none", "words:/x", code=1)
    assert "not a directory" in engine.refused("cp", "words:/etc/passwd/x", ".", code=1)
    engine.ok("rm", "words")
