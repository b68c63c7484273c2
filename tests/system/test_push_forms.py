"""The forms in which a push sends an image: compression, platform, layers that may not go out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.engine_process import EngineProcess
from tests.registry_content import MANIFEST, get_manifest, has_blob, put_manifest
from tests.registry_process import RegistryProcess

pytestmark = pytest.mark.root


def build(engine: EngineProcess, directory: Path, name: str, base: str = "busybox") -> None:
    (directory / "file").write_text(f"{name}\n")
    os.utime(directory / "file", (1, 1))
    (directory / "Dockerfile").write_text(f"FROM {base}\nCOPY file /file\n")
    engine.ok("build", "-q", "-t", name, str(directory))


def manifest(registry: RegistryProcess, repository: str, tag: str = "1") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(get_manifest(registry, repository, tag))
    return found


def forget(engine: EngineProcess, *names: str) -> None:
    engine.ok("rmi", *names)
    engine.ok("builder", "prune", "-af")


def test_zstd_goes_out_in_oci_form_and_comes_back(
    engine: EngineProcess, registry: RegistryProcess, tmp_path: Path
) -> None:
    name = registry.name("zstd:1")
    build(engine, tmp_path, name)
    engine.ok("push", "--compression", "zstd", name)
    found = manifest(registry, "zstd")
    assert found["mediaType"] == MANIFEST
    assert found["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    kinds = {layer["mediaType"] for layer in found["layers"]}
    assert kinds == {"application/vnd.oci.image.layer.v1.tar+zstd"}
    image = engine.ok("image", "inspect", "-f", "{{.Id}}", name)
    forget(engine, name)
    engine.ok("pull", name)
    assert engine.ok("image", "inspect", "-f", "{{.Id}}", name) == image
    assert engine.ok("run", "--rm", name, "cat", "/file") == name
    engine.ok("push", name)
    assert manifest(registry, "zstd") == found, "it goes back as it came"
    forget(engine, name)


def test_each_compression_has_a_digest_of_its_own_that_stays(
    engine: EngineProcess, registry: RegistryProcess, tmp_path: Path
) -> None:
    name = registry.name("stable:1")
    build(engine, tmp_path, name, "scratch")
    ways: tuple[tuple[str, ...], ...] = (
        (),
        ("--compression", "zstd"),
        ("--compression-level", "9"),
        ("--compression", "gzip"),
    )
    first = []
    for way in ways:
        engine.ok("push", *way, name)
        first.append(get_manifest(registry, "stable", "1"))
    assert len(set(first)) == 3
    assert first[0] == first[3], "gzip is what a push does by itself"
    forget(engine, name)
    build(engine, tmp_path, name, "scratch")
    for way, before in zip(ways, first, strict=True):
        engine.ok("push", *way, name)
        assert manifest(registry, "stable")["layers"] == json.loads(before)["layers"]
    forget(engine, name)


def test_a_wrong_compression_is_refused_with_what_there_is(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    name = registry.name("refused:1")
    engine.ok("tag", "busybox", name)
    said = engine.refused("push", "--compression", "xz", name)
    assert 'invalid compression "xz"' in said
    assert "gzip and zstd" in said
    said = engine.refused("push", "--compression-level", "99", name)
    assert 'invalid compression level "99"' in said
    assert "1 to 9" in said
    said = engine.refused("push", "--platform", "linux/arm64", name)
    assert "its platform (linux/amd64) does not match the specified platform (linux/arm64)" in said
    said = engine.refused("push", f"{registry.name('refused')}@sha256:{'a' * 64}")
    assert "cannot push a digest reference" in said
    said = engine.refused("push", "-a", name)
    assert "tag can't be used with --all-tags/-a" in said
    engine.ok("rmi", name)


def test_every_tag_of_a_repository_goes_out_with_all_tags(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    for tag in ("1", "2"):
        engine.ok("tag", "busybox", registry.name(f"every:{tag}"))
    said = engine.ok("push", "--all-tags", registry.name("every"))
    assert "1: digest: sha256:" in said
    assert "2: digest: sha256:" in said
    assert engine.ok("push", "-aq", registry.name("every")) == registry.name("every")
    assert manifest(registry, "every", "1") == manifest(registry, "every", "2")
    engine.ok("rmi", registry.name("every:1"), registry.name("every:2"))


def test_a_layer_that_may_not_be_passed_on_stays_here(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    seed = registry.name("foreign:seed")
    engine.ok("tag", "busybox", seed)
    engine.ok("push", "-q", seed)
    made = manifest(registry, "foreign", "seed")
    layer = made["layers"][0]
    layer["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    layer["urls"] = ["https://example.test/layer"]
    raw = json.dumps(made).encode()
    kind = made["mediaType"]
    put_manifest(registry, "foreign", "1", raw, kind)
    engine.ok("rmi", seed, "busybox")
    engine.ok("builder", "prune", "-af")
    name, copy = registry.name("foreign:1"), registry.name("elsewhere:1")
    engine.ok("pull", name)
    engine.ok("tag", name, copy)
    assert "Skipped foreign layer" in engine.ok("push", copy)
    assert get_manifest(registry, "elsewhere", "1") == raw
    assert not has_blob(registry, "elsewhere", layer["digest"])
    engine.ok("rmi", name, copy)
    engine.ok("image", "bootstrap", "busybox")
