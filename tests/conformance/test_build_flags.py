"""The flags of docker's builders: each works, or is refused with what to do instead."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from tests.conformance.clients import DockerCli, needs_docker_cli
from tests.engine_process import EngineProcess, eventually
from tests.registry_process import RegistryProcess

pytestmark = [pytest.mark.root, needs_docker_cli]

Build = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox AS first\nRUN echo 1\nFROM busybox\nCOPY Dockerfile /data/\nRUN ulimit -n\n"
    )
    return tmp_path


@pytest.fixture(params=["docker", "pogu"])
def build(request: pytest.FixtureRequest, docker: DockerCli, engine: EngineProcess) -> Build:
    """Docker's own client and ours."""
    call = docker.call if request.param == "docker" else engine.call
    return lambda *words: call("build", *words)


def test_limits_hold_for_run(build: Build, context: Path) -> None:
    quota = "cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null"
    (context / "Dockerfile").write_text(f"FROM busybox\nRUN ulimit -n; {quota} || true\n")
    limits = ["--ulimit", "nofile=123:456", "--cpu-period", "50000", "--cpu-quota", "20000"]
    done = build("--no-cache", *limits, "-c", "512", "--cpuset-mems", "0", str(context))
    assert done.returncode == 0, done.stderr
    assert "123\n" in done.stdout + done.stderr
    assert "20000" in done.stdout + done.stderr


def test_what_asks_for_nothing_here_is_taken(build: Build, context: Path) -> None:
    words = ["--compress", "--isolation", "default", "--cache-from", "busybox", "--force-rm"]
    memory = ["-m", "64m", "--memory-swap", "-1", "--disable-content-trust"]
    done = build(*words, *memory, str(context))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--security-opt", "seccomp=x"], "does not support setting security options on build"),
        (["--squash"], "experimental"),
        (["--isolation", "hyperv"], 'Unsupported isolation: "hyperv"'),
        (["--ulimit", "fruit=1"], "invalid ulimit type: fruit"),
        (["-m", "8m", "--memory-swap", "4m"], "should be larger than memory limit"),
    ],
)
def test_what_docker_refuses_is_refused(
    build: Build, context: Path, words: list[str], expected: str
) -> None:
    done = build(*words, str(context))
    assert done.returncode != 0
    assert expected in done.stderr


@pytest.mark.parametrize(
    "flag",
    [
        "secret id=x",
        "ssh default",
        "build-context a=b",
        "cache-to type=inline",
        "check",
        "call lint",
        "attest type=sbom",
        "provenance true",
        "sbom true",
        "annotation a=b",
        "allow network.host",
    ],
)
def test_what_belongs_to_buildkit_is_refused_with_what_to_do(
    engine: EngineProcess, context: Path, flag: str
) -> None:
    said = engine.refused("build", *f"--{flag}".split(), str(context))
    assert "BuildKit" in said or "is not supported for the docker driver" in said
    assert "\nhint: " in said


def test_what_is_off_asks_for_nothing(engine: EngineProcess, context: Path) -> None:
    off = ["--provenance=false", "--sbom=false", "--builder", "default", "--load", "--squash=false"]
    engine.ok("build", "-q", *off, "-o", "type=docker", str(context))


def test_one_stage_takes_nothing_from_the_cache(engine: EngineProcess, context: Path) -> None:
    (context / "Dockerfile").write_text(
        "FROM busybox AS first\nRUN cat /proc/sys/kernel/random/uuid > /1\n"
        "FROM busybox AS second\nRUN cat /proc/sys/kernel/random/uuid > /2\n"
        "FROM busybox\nCOPY --from=first /1 /\nCOPY --from=second /2 /\n"
    )

    def times(*words: str) -> list[str]:
        image = engine.ok("build", "-q", *words, str(context))
        return engine.ok("run", "--rm", image, "cat", "/1", "/2").split()

    before = times()
    after = times("--no-cache-filter", "second")
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_the_groups_of_run_have_the_parent_that_is_asked_for(
    engine: EngineProcess, context: Path
) -> None:
    (context / "Dockerfile").write_text("FROM busybox\nRUN sleep 1\n")
    top = Path("/sys/fs/cgroup")
    running = engine.popen(
        "build", "--no-cache", "--cgroup-parent", "/pogu-of-builds", str(context)
    )

    def groups() -> list[Path]:
        parents = [*top.glob("pogu-of-builds"), *top.glob("*/pogu-of-builds")]
        return [group for parent in parents for group in parent.glob("build-*")]

    eventually(groups)
    running.communicate(timeout=30)
    assert running.returncode == 0
    eventually(lambda: not groups())
    for parent in [*top.glob("pogu-of-builds"), *top.glob("*/pogu-of-builds")]:
        with contextlib.suppress(OSError):
            parent.rmdir()


def test_the_files_of_what_was_built_are_written(engine: EngineProcess, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile a/b/\n")
    out, archive = context / "out" / "deep", context / "files.tar"
    engine.ok("build", "-o", str(out), "-o", f"type=tar,dest={archive}", str(context))
    assert (out / "a" / "b" / "Dockerfile").read_bytes() == (context / "Dockerfile").read_bytes()
    with tarfile.open(archive) as tar:
        assert "a/b/Dockerfile" in tar.getnames()
    assert engine.ok("ps", "-aq") == ""


def test_the_files_go_to_standard_output(engine: EngineProcess, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /x\n")
    process = engine.popen("build", "-o", "-", str(context))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        assert "x" in tar.getnames()


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("type=local", "dest is required for local exporter"),
        ("type=fruit", "unsupported output type 'fruit'"),
        ("type=oci,dest=x.tar", "pogu save -o x.tar NAME"),
        ("type=registry", "tag is needed when pushing to registry"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_the_build(
    engine: EngineProcess, context: Path, output: str, expected: str
) -> None:
    said = engine.refused("build", "--output", output, str(context))
    assert expected in said
    assert "Step 1" not in said


def test_an_output_may_name_the_image(
    engine: EngineProcess, context: Path, registry: RegistryProcess
) -> None:
    name = registry.name("named:1")
    engine.ok("build", "-q", "-o", f"type=image,name={name},push=true", str(context))
    engine.ok("rmi", name)
    engine.ok("pull", "-q", name)
    engine.ok("rmi", name)


def test_what_was_built_is_pushed_and_described(
    engine: EngineProcess, context: Path, registry: RegistryProcess
) -> None:
    name, metadata = registry.name("built:1"), context / "metadata.json"
    engine.ok("build", "-t", name, "--push", "--metadata-file", str(metadata), str(context))
    found = json.loads(metadata.read_text())
    assert found["image.name"] == name
    assert found["containerimage.config.digest"] == engine.ok("images", "-q", "--no-trunc", name)
    engine.ok("rmi", name)
    engine.ok("pull", "-q", name)
    engine.ok("rmi", name)
