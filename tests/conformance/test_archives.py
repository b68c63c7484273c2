"""Save and load with the docker CLI and docker-py."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.archives import a_file, a_tar
from tests.conformance.clients import DockerCli, Terminal, Wire, needs_docker_cli
from tests.engine_process import EngineProcess

docker_py: Any = pytest.importorskip("docker", reason="needs the docker package of PyPI")

# docker-py leaves its streams' sockets to the garbage collector.
pytestmark = [
    pytest.mark.root,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def built(docker: DockerCli, name: str) -> str:
    text = f"FROM busybox\nRUN echo {name} > /name\n".encode()
    return docker.ok("build", "-q", "-t", name, "-", stdin=text)


@needs_docker_cli
def test_docker_saves_and_loads(docker: DockerCli, tmp_path: Path) -> None:
    image = built(docker, "kept:v1")
    docker.ok("save", "-o", str(tmp_path / "kept.tar"), "kept:v1")
    docker.ok("rmi", "kept:v1")
    said = docker.ok("load", "-i", str(tmp_path / "kept.tar"))
    assert said.splitlines()[-1] == "Loaded image: kept:v1"
    assert docker.inspect("kept:v1", "image")["Id"] == image
    assert docker.run("kept:v1", "cat", "/name") == "kept:v1"


@needs_docker_cli
def test_docker_load_tells_of_the_image_that_lost_its_name(
    docker: DockerCli, tmp_path: Path
) -> None:
    built(docker, "lost:v1")
    docker.ok("save", "-o", str(tmp_path / "lost.tar"), "lost:v1")
    docker.ok("tag", "busybox", "lost:v1")
    said = docker.ok("load", "-q", "-i", str(tmp_path / "lost.tar"))
    assert said.startswith("The image lost:v1 already exists, renaming the old one with ID sha256:")
    assert said.endswith("Loaded image: lost:v1")


@needs_docker_cli
def test_docker_save_of_several_has_all_of_their_names(docker: DockerCli, tmp_path: Path) -> None:
    built(docker, "one:v1")
    docker.ok("tag", "one:v1", "one:v2")
    docker.ok("save", "-o", str(tmp_path / "all.tar"), "one", "busybox:latest")
    with tarfile.open(tmp_path / "all.tar") as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        images = json.load(manifest)
    assert [one["RepoTags"] for one in images] == [["one:v1", "one:v2"], ["busybox:latest"]]


@needs_docker_cli
def test_docker_is_refused_in_its_words(docker: DockerCli, tmp_path: Path) -> None:
    target = str(tmp_path / "x.tar")
    assert "No such image: nope:v1" in docker.refused("save", "-o", target, "nope:v1")
    root = a_tar([a_file("hello", b"x")]).read()
    said = docker.refused("load", stdin=root)
    assert "open manifest.json: no such file or directory" in said
    assert "invalid tar header" in docker.refused("load", stdin=b"x" * 1000)


@needs_docker_cli
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("gone", "its directory is missing"),
        ("changed", "is damaged on disk: its content has the digest"),
        ("changed late", "unexpected EOF"),
    ],
)
def test_docker_save_of_a_damaged_layer_fails_and_says_why_unless_it_is_late(
    docker: DockerCli, engine: EngineProcess, tmp_path: Path, damage: str, said: str
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY big /precious\n")
    (tmp_path / "big").write_bytes(bytes(4 << 20 if damage == "changed late" else 100))
    engine.ok("build", "-t", "hurt:v1", str(tmp_path))
    (stored,) = (engine.root / "layers").glob("*/diff/precious")
    if damage == "gone":
        shutil.rmtree(stored.parent)
    else:
        stored.write_bytes(b"x" * stored.stat().st_size)
    assert said in docker.refused("save", "-o", str(tmp_path / "hurt.tar"), "hurt:v1")
    engine.ok("rmi", "-f", "hurt:v1")
    engine.ok("builder", "prune", "-af")


def test_docker_py_saves_and_loads(wire: Wire) -> None:
    client = docker_py.DockerClient(base_url=f"unix://{wire.path}", version="1.45")
    try:
        image = client.images.get("busybox")
        data = b"".join(image.save(named=True))
        client.images.get("busybox").tag("spare")
        (loaded,) = client.images.load(data)
        assert (loaded.id, "busybox:latest" in loaded.tags) == (image.id, True)
        client.images.remove("spare")
    finally:
        client.close()


def test_the_answers_of_get_and_load_are_dockers(wire: Wire) -> None:
    saved = wire.ask("GET", "/images/get?names=busybox:latest&names=busybox:latest")
    assert (saved.status, saved.headers["Content-Type"]) == (200, "application/x-tar")
    with tarfile.open(fileobj=io.BytesIO(saved.body)) as tar:
        assert "manifest.json" in tar.getnames()
    assert wire.ask("GET", "/images/busybox/get").body == saved.body
    assert wire.ask("GET", "/images/nope/get").status == 404
    loaded = wire.ask("POST", "/images/load?quiet=1", body=saved.body)
    assert json.loads(loaded.body) == {"stream": "Loaded image: busybox:latest\n"}
    platform = quote('{"os":"linux","architecture":"s390x"}')
    refused = wire.ask("GET", f"/images/busybox/get?platform={platform}")
    assert "does not provide the specified platform" in refused.message


def test_load_draws_its_progress_on_a_terminal_only(
    engine: EngineProcess, docker: DockerCli, tmp_path: Path
) -> None:
    file = str(tmp_path / "image.tar")
    engine.ok("import", "-", "drawn", stdin=a_tar([a_file("seen", bytes(8 << 20))]).getvalue())
    engine.ok("save", "-o", file, "drawn")
    engine.ok("rmi", "drawn")
    with Terminal([*engine.argv, "load", "-i", file], docker.environment()) as screen:
        screen.expect("Loading layer")
        screen.expect("Loaded image: drawn:latest")
        assert screen.wait() == 0
    engine.ok("rmi", "drawn")
    assert engine.ok("load", "-i", file) == "Loaded image: drawn:latest"
    engine.ok("rmi", "drawn")
