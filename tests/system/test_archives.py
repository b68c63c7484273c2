"""Save and load between two engines, with skopeo and umoci as the other programs."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, an_engine, eventually

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """One side; it has an image of three layers, a:v1."""
    with an_engine(tmp_path_factory.mktemp("pogu")) as running:
        text = b"""FROM busybox
RUN echo a > /a && head -c 3000000 /dev/urandom > /big
RUN rm /bin/vi && ln -s /a /b && mkfifo /c
"""
        running.ok("build", "-q", "-t", "a:v1", "-", stdin=text)
        yield running


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with an_engine(tmp_path_factory.mktemp("other")) as running:
        yield running


@pytest.fixture(autouse=True)
def forgotten(other: EngineProcess) -> Iterator[None]:
    """After each test the other side has only its busybox."""
    yield
    images = set(other.ok("images", "-q", "--no-trunc").split())
    images.discard(image_id(other, "busybox"))
    if images:
        other.ok("rmi", "-f", *images)
    assert not list((other.root / "tmp").iterdir())


def image_id(engine: EngineProcess, name: str) -> str:
    return engine.ok("image", "inspect", "-f", "{{.Id}}", name)


def skopeo(*words: str) -> str:
    done = subprocess.run(["skopeo", "--insecure-policy", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def runs(engine: EngineProcess, name: str) -> bool:
    """True when the image's three layers are what they were."""
    script = "cat /b; test -p /c && test ! -e /bin/vi"
    return engine.ok("run", "--rm", name, "sh", "-c", script) == "a"


# ---- Pogu and Pogu ---------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--compress", "zstd"], ["--format", "oci-archive"]])
def test_an_image_goes_by_file(
    engine: EngineProcess, other: EngineProcess, tmp_path: Path, options: list[str]
) -> None:
    file = tmp_path / "a.tar"
    engine.ok("save", "-o", str(file), *options, "a:v1")
    assert other.ok("load", "-i", str(file)) == "Loaded image: a:v1"
    assert image_id(other, "a:v1") == image_id(engine, "a:v1")
    assert runs(other, "a:v1")
    assert list(tmp_path.iterdir()) == [file]


def test_an_image_goes_through_a_pipe(engine: EngineProcess, other: EngineProcess) -> None:
    saving = engine.popen("image", "save", "a:v1")
    loading = subprocess.run(
        [*other.argv, "image", "load"],
        stdin=saving.stdout,
        capture_output=True,
        text=True,
        timeout=60,
    )
    saving.communicate(timeout=60)
    assert (saving.returncode, loading.stdout) == (0, "Loaded image: a:v1\n"), loading.stderr


def test_what_the_other_side_has_stays_at_home(
    engine: EngineProcess, other: EngineProcess, tmp_path: Path
) -> None:
    busybox, file, whole = tmp_path / "busybox.tar", tmp_path / "part.tar", tmp_path / "whole.tar"
    engine.ok("save", "-o", str(busybox), "busybox")
    other.ok("load", "-i", str(busybox))
    listed = other.ok("image", "inventory")
    engine.ok("save", "-o", str(file), "--inventory", "-", "a:v1", stdin=listed.encode())
    engine.ok("save", "-o", str(whole), "a:v1")
    assert file.stat().st_size < whole.stat().st_size - 1_000_000
    other.ok("load", "-i", str(file))
    assert runs(other, "a:v1")


def test_the_same_image_gives_the_same_file(engine: EngineProcess, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    engine.ok("save", "-o", str(one), "a:v1")
    with two.open("wb") as file:
        subprocess.run([*engine.argv, "save", "a:v1"], stdout=file, check=True, timeout=60)
    assert one.read_bytes() == two.read_bytes()


# ---- other programs --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "place"),
    [
        ("docker-archive", "docker-archive:{}:a:v1"),
        ("docker-archive", "oci-archive:{}:v1"),
        ("oci-archive", "oci-archive:{}:docker.io/library/a:v1"),
    ],
)
def test_skopeo_reads_what_is_saved(
    engine: EngineProcess, tmp_path: Path, format: str, place: str
) -> None:
    file = tmp_path / "a.tar"
    engine.ok("save", "--format", format, "-o", str(file), "a:v1")
    found = json.loads(skopeo("inspect", "--config", place.format(file)))
    diff_ids = engine.ok("image", "inspect", "-f", "{{json .RootFS.Layers}}", "a:v1")
    assert found["rootfs"]["diff_ids"] == json.loads(diff_ids)


