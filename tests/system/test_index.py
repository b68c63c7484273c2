"""Image indexes: several platforms under one name, here and in a real registry."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine_process import EngineProcess
from tests.registry_content import get_manifest, put_image, put_index
from tests.registry_process import RegistryProcess

pytestmark = pytest.mark.root

PLATFORMS = ("linux/amd64", "linux/arm64/v8", "linux/s390x")


def a_multi_platform_image(
    engine: EngineProcess, registry: RegistryProcess, repository: str
) -> tuple[str, str]:
    """Put an index of PLATFORMS into the registry; return its name and digest."""
    seed = registry.name(f"{repository}:seed")
    engine.ok("tag", "busybox", seed)
    engine.ok("push", "-q", seed)
    engine.ok("rmi", seed)
    source = get_manifest(registry, repository, "seed")
    entries = [put_image(registry, repository, source, platform) for platform in PLATFORMS]
    digest = put_index(registry, repository, "1", entries)
    return registry.name(f"{repository}:1"), digest


def architecture(engine: EngineProcess, name: str) -> str:
    return engine.ok(
        "image", "inspect", "-f", "{{.Os}}/{{.Architecture}}{{with .Variant}}/{{.}}{{end}}", name
    )


def blob(engine: EngineProcess, digest: str) -> Path:
    return engine.root / "blobs" / "sha256" / digest.removeprefix("sha256:")


def test_a_pulled_index_is_kept_byte_for_byte_as_long_as_its_image(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    name, digest = a_multi_platform_image(engine, registry, "kept")
    assert f"Digest: {digest}" in engine.ok("pull", name)
    engine.ok("image", "prune", "-f")
    assert blob(engine, digest).read_bytes() == get_manifest(registry, "kept", "1")
    assert f"{registry.name('kept')}@{digest}" in engine.ok("image", "inspect", name)
    engine.ok("rmi", name)
    assert not blob(engine, digest).exists()


def test_two_platforms_of_one_name_are_here_at_once(
    engine: EngineProcess, registry: RegistryProcess, tmp_path: Path
) -> None:
    name, _ = a_multi_platform_image(engine, registry, "both")
    engine.ok("pull", "--platform", "linux/arm64", name)
    assert architecture(engine, name) == "linux/arm64/v8"
    arm = engine.ok("image", "inspect", "-f", "{{.Id}}", name)
    engine.ok("pull", name)
    assert architecture(engine, name) == "linux/amd64"
    engine.ok("image", "prune", "-f")
    digests = engine.ok("image", "inspect", "-f", "{{index .RepoDigests 0}}", arm)
    assert architecture(engine, digests) == "linux/arm64/v8"
    for platform, image in (("linux/arm64", arm), ("linux/amd64", "")):
        container = engine.ok("create", "--platform", platform, name, "true")
        made_of = engine.ok("inspect", "-f", "{{.Image}}", container)
        assert (made_of == arm) is bool(image)
        engine.ok("rm", container)
    (tmp_path / "Dockerfile").write_text(f"FROM {name}\nLABEL a=b\n")
    engine.ok("build", "-q", "--platform", "linux/arm64", "-t", "of-arm", str(tmp_path))
    assert architecture(engine, "of-arm") == "linux/arm64/v8"
    assert architecture(engine, name) == "linux/amd64", "nothing was pulled for it"
    engine.ok("rmi", "of-arm")
    engine.ok("rmi", name, arm)


def test_one_platform_of_a_name_is_removed_alone(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    name, _ = a_multi_platform_image(engine, registry, "single")
    engine.ok("pull", "-q", "--platform", "linux/arm64", name)
    arm = engine.ok("image", "inspect", "-f", "{{.Id}}", name)
    engine.ok("pull", "-q", name)
    amd = engine.ok("image", "inspect", "-f", "{{.Id}}", name)
    said = engine.refused("rmi", "--platform", "linux/s390x", name)
    assert "does not match the specified platform (linux/s390x)" in said
    assert f"Deleted: {arm}" in engine.ok("rmi", "--platform", "linux/arm64", name)
    assert engine.ok("image", "inspect", "-f", "{{.Id}}", name) == amd
    assert f"Untagged: {name}" in engine.ok("rmi", "--platform", "linux/amd64", name)
    assert "No such image" in engine.refused("image", "inspect", name)


def test_images_are_shown_with_their_platforms(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    name, _ = a_multi_platform_image(engine, registry, "shown")
    engine.ok("pull", "-q", "--platform", "linux/arm64", name)
    engine.ok("pull", "-q", name)
    container = engine.ok("create", "--platform", "linux/arm64", name, "true")
    lines = engine.ok("images", "--tree", name).splitlines()
    assert lines[0].split() == ["IMAGE", "ID", "DISK", "USAGE", "CONTENT", "SIZE", "USED"]
    assert lines[1].split()[0] == name
    shown = {line.split()[1]: line.split()[3:] for line in lines[2:]}
    assert list(shown) == list(PLATFORMS)
    assert shown["linux/s390x"][:2] == ["0B", "0B"], "it is not here"
    assert shown["linux/arm64/v8"][-1] == "✔"
    assert "✔" not in shown["linux/amd64"]
    assert "busybox:latest" in engine.ok("images", "--tree")
    engine.ok("rm", container)
    engine.ok("rmi", "--platform", "linux/arm64,linux/amd64", name)


def test_each_from_may_name_its_platform_and_args_tell_builder_and_target(
    engine: EngineProcess, registry: RegistryProcess, tmp_path: Path
) -> None:
    name, _ = a_multi_platform_image(engine, registry, "stages")
    shown = "echo $BUILDPLATFORM $TARGETPLATFORM > /platforms"
    (tmp_path / "Dockerfile").write_text(
        f"FROM --platform=$BUILDPLATFORM {name} AS builder\n"
        f"ARG BUILDPLATFORM TARGETPLATFORM\nRUN {shown}\n"
        "FROM scratch\nCOPY --from=builder /platforms /\n"
    )
    engine.ok("build", "-q", "--platform", "linux/arm64", "-t", "crossed", str(tmp_path))
    assert engine.ok("image", "inspect", "-f", "{{.Architecture}}", "crossed") == "arm64"
    container = engine.ok("create", "--platform", "linux/arm64", "crossed", "none")
    engine.ok("cp", f"{container}:/platforms", str(tmp_path))
    assert (tmp_path / "platforms").read_text().split() == ["linux/amd64", "linux/arm64"]
    engine.ok("rm", container)
    engine.ok("rmi", "crossed")


def test_run_pulls_the_platform_that_is_not_here(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    name, _ = a_multi_platform_image(engine, registry, "fetched")
    engine.ok("pull", name)
    done = engine.call("run", "--rm", "--platform", "linux/s390x", name, "echo", "ran")
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "WARNING" not in done.stderr
    done = engine.call("run", "--rm", name, "true")
    assert done.returncode == 0
    assert (
        "WARNING: The requested image's platform (linux/s390x) does not match the detected host"
        " platform (linux/amd64" in done.stderr
    )
    assert "and no specific platform was requested" in done.stderr
    engine.ok("rmi", name)
    engine.ok("image", "prune", "-af")
    engine.ok("image", "bootstrap", "busybox")


def test_a_platform_that_nobody_offers_is_refused_with_what_there_is(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    name, _ = a_multi_platform_image(engine, registry, "offered")
    said = engine.refused("pull", "--platform", "linux/riscv64", name)
    assert "no matching manifest for linux/riscv64 in the manifest list entries" in said
    assert "linux/amd64, linux/arm64/v8, linux/s390x" in said
    said = engine.refused("pull", "--platform", "fruit", name)
    assert '"fruit": unknown operating system or architecture: invalid argument' in said
