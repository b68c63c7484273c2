"""Indexes and manifest lists with clients that others wrote: the docker CLI, docker-py, skopeo."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from tests.conformance.clients import DockerCli, Wire, needs_docker_cli
from tests.engine_process import EngineProcess
from tests.registry_content import get_manifest, put_image, put_index
from tests.registry_process import RegistryProcess

docker_py: Any = pytest.importorskip("docker", reason="needs the docker package of PyPI")

pytestmark = [pytest.mark.root, needs_docker_cli]


def digest_of(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


@pytest.fixture(scope="module")
def seed(engine: EngineProcess, registry: RegistryProcess) -> str:
    """An image of one platform in the registry."""
    name = registry.name("app:seed")
    engine.ok("tag", "busybox", name)
    engine.ok("push", "-q", name)
    return name


@pytest.fixture(scope="module")
def index(seed: str, registry: RegistryProcess) -> str:
    """An index of three platforms in the registry."""
    source = get_manifest(registry, "app", "seed")
    platforms = ("linux/amd64", "linux/arm64/v8", "linux/arm/v7")
    entries = [put_image(registry, "app", source, platform) for platform in platforms]
    put_index(registry, "app", "1", entries)
    return registry.name("app:1")


def test_docker_py_reads_the_platforms_of_an_index(engine: EngineProcess, index: str) -> None:
    client = docker_py.DockerClient(base_url=f"unix://{engine.socket}")
    try:
        data = client.images.get_registry_data(index)
        assert data.has_platform("linux/arm64/v8")
        assert not data.has_platform("linux/s390x")
        assert data.pull("linux/arm64/v8").attrs["Architecture"] == "arm64"
    finally:
        client.close()


def test_distribution_inspect_describes_an_index_and_an_image(
    wire: Wire, index: str, seed: str, registry: RegistryProcess
) -> None:
    found = wire.ask("GET", f"/v1.51/distribution/{index}/json").json
    assert found["Descriptor"]["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert found["Descriptor"]["size"] == len(get_manifest(registry, "app", "1"))
    assert {"architecture": "arm", "os": "linux", "variant": "v7"} in found["Platforms"]
    found = wire.ask("GET", f"/distribution/{seed}/json").json
    assert found["Platforms"] == [{"architecture": "amd64", "os": "linux"}]


def test_distribution_inspect_refuses_what_a_registry_cannot_know(
    wire: Wire, registry: RegistryProcess
) -> None:
    answer = wire.ask("GET", f"/distribution/{registry.name('none:1')}/json")
    assert (answer.status, "manifest unknown" in answer.message) == (404, True)
    answer = wire.ask("GET", f"/distribution/{'a' * 64}/json")
    assert (answer.status, "no manifest found for full image ID" in answer.message) == (400, True)
    assert wire.ask("GET", "/distribution/UPPER/json").status == 400


def test_a_list_of_ours_is_the_one_that_docker_makes(
    engine: EngineProcess, docker: DockerCli, registry: RegistryProcess, seed: str
) -> None:
    source = get_manifest(registry, "app", "seed")
    platforms = ("linux/arm64/v8", "linux/amd64")
    digests = [put_image(registry, "app", source, one)["digest"] for one in platforms]
    parts = [f"{registry.name('app')}@{digest}" for digest in sorted(digests)]
    ours, theirs = registry.name("app:ours"), registry.name("app:theirs")
    for create, name in ((engine.ok, ours), (docker.ok, theirs)):
        create("manifest", "create", "--insecure", name, *parts)
        create("manifest", "annotate", "--variant", "v2", name, parts[1])
        create("manifest", "push", *(["--insecure"] if name == theirs else []), name)
    raw = get_manifest(registry, "app", "ours")
    assert raw == get_manifest(registry, "app", "theirs")
    assert engine.ok("manifest", "push", ours).splitlines()[-1] == digest_of(raw)


def test_docker_inspects_what_we_pushed_as_we_do(
    engine: EngineProcess, docker: DockerCli, registry: RegistryProcess, seed: str
) -> None:
    name = registry.name("app:inspected")
    engine.ok("manifest", "create", name, seed)
    engine.ok("manifest", "push", name)
    theirs = docker.ok("manifest", "inspect", "--insecure", name)
    assert theirs == engine.ok("manifest", "inspect", name)
    ours = json.loads(engine.ok("manifest", "inspect", "-v", seed))
    read = json.loads(docker.ok("manifest", "inspect", "--insecure", "-v", seed))
    assert ours["Descriptor"] == read["Descriptor"]
    assert (ours["Ref"], ours["SchemaV2Manifest"]) == (read["Ref"], read["SchemaV2Manifest"])


def test_docker_pulls_runs_and_pushes_a_platform_by_name(
    docker: DockerCli, registry: RegistryProcess, index: str
) -> None:
    done = docker.call("run", "--rm", "--platform", "linux/arm64", index, "echo", "ran")
    assert (done.returncode, done.stdout) == (0, "ran\n")
    done = docker.call("run", "--rm", index, "true")
    assert "WARNING: The requested image's platform (linux/arm64/v8) does not match" in done.stderr
    docker.ok("pull", "-q", index)
    copy = registry.name("app:copy")
    docker.ok("tag", index, copy)
    assert "digest: sha256:" in docker.ok("push", "--platform", "linux/arm64", copy)
    found = docker.ok("manifest", "inspect", "--insecure", "-v", copy)
    assert json.loads(found)["Descriptor"]["platform"]["architecture"] == "arm64"
    said = docker.refused("push", "--platform", "linux/s390x", copy)
    assert "does not match the specified platform (linux/s390x)" in said
    docker.ok("rmi", "-f", index, copy)


def test_a_push_of_a_list_sends_it_as_a_list(
    engine: EngineProcess, docker: DockerCli, registry: RegistryProcess, seed: str
) -> None:
    name = registry.name("app:listed")
    engine.ok("manifest", "create", name, seed)
    assert "listed: digest: sha256:" in docker.ok("push", name)
    assert "manifests" in json.loads(get_manifest(registry, "app", "listed"))
    engine.ok("manifest", "rm", name)
    assert "does not exist locally with the tag" in docker.refused("push", name)


def test_docker_says_no_such_manifest_as_we_do(
    engine: EngineProcess, docker: DockerCli, registry: RegistryProcess
) -> None:
    name = registry.name("app:missing")
    words = f"no such manifest: {name}"
    assert words in docker.refused("manifest", "inspect", "--insecure", name)
    assert words in engine.refused("manifest", "inspect", name)


def test_docker_s_own_client_shows_and_removes_one_platform(docker: DockerCli, index: str) -> None:
    for platform in ("linux/arm64", "linux/amd64"):
        docker.ok("pull", "-q", "--platform", platform, index)
    tree = docker.ok("images", "--tree", index)
    assert all(one in tree for one in (index, "├─ linux/amd64", "└─ linux/arm/v7"))
    assert "Deleted: sha256:" in docker.ok("rmi", "--platform", "linux/arm64", index)
    assert docker.ok("images", "-q", index) != ""
    docker.ok("rmi", index)
