"""The engine dies at every durable step of its work on images; the next command finds them whole.

`POGU_CRASH_FILE` (`pogu/crash_point.py`) chooses the step, so that every one of them is met.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sqlite3
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, an_engine, eventually
from tests.registry_process import RegistryProcess, a_registry

from pogu.oci.digest import chain_ids
from pogu.storage.diff import write_journaled_tar, write_layer_tar
from pogu.storage.journal import read_journal

pytestmark = pytest.mark.root

MOST = int(os.environ.get("POGU_CRASH_POINTS", "6"))
"""Points of one command, spread over its steps; 9999 takes every one."""
ENDLESS = 1 << 30


class Sha256:
    """A tar sink."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._hash.update(data)

    def __str__(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What the storage root holds; two of them are equal when nothing is left over or lost."""

    images: frozenset[str]
    tags: frozenset[tuple[str, str]]
    layers: frozenset[str]
    blobs: frozenset[str]


def rows(engine: EngineProcess, sql: str) -> list[tuple[object, ...]]:
    with contextlib.closing(
        sqlite3.connect(f"file:{engine.root}/state.db?mode=ro", uri=True)
    ) as db:
        return db.execute(sql).fetchall()


def diff_id(directory: Path) -> str:
    sink = Sha256()
    if (directory / "journal").exists():
        write_journaled_tar(directory / "diff", read_journal(directory / "journal"), sink)
    else:
        write_layer_tar(directory / "diff", sink)
    return str(sink)


def whole(engine: EngineProcess) -> Stored:
    """Verify every byte that is stored against its digest, every row against the disk."""
    layers = {
        str(row[0]): (str(row[1]), str(row[2]))
        for row in rows(engine, "SELECT chain_id, short_id, diff_id FROM layers")
    }
    on_disk = {path.name for path in (engine.root / "layers").iterdir()}
    assert on_disk == {short for short, _ in layers.values()}
    for short, expected in layers.values():
        assert diff_id(engine.root / "layers" / short) == expected, short
    images = rows(engine, "SELECT id, config FROM images")
    for image_id, config in images:
        assert isinstance(config, bytes)
        assert f"sha256:{hashlib.sha256(config).hexdigest()}" == image_id
        assert set(chain_ids(json.loads(config)["rootfs"]["diff_ids"])) <= set(layers)
    blobs = {f"sha256:{path.name}" for path in (engine.root / "blobs" / "sha256").iterdir()}
    for digest in blobs:
        content = (engine.root / "blobs" / "sha256" / digest[7:]).read_bytes()
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == digest
    for table in ("manifests", "indexes"):
        assert {str(row[0]) for row in rows(engine, f"SELECT digest FROM {table}")} <= blobs
    tags = rows(engine, "SELECT reference, image_id FROM tags")
    return Stored(
        images=frozenset(str(row[0]) for row in images),
        tags=frozenset((str(name), str(image)) for name, image in tags),
        layers=frozenset(layers),
        blobs=frozenset(blobs),
    )


def points(count: int) -> list[int]:
    """Some of 1 to `count`, the first and the last among them."""
    if count <= MOST:
        return list(range(1, count + 1))
    return sorted({1 + number * (count - 1) // (MOST - 1) for number in range(MOST)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An engine that can be killed at its n-th step, and a registry."""

    engine: EngineProcess
    registry: RegistryProcess
    crash_file: Path
    directory: Path

    def settled(self) -> Stored:
        """The next command after a kill: all is whole, of the unfinished only parts are left."""
        self.engine.ok("images", "-a")
        tmp = self.engine.root / "tmp"

        def only_parts() -> bool:
            return all(path.name.startswith("part-") for path in tmp.iterdir())

        eventually(only_parts, what="tmp/ holds nothing but parts")
        assert f"{self.engine.root}/" not in Path("/proc/self/mountinfo").read_text()
        return whole(self.engine)

    def steps(self, words: tuple[str, ...], stdin: bytes = b"") -> int:
        """Run a command to its end and count."""
        self.engine.ok("ps", "-q")
        self.crash_file.write_text(str(ENDLESS))
        self.engine.ok(*words, stdin=stdin)
        left = int(self.crash_file.read_text())
        self.crash_file.unlink()
        return ENDLESS - left

    def dies_at(self, step: int, words: tuple[str, ...], stdin: bytes = b"") -> int:
        """Run a command whose engine dies at that step; return the command's exit code."""
        self.engine.ok("ps", "-q")
        self.crash_file.write_text(str(step))
        code = self.engine.call(*words, stdin=stdin).returncode
        eventually(lambda: not self.crash_file.exists(), what=f"step {step} comes")
        eventually(lambda: self.engine.pid == 0, what="the engine is dead")
        return code

    def at_many_steps(
        self,
        *words: str,
        before: Callable[[], object] = lambda: None,
        done: Callable[[], object],
        undo: Callable[[], object],
        stdin: bytes = b"",
    ) -> None:
        """`before`, the command killed at a step, what came of it, the command again where it was
        not acknowledged, `done`, `undo`: all must be as it was."""
        before()
        count = self.steps(words, stdin)
        done()
        undo()
        start = self.settled()
        for step in points(count):
            before()
            acknowledged = self.dies_at(step, words, stdin) == 0
            self.settled()
            if not acknowledged:
                again = self.engine.call(*words, stdin=stdin)
                print(f"step {step} of {count}, again: {again.returncode} {again.stderr}")
            done()
            undo()
            assert self.settled() == start, f"killed at step {step} of {count} of {words}"

    def prune(self) -> None:
        self.engine.ok("builder", "prune", "-a", "-f")
        self.engine.ok("image", "prune", "-f")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("pogu")
    crash_file = directory / "crash"
    patch = pytest.MonkeyPatch()
    patch.setenv("POGU_CRASH_FILE", str(crash_file))
    try:
        with an_engine(directory) as engine, a_registry(directory) as registry:
            made = Place(
                engine=engine, registry=registry, crash_file=crash_file, directory=directory
            )
            build_and_push(made)
            yield made
    finally:
        patch.undo()


def build_and_push(place: Place) -> None:
    """Leave `app:1` of two layers in the registry and nothing of it here."""
    (place.directory / "Dockerfile").write_text("FROM busybox\nCOPY one /\nCOPY two /\n")
    for name in ("one", "two"):
        (place.directory / name).write_text(name)
    name = place.registry.name("app:1")
    place.engine.ok("build", "-q", "-t", name, str(place.directory))
    place.engine.ok("push", name)
    place.engine.ok("rmi", name)
    place.prune()


def runs(place: Place, name: str) -> None:
    assert place.engine.ok("run", "--rm", name, "cat", "/two") == "two"


def test_pull(place: Place) -> None:
    name = place.registry.name("app:1")
    place.at_many_steps(
        "pull", name, done=lambda: runs(place, name), undo=lambda: place.engine.ok("rmi", name)
    )


def test_pull_killed_in_the_midst_of_a_transfer(place: Place, tmp_path: Path) -> None:
    """Between the steps: while bytes come in and are unpacked."""
    name, content = place.registry.name("big:1"), os.urandom(48 << 20)
    (tmp_path / "two").write_bytes(content)
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY two /\n")
    place.engine.ok("build", "-q", "-t", name, str(tmp_path))
    place.engine.ok("push", name)
    place.engine.ok("rmi", name)
    place.prune()
    start = place.settled()
    began = time.monotonic()
    place.engine.ok("pull", name)
    whole_s = time.monotonic() - began
    for part in (0.2, 0.4, 0.6, 0.8):
        place.engine.ok("rmi", name)
        assert place.settled() == start
        command = place.engine.popen("pull", name)
        time.sleep(part * whole_s)  # the point in time is what is tested
        place.engine.kill()
        command.communicate(timeout=60)
        place.settled()
        place.engine.ok("pull", name)
        said = place.engine.ok("run", "--rm", name, "sha256sum", "/two")
        assert said.split()[0] == hashlib.sha256(content).hexdigest()
    place.engine.ok("rmi", name)
    assert place.settled() == start


def test_push(place: Place, tmp_path: Path) -> None:
    """Every time other content, under another name, so that all of it is sent."""
    numbers = iter(range(1000))
    name = place.registry.name("sent:1")

    def build() -> None:
        (tmp_path / "two").write_text("two")
        (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY two /\nRUN echo $RANDOM > /x\n")
        place.engine.ok("build", "-q", "-t", name, "--label", f"n={next(numbers)}", str(tmp_path))

    def pull_back() -> None:
        place.engine.ok("rmi", name)
        place.prune()
        place.engine.ok("pull", name)
        runs(place, name)

    def remove() -> None:
        place.engine.ok("rmi", name)
        place.prune()

    place.at_many_steps("push", name, before=build, done=pull_back, undo=remove)


def test_rmi(place: Place) -> None:
    name = place.registry.name("app:1")

    def is_gone() -> None:
        assert "No such image" in place.engine.refused("image", "inspect", name)

    place.at_many_steps(
        "rmi", name, before=lambda: place.engine.ok("pull", name), done=is_gone, undo=place.prune
    )


def test_prune(place: Place) -> None:
    name = place.registry.name("app:1")

    def is_gone() -> None:
        assert "No such image" in place.engine.refused("image", "inspect", name)

    place.engine.ok("create", "--name", "keeps-busybox", "busybox")
    place.at_many_steps(
        "image",
        "prune",
        "-a",
        "-f",
        before=lambda: place.engine.ok("pull", name),
        done=is_gone,
        undo=place.prune,
    )
    place.engine.ok("rm", "-f", "keeps-busybox")


def a_tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size = 1 << 20
        tar.addfile(member, io.BytesIO(bytes(range(256)) * 4096))
    return file.getvalue()


def test_import(place: Place) -> None:
    """An import that was acknowledged at the last moment and one that is repeated are two images:
    their times differ."""

    def remove() -> None:
        place.engine.ok("rmi", "made:1")
        place.prune()

    place.at_many_steps(
        "import",
        "-",
        "made:1",
        stdin=a_tar(),
        done=lambda: place.engine.ok("image", "inspect", "made:1"),
        undo=remove,
    )


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_load(place: Place, tmp_path: Path, kind: str) -> None:
    name, file = place.registry.name("app:1"), tmp_path / "archive.tar"
    words = ["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false"]
    subprocess.run([*words, f"docker://{name}", f"{kind}:{file}:app:1"], check=True)

    def is_there() -> None:
        (tag,) = [word for word in listed(place) if "app" in word]
        runs(place, tag)

    def remove() -> None:
        place.engine.ok("rmi", *[word for word in listed(place) if "app" in word])
        place.prune()

    place.at_many_steps("load", "-i", str(file), done=is_there, undo=remove)


def listed(place: Place) -> list[str]:
    return place.engine.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split()


def test_tag(place: Place) -> None:
    place.at_many_steps(
        "tag",
        "busybox",
        "other:1",
        done=lambda: place.engine.ok("run", "--rm", "other:1", "true"),
        undo=lambda: place.engine.ok("rmi", "other:1"),
    )


def test_an_engine_that_dies_while_it_recovers_recovers_the_next_time(place: Place) -> None:
    name = place.registry.name("app:1")
    place.engine.ok("pull", name)
    place.engine.ok("rmi", name)
    start = place.settled()
    count = place.steps(("pull", name))
    place.engine.ok("rmi", name)
    for step in range(1, min(MOST, 8)):
        place.dies_at(count // 2, ("pull", name))
        place.crash_file.write_text(str(step))
        place.engine.call("ps")
        place.crash_file.unlink(missing_ok=True)
        place.settled()
        place.prune()
        assert place.settled() == start
    place.engine.ok("pull", name)
    runs(place, name)
    place.engine.ok("rmi", name)
    assert place.settled() == start
