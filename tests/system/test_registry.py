"""Pull, push and login against a real registry, with skopeo as the other client."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess
from tests.registry_process import RegistryProcess, a_registry

pytestmark = pytest.mark.root


def skopeo_digest(name: str) -> str:
    done = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", "-f", "{{.Digest}}", f"docker://{name}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def top_blob(registry: RegistryProcess, name: str) -> Path:
    """The file in which the registry keeps the image's top layer."""
    manifest = json.loads(
        subprocess.run(
            ["skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{name}"],
            capture_output=True,
            check=True,
        ).stdout
    )
    hexes = str(manifest["layers"][-1]["digest"]).removeprefix("sha256:")
    return registry.data / "docker/registry/v2/blobs/sha256" / hexes[:2] / hexes / "data"


def image_id(engine: EngineProcess, name: str) -> str:
    return engine.ok("image", "inspect", "-f", "{{.Id}}", name)


def build(engine: EngineProcess, directory: Path, tag: str, layers: int = 3) -> None:
    runs = "".join(f"RUN echo {tag}-{number} > /file{number}\n" for number in range(layers))
    (directory / "Dockerfile").write_text(f"FROM busybox\n{runs}")
    engine.ok("build", "-q", "-t", tag, str(directory))


def test_what_was_pushed_comes_back_and_runs(
    engine: EngineProcess, registry: RegistryProcess, tmp_path: Path
) -> None:
    name = registry.name("there:1")
    build(engine, tmp_path, name)
    before = image_id(engine, name)
    said = engine.ok("push", name)
    assert f"digest: {skopeo_digest(name)}" in said
    engine.ok("rmi", name)
    engine.ok("builder", "prune", "-a", "-f")
    said = engine.ok("pull", name)
    assert f"Status: Downloaded newer image for {name}" in said
    assert image_id(engine, name) == before
    assert engine.ok("run", "--rm", name, "cat", "/file2") == f"{name}-2"
    assert f"Status: Image is up to date for {name}" in engine.ok("pull", name)
    engine.ok("rmi", name)


def test_the_same_layers_are_mounted_or_skipped_and_keep_their_digests(
    engine: EngineProcess, registry: RegistryProcess, tmp_path: Path
) -> None:
    first, second = registry.name("one:1"), registry.name("two:1")
    build(engine, tmp_path, first)
    engine.ok("push", first)
    engine.ok("tag", first, second)
    assert "Mounted from one" in engine.ok("push", second)
    assert "Layer already exists" in engine.ok("push", second)
    assert skopeo_digest(first) == skopeo_digest(second)
    engine.ok("rmi", first, second)


def test_an_image_of_skopeo_goes_back_byte_for_byte(
    engine: EngineProcess, registry: RegistryProcess, tmp_path: Path
) -> None:
    source, copied, back = (registry.name(f"{word}:1") for word in ("src", "copied", "back"))
    build(engine, tmp_path, source)
    engine.ok("push", source)
    words = ["skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false"]
    words += ["--dest-compress-format", "zstd", "-f", "oci"]
    subprocess.run([*words, f"docker://{source}", f"docker://{copied}"], check=True)
    engine.ok("rmi", source)
    engine.ok("builder", "prune", "-a", "-f")
    engine.ok("pull", copied)
    assert engine.ok("run", "--rm", copied, "cat", "/file0") == f"{source}-0"
    engine.ok("tag", copied, back)
    engine.ok("push", back)
    assert skopeo_digest(back) == skopeo_digest(copied)
    engine.ok("rmi", copied, back)


def test_run_and_from_pull_what_is_not_here(
    engine: EngineProcess, registry: RegistryProcess, tmp_path: Path
) -> None:
    name = registry.name("base:1")
    build(engine, tmp_path, name, layers=1)
    engine.ok("push", name)
    engine.ok("rmi", name)
    assert engine.ok("run", "--rm", name, "cat", "/file0") == f"{name}-0"
    engine.ok("rmi", name)
    (tmp_path / "Dockerfile").write_text(f"FROM {name}\nRUN cat /file0 > /copy\n")
    engine.ok("build", "-q", "-t", "child", str(tmp_path))
    assert engine.ok("run", "--rm", "child", "cat", "/copy") == f"{name}-0"
    engine.ok("rmi", "child", name)


def test_an_image_for_another_platform_than_the_wanted_one_comes_with_a_warning(
    engine: EngineProcess, registry: RegistryProcess, tmp_path: Path
) -> None:
    name = registry.name("platform:1")
    build(engine, tmp_path, name)
    engine.ok("push", name)
    said = engine.ok("pull", "--platform", "linux/s390x", name)
    assert f"WARNING: image with reference {name} was found but its platform" in said
    assert "WARNING" not in engine.ok("pull", name)
    engine.ok("rmi", name)


