"""`system check` finds every damage, names it in one line; --repair mends what can be mended."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, an_engine, eventually
from tests.registry_process import RegistryProcess

pytestmark = pytest.mark.root


@pytest.fixture
def pulled(engine: EngineProcess, registry: RegistryProcess, tmp_path: Path) -> Iterator[str]:
    """An image of two layers that came from a registry."""
    name = registry.name("app:1")
    build(engine, tmp_path, name)
    engine.ok("push", name)
    engine.ok("rmi", name)
    engine.ok("builder", "prune", "-af")
    engine.ok("pull", "-q", name)
    yield name
    engine.call("rmi", "-f", name)
    engine.ok("builder", "prune", "-af")
    assert engine.ok("system", "check").startswith("All is whole")


def build(engine: EngineProcess, directory: Path, tag: str) -> None:
    (directory / "Dockerfile").write_text("FROM busybox\nRUN echo precious > /data.txt\n")
    engine.ok("build", "-q", "-t", tag, str(directory))


def layer_file(engine: EngineProcess, name: str) -> Path:
    """/data.txt in the top layer of the image."""
    upper = engine.ok("image", "inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", name)
    return Path(upper, "data.txt")


def blobs(engine: EngineProcess) -> dict[Path, int]:
    return {path: path.stat().st_size for path in (engine.root / "blobs/sha256").iterdir()}


def flip(path: Path) -> None:
    """One bit, and the time as it was: what a bad disk does."""
    info = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(info.st_mtime_ns, info.st_mtime_ns))


def wrong(engine: EngineProcess, *words: str) -> list[str]:
    """The findings of a check that must find something; the last line is the count."""
    done = engine.call("system", "check", *words)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_a_whole_store_is_called_whole(engine: EngineProcess, pulled: str) -> None:
    assert engine.ok("system", "check") == "All is whole"
    assert engine.ok("system", "check", "--quick") == "All is whole"


def test_a_flipped_bit_in_a_layer_is_mended_from_the_blob_that_is_here(
    engine: EngineProcess, pulled: str
) -> None:
    flip(layer_file(engine, pulled))
    assert engine.ok("system", "check", "--quick") == "All is whole"
    line, count = wrong(engine)
    assert line.startswith("layer ")
    assert pulled in line
    assert "`pogu system check --repair` gets it again from its blob here" in line
    assert count == "1 wrong"
    assert "unpacked again from its blob here" in engine.ok("system", "check", "--repair")
    assert engine.ok("run", "--rm", pulled, "cat", "/data.txt") == "precious"


def test_what_is_damaged_with_its_blob_comes_from_the_registry(
    engine: EngineProcess, registry: RegistryProcess, pulled: str
) -> None:
    layer_file(engine, pulled).unlink()
    for path in blobs(engine):
        flip(path)
    lines = wrong(engine)
    assert sum(line.startswith("blob ") for line in lines) == len(blobs(engine))
    said = engine.ok("system", "check", "--repair")
    assert f"got it again from {registry.name('app')}" in said
    assert engine.ok("run", "--rm", pulled, "cat", "/data.txt") == "precious"
    engine.ok("push", pulled)


def test_a_truncated_blob_is_found_by_its_size_already(engine: EngineProcess, pulled: str) -> None:
    largest = max(blobs(engine), key=lambda path: path.stat().st_size)
    size = largest.stat().st_size
    os.truncate(largest, size // 2)
    assert f"it has {size // 2} bytes, not {size}" in wrong(engine, "--quick")[0]
    engine.ok("system", "check", "--repair")
    assert largest.stat().st_size == size


@pytest.mark.parametrize("restart", [False, True], ids=["engine goes on", "engine restarts"])
def test_a_lost_layer_directory_comes_back(
    engine: EngineProcess, pulled: str, restart: bool
) -> None:
    shutil.rmtree(layer_file(engine, pulled).parent.parent)
    if restart:
        engine.kill()
    kind = "image" if restart else "layer"
    assert wrong(engine, "--quick")[0].startswith(kind)
    engine.ok("system", "check", "--repair")
    assert engine.ok("run", "--rm", "--pull", "never", pulled, "cat", "/data.txt") == "precious"


def test_a_lost_row_of_a_layer_breaks_an_image_that_is_pulled_again(
    engine: EngineProcess, pulled: str
) -> None:
    short = layer_file(engine, pulled).parent.parent.name
    engine.ok("engine", "stop")
    eventually(lambda: engine.pid == 0)
    with sqlite3.connect(engine.root / "state.db") as db:
        assert db.execute("DELETE FROM layers WHERE short_id = ?", (short,)).rowcount == 1
    db.close()
    line = wrong(engine)[0]
    assert pulled in line
    assert "a layer of it is lost" in line
    assert f"pulled {pulled.rpartition(':')[0]}" in engine.ok("system", "check", "--repair")
    assert engine.ok("run", "--rm", "--pull", "never", pulled, "cat", "/data.txt") == "precious"


def test_a_lost_manifest_is_fetched_again(engine: EngineProcess, pulled: str) -> None:
    digest = engine.ok("image", "inspect", "-f", "{{index .RepoDigests 0}}", pulled)
    path = engine.root / "blobs/sha256" / digest.rpartition(":")[2]
    path.unlink()
    assert "a manifest that is recorded is missing" in wrong(engine)[0]
    engine.ok("system", "check", "--repair")
    assert path.exists()


def test_a_built_layer_that_nothing_has_again_goes_so_that_a_build_makes_it_anew(
    engine: EngineProcess, tmp_path: Path
) -> None:
    build(engine, tmp_path, "built")
    flip(layer_file(engine, "built"))
    assert "removes what stands on it" in wrong(engine)[0]
    assert "removed built:latest" in engine.ok("system", "check", "--repair")
    assert engine.refused("image", "inspect", "built")
    build(engine, tmp_path, "built")
    assert engine.ok("run", "--rm", "built", "cat", "/data.txt") == "precious"
    engine.ok("rmi", "built")


def test_what_a_container_stands_on_and_what_it_wrote_is_left_alone(
    engine: EngineProcess, tmp_path: Path
) -> None:
    build(engine, tmp_path, "held")
    command = "echo mine > /own; sleep 1000"
    engine.ok("run", "-d", "--name", "busy", "-v", "kept:/v", "held", "sh", "-c", command)
    own = Path(engine.root, "containers", engine.ok("inspect", "-f", "{{.Id}}", "busy"))
    eventually(lambda: (own / "upper/own").exists())
    flip(layer_file(engine, "held"))
    assert "containers busy" in wrong(engine)[0]
    assert "stop busy first" in wrong(engine, "--repair")[0]
    engine.ok("kill", "busy")
    assert "busy stands on it" in wrong(engine, "--repair")[0]
    assert (own / "upper/own").read_text() == "mine\n"
    assert engine.ok("volume", "ls", "-q") == "kept"
    engine.ok("rm", "busy")
    engine.ok("volume", "rm", "kept")
    assert "1 mended" in engine.ok("system", "check", "--repair")


@pytest.mark.parametrize(
    ("place", "make"),
    [
        ("layers/0123456789ab", lambda path: (path / "diff").mkdir(parents=True)),
        ("blobs/sha256/" + "0" * 64, lambda path: path.write_bytes(b"")),
        ("tmp/layer-left", lambda path: path.mkdir()),
        ("tmp/blob-left", lambda path: path.write_bytes(b"")),
    ],
)
def test_what_is_left_over_is_harmless_and_goes(
    engine: EngineProcess, place: str, make: Callable[[Path], object]
) -> None:
    make(engine.root / place)
    done = engine.call("system", "check", "--quick")
    assert (done.returncode, place in done.stdout) == (0, True)
    assert "only takes space" in done.stdout
    assert engine.call("system", "check", "--quick", "--repair").returncode == 0
    assert not (engine.root / place).exists()


def test_the_findings_are_json_for_programs(engine: EngineProcess) -> None:
    said = engine.ok("system", "check", "--quick", "--json")
    assert said == '{"summary":{"Findings":0,"Wrong":0,"Mended":0}}'


def test_a_repair_that_is_killed_at_any_step_is_done_by_the_next(
    registry: RegistryProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = tmp_path / "crash"
    monkeypatch.setenv("POGU_CRASH_FILE", str(crash))
    name = registry.name("killed:1")
    with an_engine(tmp_path) as engine:
        build(engine, tmp_path, name)
        engine.ok("push", name)
        engine.ok("rmi", name)
        engine.ok("builder", "prune", "-af")
        engine.ok("pull", "-q", name)
        for step in range(1, 100):
            for path in (layer_file(engine, name), *blobs(engine)):
                flip(path)
            crash.write_text(str(step))
            engine.call("system", "check", "--repair")
            if crash.exists():  # the repair has fewer steps
                crash.unlink()
                break
            engine.ok("system", "check", "--repair")
            assert engine.ok("system", "check") == "All is whole", step
            assert engine.ok("run", "--rm", name, "cat", "/data.txt") == "precious"
        assert step > 5
        assert engine.ok("system", "check") == "All is whole"
