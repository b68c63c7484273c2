"""`--mount type=image`: an image's tree in a container of another image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, an_engine
from tests.registry_process import a_registry

pytestmark = pytest.mark.root

DOCKERFILE = """FROM scratch
COPY one /
COPY two /
"""
WHOLE = ("--mount", "type=image,source=tool,target=/x")
PART = ("--mount", "type=image,source=tool,target=/y,image-subpath=sub/link")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with an_engine(tmp_path_factory.mktemp("pogu")) as running:
        context = tmp_path_factory.mktemp("context")
        (context / "Dockerfile").write_text(DOCKERFILE)
        (context / "one/sub").mkdir(parents=True)
        (context / "one/sub/link").symlink_to("/two")
        (context / "two/two").mkdir(parents=True)
        (context / "two/two/file").write_text("in the image\n")
        running.ok("build", "-q", "-t", "tool", str(context))
        yield running


@pytest.fixture
def holder(engine: EngineProcess) -> Iterator[str]:
    """A running container with the image whole at /x, a part of it at /y."""
    engine.ok("run", "-d", "--name", "holder", *WHOLE, *PART, "busybox", "sleep", "1000")
    yield "holder"
    engine.ok("rm", "-f", "holder")


def test_the_tree_is_there_and_cannot_be_written(engine: EngineProcess) -> None:
    script = "ls /x; cat /y/file; touch /x/new /y/new 2>&1; true"
    said = engine.ok("run", "--rm", *WHOLE, *PART, "busybox", "sh", "-c", script)
    refusals = [f"touch: {path}: Read-only file system" for path in ("/x/new", "/y/new")]
    assert said.split("\n") == ["sub", "two", "in the image", *refusals]


def test_a_file_of_an_image_is_mounted_alone(engine: EngineProcess) -> None:
    mount = ("--mount", "type=image,source=tool,target=/etc/f,image-subpath=two/file")
    assert engine.ok("run", "--rm", *mount, "busybox", "cat", "/etc/f") == "in the image"
    engine.ok("create", "--name", "unborn", *mount, "busybox", "true")
    assert "in the image" in engine.ok("cp", "unborn:/etc/f", "-")
    engine.ok("rm", "unborn")


def test_a_part_that_is_not_there_is_named(engine: EngineProcess) -> None:
    mount = ("--mount", "type=image,source=tool,target=/x,image-subpath=three")
    said = engine.refused("run", "--rm", *mount, "busybox", "true")
    assert "cannot access path three: no such file or directory" in said


def test_it_outlives_restarts_and_a_killed_engine(engine: EngineProcess, holder: str) -> None:
    engine.ok("restart", "-t", "0", holder)
    engine.kill()
    assert engine.ok("exec", holder, "cat", "/y/file") == "in the image"
    engine.ok("stop", "-t", "0", holder)
    engine.ok("start", holder)
    assert engine.ok("exec", holder, "cat", "/y/file") == "in the image"
    assert f"{engine.run_root}/views" not in Path("/proc/self/mountinfo").read_text()
    assert list((engine.run_root / "views").iterdir()) == []


def test_an_image_in_use_stays_and_its_layers_do_in_any_case(
    engine: EngineProcess, holder: str
) -> None:
    image = engine.ok("images", "-q", "tool")
    assert "is using its referenced image" in engine.refused("rmi", "tool")
    said = engine.refused("rmi", "-f", image)
    assert "(cannot be forced) - image is being used by running container" in said
    engine.ok("image", "prune", "-af")
    assert engine.ok("images", "-q", "tool") == image
    engine.ok("tag", "tool", "kept:1")
    engine.ok("stop", "-t", "0", holder)
    engine.ok("rmi", "-f", image)
    engine.ok("start", holder)  # it stands on the layers, whatever became of the image
    assert engine.ok("exec", holder, "cat", "/y/file") == "in the image"
    engine.ok("commit", holder, "unused")
    engine.ok("rmi", "unused")


def test_inspect_says_which_image(engine: EngineProcess) -> None:
    engine.ok("create", "--name", "shown", "--mount", "type=image,src=busybox,dst=/x", "busybox")
    (mount,) = json.loads(engine.ok("inspect", "-f", "{{json .Mounts}}", "shown"))
    assert (mount["Type"], mount["Name"], mount["RW"]) == ("image", "busybox", False)
    assert mount["Source"] == engine.ok("image", "inspect", "-f", "{{.Id}}", "busybox")
    engine.ok("rm", "shown")


def test_others_inherit_it_and_cp_reads_but_does_not_write(
    engine: EngineProcess, tmp_path: Path
) -> None:
    mount = ("--mount", "type=image,src=busybox,dst=/x,image-subpath=bin")
    engine.ok("run", "-d", "--name", "first", *mount, "busybox", "sleep", "1000")
    inherited = ("--volumes-from", "first:rw", "busybox", "sh", "-c", "test -x /x/sh && touch /x/a")
    assert "Read-only file system" in engine.refused("run", "--rm", *inherited)
    (tmp_path / "file").write_text("no")
    for _ in range(2):  # while it runs, and stopped
        said = engine.refused("cp", str(tmp_path / "file"), "first:/x/file")
        assert "mounted volume is marked read-only" in said
        assert "busybox" in engine.ok("cp", "first:/x/sh", "-")  # a link
        engine.ok("stop", "-t", "0", "first")
    engine.ok("rm", "first")


def test_what_is_not_here_is_pulled_by_the_rule_of_pull(
    engine: EngineProcess, tmp_path: Path
) -> None:
    with a_registry(tmp_path) as registry:
        name = registry.name("tree:1")
        engine.ok("tag", "busybox", name)
        engine.ok("push", "-q", name)
        engine.ok("rmi", name)
        words = ("--mount", f"type=image,source={name},target=/x", "busybox", "ls", "-d", "/x/bin")
        said = engine.refused("run", "--rm", "--pull", "never", *words, code=125)
        assert f"No such image: {name}" in said
        assert engine.ok("run", "--rm", "-q", *words) == "/x/bin"
        engine.ok("rmi", name)