def test_a_missing_tag_or_repository_is_said_in_dockers_words(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    name = registry.name("nobody:7")
    said = engine.refused("pull", name)
    assert f"manifest for {name} not found: manifest unknown" in said
    said = engine.refused("push", registry.name("never-tagged"))
    assert "An image does not exist locally with the tag" in said


def test_the_tags_of_a_repository_are_listed(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    for tag in ("a", "b"):
        engine.ok("tag", "busybox", registry.name(f"listed:{tag}"))
        engine.ok("push", registry.name(f"listed:{tag}"))
    assert engine.ok("image", "tags", registry.name("listed")).split() == ["a", "b"]
    assert engine.ok("pull", "-a", registry.name("listed"))
    engine.ok("rmi", registry.name("listed:a"), registry.name("listed:b"))


def test_a_private_registry_wants_a_login_and_says_how(
    engine: EngineProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with a_registry(tmp_path, user="ann", password="secret-word") as private:
        name = private.name("mine:1")
        engine.ok("tag", "busybox", name)
        said = engine.refused("push", name)
        assert "denied: requested access to the resource is denied" in said
        assert f"pogu login {private.address}" in said
        said = engine.refused(
            "login", "-u", "ann", "--password-stdin", private.address, stdin=b"wrong\n"
        )
        assert "incorrect username or password" in said
        words = ("login", "-u", "ann", "--password-stdin", private.address)
        assert "Login Succeeded" in engine.ok(*words, stdin=b"secret-word\n")
        stored = tmp_path / "docker" / "config.json"
        assert stored.stat().st_mode & 0o777 == 0o600
        assert private.address in json.loads(stored.read_text())["auths"]
        engine.ok("push", name)
        engine.ok("rmi", name)
        engine.ok("pull", name)
        engine.ok("rmi", name)
        assert "Removing login credentials" in engine.ok("logout", private.address)
        assert "unauthorized" in engine.refused("pull", name)
    log = (engine.root / "engine.log").read_text()
    assert "secret-word" not in log


def test_a_part_of_a_blob_is_gone_on_with(
    engine: EngineProcess, registry: RegistryProcess, tmp_path: Path
) -> None:
    name = registry.name("resumed:1")
    (tmp_path / "big").write_bytes(bytes(range(256)) * 4096)
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY big /big\n")
    engine.ok("build", "-q", "-t", name, str(tmp_path))
    engine.ok("push", name)
    engine.ok("rmi", name)
    engine.ok("builder", "prune", "-a", "-f")
    blob = top_blob(registry, name)
    hexes = blob.parent.name
    half = blob.read_bytes()[: blob.stat().st_size // 2]
    (engine.root / "tmp" / f"part-{hexes}").write_bytes(half)
    engine.ok("pull", name)
    assert engine.ok("run", "--rm", name, "wc", "-c", "/big") == f"{256 * 4096} /big"
    assert not list((engine.root / "tmp").glob("part-*"))
    engine.ok("rmi", name)


def test_a_damaged_layer_is_refused_and_leaves_nothing(
    engine: EngineProcess, registry: RegistryProcess, tmp_path: Path
) -> None:
    name = registry.name("damaged:1")
    build(engine, tmp_path, name, layers=1)
    engine.ok("push", name)
    engine.ok("rmi", name)
    engine.ok("builder", "prune", "-a", "-f")
    blob = top_blob(registry, name)
    content = bytearray(blob.read_bytes())
    content[-1] ^= 0xFF
    blob.write_bytes(bytes(content))
    said = engine.refused("pull", name)
    assert "verification failed" in said or "broken" in said
    assert name not in engine.ok("images", "--format", "{{.Repository}}:{{.Tag}}")
    assert not list((engine.root / "tmp").glob("layer-*"))


def test_memory_does_not_grow_with_the_layer(
    engine: EngineProcess, registry: RegistryProcess, tmp_path: Path
) -> None:
    name = registry.name("large:1")
    (tmp_path / "large").write_bytes(os.urandom(160 << 20))
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY large /large\n")
    engine.ok("build", "-q", "-t", name, str(tmp_path))
    before = most_memory_mib(engine)
    engine.ok("push", name)
    engine.ok("rmi", name)
    engine.ok("builder", "prune", "-a", "-f")
    engine.ok("pull", name)
    assert most_memory_mib(engine) - before < 80
    engine.ok("rmi", name)


def most_memory_mib(engine: EngineProcess) -> int:
    """The most that the engine ever had resident."""
    status = Path(f"/proc/{engine.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10
