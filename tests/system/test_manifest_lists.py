"""Manifest lists put together here and pushed, with skopeo as the one who reads them."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.engine_process import EngineProcess
from tests.registry_content import get_manifest, put_image, put_index
from tests.registry_process import RegistryProcess, a_registry

pytestmark = pytest.mark.root

LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def skopeo_raw(name: str) -> bytes:
    words = ["skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{name}"]
    return subprocess.run(words, capture_output=True, check=True).stdout


def skopeo_copy_all(source: str, target: str) -> None:
    words = ["skopeo", "copy", "-q", "--all", "--src-tls-verify=false", "--dest-tls-verify=false"]
    subprocess.run([*words, f"docker://{source}", target], check=True)


def pushed(engine: EngineProcess, registry: RegistryProcess, name: str) -> str:
    """Push busybox under a name and return that in full."""
    full = registry.name(name)
    engine.ok("tag", "busybox", full)
    engine.ok("push", "-q", full)
    engine.ok("rmi", full)
    return full


def three_platforms(engine: EngineProcess, registry: RegistryProcess, repository: str) -> str:
    """An index in the registry; return its name."""
    pushed(engine, registry, f"{repository}:seed")
    source = get_manifest(registry, repository, "seed")
    platforms = ("linux/amd64", "linux/arm64/v8", "linux/s390x")
    entries = [put_image(registry, repository, source, platform) for platform in platforms]
    put_index(registry, repository, "1", entries)
    return registry.name(f"{repository}:1")


def arm_of(name: str) -> str:
    """The digest of the second manifest of an index."""
    return str(json.loads(skopeo_raw(name))["manifests"][1]["digest"])


def blob(engine: EngineProcess, digest: str) -> Path:
    return engine.root / "blobs" / "sha256" / digest.removeprefix("sha256:")


def shown(engine: EngineProcess, *words: str) -> Any:
    return json.loads(engine.ok("manifest", "inspect", *words))


def test_a_list_of_two_repositories_is_pushed_and_read_by_skopeo(
    engine: EngineProcess, registry: RegistryProcess, tmp_path: Path
) -> None:
    one, other = pushed(engine, registry, "left:1"), pushed(engine, registry, "right:1")
    name = registry.name("joined:1")
    said = engine.ok("manifest", "create", name, one, other)
    assert said == f"Created manifest list {name}"
    engine.ok("manifest", "annotate", "--arch", "arm64", "--variant", "v8", name, other)
    assert engine.ok("manifest", "ls") == name
    said = engine.ok("manifest", "push", "--purge", name)
    raw = skopeo_raw(name)
    assert said.splitlines()[-1] == f"sha256:{hashlib.sha256(raw).hexdigest()}"
    assert said.count("Pushed ref") == 2
    found = json.loads(raw)
    assert found["mediaType"] == LIST
    kinds = [entry["platform"] for entry in found["manifests"]]
    assert kinds == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
    ]
    skopeo_copy_all(name, f"dir:{tmp_path / 'copied'}")
    assert engine.ok("manifest", "ls") == ""
    engine.ok("run", "--rm", name, "true")
    engine.ok("rmi", name)


def test_images_of_this_machine_go_out_with_the_list(
    engine: EngineProcess, registry: RegistryProcess, tmp_path: Path
) -> None:
    local, name = registry.name("unpushed:1"), registry.name("local:1")
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo here > /file\n")
    engine.ok("build", "-q", "-t", local, str(tmp_path))
    engine.ok("manifest", "create", name, local)
    engine.ok("rmi", local)
    engine.ok("builder", "prune", "-af")
    engine.ok("manifest", "push", name)
    assert engine.ok("run", "--rm", name, "cat", "/file") == "here"
    engine.ok("rmi", name)
    engine.ok("manifest", "rm", name)


def test_the_index_of_a_pulled_image_is_pushed_elsewhere_with_all_platforms(
    engine: EngineProcess, registry: RegistryProcess, tmp_path: Path
) -> None:
    name = three_platforms(engine, registry, "source")
    engine.ok("pull", name)
    same = registry.name("copy:1")
    engine.ok("tag", name, same)
    engine.ok("manifest", "push", same)
    assert skopeo_raw(same) == skopeo_raw(name)
    with a_registry(tmp_path) as second:
        far = second.name("far:1")
        engine.ok("tag", name, far)
        engine.ok("manifest", "push", far)
        assert skopeo_raw(far) == skopeo_raw(name)
        skopeo_copy_all(far, f"dir:{tmp_path / 'copied'}")
        config = json.loads(get_manifest(second, "far", arm_of(far)))["config"]["digest"]
        assert not blob(engine, config).exists(), "what only came through is gone again"
        engine.ok("push", far)
        assert "layers" in json.loads(skopeo_raw(far)), "a plain push sends the image"
        engine.ok("rmi", far)
    engine.ok("rmi", name, same)


def test_what_skopeo_copied_whole_is_pulled_and_inspected(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    name, copy = three_platforms(engine, registry, "whole"), registry.name("mirror:1")
    skopeo_copy_all(name, f"docker://{copy}")
    assert engine.ok("manifest", "inspect", copy).encode().strip() == skopeo_raw(copy).strip()
    verbose = shown(engine, "-v", copy)
    assert [one["Descriptor"]["platform"]["architecture"] for one in verbose] == [
        "amd64",
        "arm64",
        "s390x",
    ]
    assert all("layers" in one["OCIManifest"] for one in verbose)
    first = verbose[0]["Ref"]
    assert shown(engine, first)["layers"] == verbose[0]["OCIManifest"]["layers"]
    engine.ok("pull", "--platform", "linux/s390x", copy)
    assert engine.ok("image", "inspect", "-f", "{{.Architecture}}", copy) == "s390x"
    assert shown(engine, "--local", copy) == json.loads(skopeo_raw(copy))
    engine.ok("rmi", copy)


def test_a_list_survives_the_end_of_the_engine_and_of_its_images(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    one, name = pushed(engine, registry, "lasting:1"), registry.name("lasting:all")
    engine.ok("manifest", "create", name, one)
    engine.kill()
    engine.ok("image", "prune", "-f")
    assert shown(engine, name)["manifests"][0]["platform"]["os"] == "linux"
    assert "layers" in shown(engine, name, one)
    engine.ok("manifest", "push", name)
    engine.ok("manifest", "rm", name)


def test_what_docker_refuses_is_refused_in_its_words(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    one, name = pushed(engine, registry, "asked:1"), registry.name("asked:all")
    engine.ok("manifest", "create", name, one)
    said = engine.refused("manifest", "create", name, one)
    assert "refusing to amend an existing manifest list with no --amend flag" in said
    engine.ok("manifest", "create", "--amend", name, one)
    said = engine.refused("manifest", "annotate", "--arch", "z80", name, one)
    assert "unsupported os/arch combination: linux/z80" in said
    said = engine.refused("manifest", "annotate", "--os", "linux", name, registry.name("other:1"))
    assert f"manifest for image {registry.name('other:1')} does not exist in {name}" in said
    said = engine.refused("manifest", "create", registry.name("x:1"), registry.name("none:1"))
    assert "manifest unknown" in said
    listed = three_platforms(engine, registry, "nested")
    said = engine.refused("manifest", "create", registry.name("x:1"), listed)
    assert f"{listed} is a manifest list" in said
    said = engine.refused("manifest", "push", registry.name("x:1"))
    assert f"{registry.name('x:1')} not found" in said
    engine.ok("manifest", "rm", name)
    assert f"No such manifest: {name}" in engine.refused("manifest", "rm", name)
    assert "at least 2 arguments" in engine.refused("manifest", "create", name)
    assert "invalid reference format" in engine.refused("manifest", "create", "UP:x:y", one)


def test_an_index_of_an_oci_layout_is_tagged_and_pushed_with_all_platforms(
    engine: EngineProcess, registry: RegistryProcess, tmp_path: Path
) -> None:
    name = three_platforms(engine, registry, "packed")
    skopeo_copy_all(name, f"oci:{tmp_path / 'layout'}:boxed:1")
    subprocess.run(
        ["tar", "-cf", tmp_path / "layout.tar", "-C", tmp_path / "layout", "."], check=True
    )
    assert "boxed:1" in engine.ok("load", "-i", str(tmp_path / "layout.tar"))
    with a_registry(tmp_path) as second:
        far = second.name("far:1")
        engine.ok("tag", "boxed:1", far)
        engine.ok("rmi", "boxed:1")
        engine.ok("manifest", "push", far)
        assert skopeo_raw(far) == skopeo_raw(name)
        skopeo_copy_all(far, f"dir:{tmp_path / 'copied'}")
    kept = blob(engine, arm_of(name))
    assert kept.exists()
    engine.ok("rmi", far)
    assert not kept.exists(), "nothing of the index stays behind its image"
