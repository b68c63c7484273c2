"""What pull and push say while they go on, in Docker's words and order."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, an_engine, eventually
from tests.fakes.cutting_proxy import Rule, a_cutting_proxy
from tests.registry_process import RegistryProcess, a_registry

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("progress")


@pytest.fixture(scope="module")
def registry(directory: Path) -> Iterator[RegistryProcess]:
    with a_registry(directory) as one:
        yield one


@pytest.fixture(scope="module")
def engine(directory: Path) -> Iterator[EngineProcess]:
    with an_engine(directory) as one:
        yield one


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def lines(engine: EngineProcess, path: str) -> list[dict[str, object]]:
    connection = _UnixConnection(engine.socket)
    connection.request("POST", path, headers={"X-Registry-Auth": "e30="})
    answer = connection.getresponse().read()
    connection.close()
    return [json.loads(line) for line in answer.splitlines()]


def statuses(answer: list[dict[str, object]], layer: object) -> list[str]:
    """What is said of a layer, each word once."""
    return list(dict.fromkeys(str(one["status"]) for one in answer if one.get("id") == layer))


def test_a_layer_is_followed_in_dockers_words(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    name = registry.name("words/busybox")
    engine.ok("tag", "busybox", f"{name}:1")
    pushed = lines(engine, f"/images/{name}/push?tag=1")
    (layer,) = {one["id"] for one in pushed if one.get("status") == "Pushed"}
    assert statuses(pushed, layer) == ["Preparing", "Pushing", "Pushed"]

    engine.ok("rmi", "-f", f"{name}:1", "busybox")
    pulled = lines(engine, f"/images/create?fromImage={name}&tag=1")
    (layer,) = {one["id"] for one in pulled if one.get("status") == "Pull complete"}
    assert statuses(pulled, layer) == [
        "Pulling fs layer",
        "Downloading",
        "Verifying Checksum",
        "Download complete",
        "Extracting",
        "Pull complete",
    ]
    moving = [one for one in pulled if one.get("status") in ("Downloading", "Extracting")]
    assert all(one["progressDetail"]["total"] > 0 for one in moving)  # type: ignore[index]

    again = lines(engine, f"/images/create?fromImage={name}&tag=1")
    assert statuses(again, layer) == ["Already exists"]
    again = lines(engine, f"/images/{name}/push?tag=1")
    assert "Layer already exists" in {one.get("status") for one in again}


def test_both_pulls_that_share_a_layer_show_how_far_it_is(
    engine: EngineProcess, registry: RegistryProcess, directory: Path
) -> None:
    (directory / "big").write_bytes(os.urandom(1 << 20))
    (directory / "Dockerfile").write_text("FROM scratch\nCOPY big /big\n")
    engine.ok("build", "-q", "-t", registry.name("shared:1"), str(directory))
    engine.ok("push", "-q", registry.name("shared:1"))
    engine.ok("rmi", registry.name("shared:1"))
    engine.ok("builder", "prune", "-a", "-f")
    with a_cutting_proxy(registry.address) as proxy, ThreadPoolExecutor() as pool:
        proxy.rules.append(Rule(match="GET .*/blobs/", times=9, piece_pause_s=0.02))
        path = f"/images/create?fromImage={proxy.address}/shared&tag=1"
        first = pool.submit(lines, engine, path)
        eventually(lambda: any(part.stat().st_size for part in engine.root.glob("tmp/part-*")))
        second = pool.submit(lines, engine, path)
        (layer,) = {one["id"] for one in first.result() if one.get("status") == "Pull complete"}
        told = statuses(second.result(), layer)
        engine.ok("rmi", f"{proxy.address}/shared:1")
    assert told == ["Pulling fs layer", "Downloading", "Pull complete"]
