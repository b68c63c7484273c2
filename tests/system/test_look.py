"""Pruning goes by its plan, sizes add up to what du says."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.clients import Wire
from tests.engine_process import EngineProcess

pytestmark = pytest.mark.root


def build(engine: EngineProcess, directory: Path, tag: str, *lines: str) -> str:
    """Build an image of these instructions on busybox; return its ID."""
    (directory / "Dockerfile").write_text("\n".join(["FROM busybox", *lines]) + "\n")
    engine.ok("build", "-q", "-t", tag, str(directory))
    return engine.ok("image", "inspect", "-f", "{{.Id}}", tag)


def planned(said: str) -> str:
    """Turn what a dry run says into what the deed says."""
    said = re.sub("^Would delete (.*):$", r"Deleted \1:", said, flags=re.M)
    return said.replace("Total space that would be reclaimed:", "Total reclaimed space:")


@pytest.fixture
def clutter(engine: EngineProcess, tmp_path: Path) -> Iterator[EngineProcess]:
    """Something of every kind that a prune may take, and something that it must not."""
    build(engine, tmp_path, "old", "RUN head -c 70000 /dev/zero > /old")
    build(engine, tmp_path, "old", "RUN head -c 50000 /dev/zero > /new")
    build(engine, tmp_path, "used", "RUN head -c 30000 /dev/zero > /used")
    build(engine, tmp_path, "free", "RUN head -c 20000 /dev/zero > /free", "ENV a=b")
    engine.ok("run", "--name", "stopped", "-v", "/data", "used", "sh", "-c", "echo hello > /f")
    engine.ok("run", "-d", "--name", "running", "old", "sleep", "1000")
    engine.ok("volume", "create", "named")
    anonymous = engine.ok("volume", "create")
    volume = engine.ok("volume", "inspect", "-f", "{{.Mountpoint}}", anonymous)
    Path(volume, "file").write_bytes(b"x" * 1000)
    yield engine
    engine.ok("rm", "-f", "running")
    engine.ok("system", "prune", "-af", "--volumes")
    engine.ok("volume", "prune", "-af")
    engine.ok("image", "bootstrap", "busybox")


@pytest.mark.parametrize(
    "command",
    [
        ("container", "prune"),
        ("volume", "prune"),
        ("volume", "prune", "-a"),
        ("image", "prune"),
        ("image", "prune", "-a"),
        ("builder", "prune"),
        ("builder", "prune", "-a"),
        ("system", "prune"),
        ("system", "prune", "-a"),
        ("system", "prune", "-a", "--volumes"),
        ("network", "prune"),
    ],
    ids=" ".join,
)
def test_a_prune_removes_exactly_what_its_dry_run_said(
    clutter: EngineProcess, command: tuple[str, ...]
) -> None:
    before = clutter.ok("ps", "-aq"), clutter.ok("images", "-aq"), clutter.ok("volume", "ls", "-q")
    plan = clutter.ok(*command, "--dry-run")
    after = clutter.ok("ps", "-aq"), clutter.ok("images", "-aq"), clutter.ok("volume", "ls", "-q")
    assert before == after
    assert clutter.ok(*command, "-f") == planned(plan)
    assert clutter.ok(*command, "--dry-run") in ("", "Total space that would be reclaimed: 0B")
    assert clutter.status("running") == "running"


def test_a_plan_counts_what_du_then_misses(clutter: EngineProcess, wire: Wire) -> None:
    plan = wire.ask("GET", "/pogu/prune?all=1&volumes=1").json
    layers = clutter.root / "layers"
    before = disk_bytes(layers, clutter.root / "volumes")
    clutter.ok("system", "prune", "-af", "--volumes")
    won = before - disk_bytes(layers, clutter.root / "volumes")
    assert plan["SpaceReclaimed"] > 90_000
    assert 0 <= won - plan["SpaceReclaimed"] < 120_000  # directories, journals, whole blocks


@pytest.mark.parametrize(
    "names", [("free",), ("used", "old"), ("-f", "old", "free", "nope")], ids=" ".join
)
def test_rmi_removes_exactly_what_its_dry_run_said(
    clutter: EngineProcess, names: tuple[str, ...]
) -> None:
    plan = clutter.call("rmi", "--dry-run", *names)
    assert clutter.ok("images", "-q", "free")
    done = clutter.call("rmi", *names)
    told = [line for line in plan.stdout.splitlines() if line.partition(":")[0] in _REMOVALS]
    assert [line.capitalize() for line in told] == done.stdout.splitlines()
    said = [line for line in plan.stderr.splitlines() if line.startswith("Error")]
    assert said == [line for line in done.stderr.splitlines() if line.startswith("Error")]


_REMOVALS = ("untagged", "deleted")


def disk_bytes(*paths: Path) -> int:
    words = ["du", "-scx", "--block-size=1", *map(str, paths)]
    said = subprocess.run(words, capture_output=True, check=True, text=True).stdout
    return int(said.splitlines()[-1].split()[0])


@pytest.fixture
def wire(engine: EngineProcess) -> Wire:
    return Wire(path=engine.socket)


def test_what_df_shows_on_disk_is_what_du_says(clutter: EngineProcess, wire: Wire) -> None:
    storage = wire.ask("GET", "/system/df?storage=1").json["Storage"]
    assert sum(row["Size"] for row in storage["Rows"]) == storage["Size"]
    assert abs(storage["Size"] - disk_bytes(clutter.root)) <= 64 << 10  # logs grow meanwhile
    assert {row["Kind"] for row in storage["Rows"]} >= {"Image layers", "Volumes", "Database"}
    assert "Container logs" in clutter.ok("system", "df")
    assert "Total" in clutter.ok("system", "df", "-v")


def test_the_tree_of_an_image_names_instructions_shares_and_waste(
    engine: EngineProcess, tmp_path: Path
) -> None:
    lines = ["RUN head -c 70000 /dev/zero > /big", "RUN rm /big && echo small > /small"]
    build(engine, tmp_path, "wasteful", *lines)
    first, base, big, small = engine.ok("image", "tree", "wasteful").splitlines()
    assert first.startswith("wasteful:latest")
    assert first.endswith("in 3 layers, 70kB of it hidden by layers above")
    assert "shared with busybox" in base
    assert "RUN head -c 70000 /dev/zero > /big  (70kB hidden)" in big
    assert "RUN rm /big && echo small > /small" in small
    found = json.loads(engine.ok("image", "tree", "--format", "json", "wasteful"))
    assert [layer["Hidden"] for layer in found[0]["Layers"]] == [0, 70000, 0]
    assert "= wasteful:latest" in engine.ok("image", "tree").splitlines()[-1]
    assert "No such image: nope" in engine.refused("image", "tree", "nope")
    engine.ok("rmi", "wasteful")


def test_the_difference_of_two_images_is_files_and_settings(
    engine: EngineProcess, tmp_path: Path
) -> None:
    shared = ["RUN mkdir /d && echo same > /d/same && echo old > /d/file && echo x > /d/gone"]
    build(engine, tmp_path, "one", *shared, "ENV A=1 B=2", "LABEL tier=web")
    change = "RUN echo newer > /d/file && chmod 700 /d/same && rm /d/gone && ln -s file /d/link"
    build(engine, tmp_path, "two", *shared, change, "ENV A=1 B=3", 'CMD ["x"]')
    assert engine.ok("image", "diff", "one", "two").splitlines() == [
        "C /d/file  size 4B → 6B",
        "D /d/gone  2B",
        "A /d/link → file",
        "C /d/same  mode 0644 → 0700",
        'C Cmd  ["sh"] → ["x"]',
        "C Env B  2 → 3",
        "D Labels tier  web",
    ]
    assert engine.ok("image", "diff", "one", "one") == "No difference"
    assert engine.call("image", "diff", "--exit-code", "one", "two").returncode == 1
    assert engine.call("image", "diff", "one", "two").returncode == 0
    engine.ok("rmi", "one", "two")


def test_equal_files_of_different_layers_are_no_difference(
    engine: EngineProcess, tmp_path: Path
) -> None:
    build(engine, tmp_path, "one", "RUN echo same > /file && sleep 1")
    build(engine, tmp_path, "two", "RUN sleep 1 && echo same > /file")
    assert engine.ok("image", "diff", "one", "two") == "No difference"
    engine.ok("rmi", "one", "two")