@pytest.mark.parametrize(
    "place", ["docker-archive:{}:b:v1", "oci-archive:{}:docker.io/library/b:v1"]
)
def test_what_skopeo_writes_is_loaded(
    engine: EngineProcess, other: EngineProcess, tmp_path: Path, place: str
) -> None:
    file, copy = tmp_path / "a.tar", tmp_path / "b.tar"
    engine.ok("save", "-o", str(file), "a:v1")
    skopeo("copy", f"docker-archive:{file}", place.format(copy))
    assert other.ok("load", "-i", str(copy)) == "Loaded image: b:v1"
    assert runs(other, "b:v1")


def test_umoci_reads_and_writes(
    engine: EngineProcess, other: EngineProcess, tmp_path: Path
) -> None:
    layout, file, back = tmp_path / "layout", tmp_path / "a.tar", tmp_path / "b.tar"
    engine.ok("save", "-o", str(file), "a:v1")
    layout.mkdir()
    subprocess.run(["tar", "-xf", str(file), "-C", str(layout)], check=True)
    subprocess.run(
        ["umoci", "config", "--image", f"{layout}:v1", "--config.env", "FROM=umoci"], check=True
    )
    for name in ("manifest.json", "repositories"):
        (layout / name).unlink()
    with tarfile.open(back, "w") as tar:
        tar.add(layout, ".")
    name = other.ok("load", "-i", str(back)).removeprefix("Loaded image: ")
    assert other.ok("run", "--rm", name, "sh", "-c", "cat /b; echo $FROM") == "a\numoci"


# ---- refusals and bad luck -------------------------------------------------------------------


def test_a_terminal_gets_no_archive(engine: EngineProcess) -> None:
    terminal, end = pty.openpty()
    try:
        done = subprocess.run(
            [*engine.argv, "save", "a:v1"],
            stdout=end,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    finally:
        os.close(terminal)
        os.close(end)
    assert "cowardly refusing to save to a terminal" in done.stderr


def test_a_place_that_is_none_is_refused(engine: EngineProcess, tmp_path: Path) -> None:
    said = engine.refused("save", "-o", str(tmp_path / "no" / "a.tar"), "a:v1")
    assert "invalid output path" in said
    assert "is a directory" in engine.refused("save", "-o", str(tmp_path), "a:v1")
    assert "No such image: nope:v1" in engine.refused("save", "-o", f"{tmp_path}/x", "nope:v1")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_ends_early_ends_the_save(engine: EngineProcess) -> None:
    with engine.popen("save", "a:v1") as saving:
        assert saving.stdout is not None
        saving.stdout.read(1000)
        saving.stdout.close()
        assert saving.wait(timeout=60) == 141


@pytest.mark.parametrize("victim", ["engine", "client"])
def test_a_load_that_is_killed_leaves_nothing_and_can_be_repeated(
    engine: EngineProcess, other: EngineProcess, tmp_path: Path, victim: str
) -> None:
    file = tmp_path / "a.tar"
    engine.ok("save", "-o", str(file), "a:v1")
    data = file.read_bytes()
    loading = other.popen("load")
    assert loading.stdin is not None
    loading.stdin.write(data[: len(data) * 2 // 3])
    loading.stdin.flush()
    tmp = other.root / "tmp"
    eventually(lambda: list(tmp.glob("layer-*/diff/*")), what="a layer is being unpacked")
    if victim == "engine":
        other.kill()
    else:
        loading.send_signal(signal.SIGKILL)
    loading.communicate(timeout=60)
    assert "a:v1" not in other.ok("images", "--format", "{{.Repository}}:{{.Tag}}")
    eventually(lambda: not list(tmp.iterdir()), what="nothing is left in tmp/")
    other.ok("load", "-i", str(file))
    assert runs(other, "a:v1")
