"""Execs: who may start one, and what is remembered of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders import a_record

from pogu.config import Paths
from pogu.containers.entry import Entry
from pogu.containers.execs import ExecRequest, Execs
from pogu.containers.model import ContainerState, Status
from pogu.containers.registry import Registry
from pogu.errors import Conflict, InvalidParameter, NotFound, SystemFailure
from pogu.linux.cgroup import detect
from pogu.linux.cgroup_move import GroupMoves
from pogu.runtime.oci_runtime import OciRuntime

LS = ExecRequest(cmd=("ls", "-l"))


class Bench:
    def __init__(self, tmp_path: Path, status: Status) -> None:
        self.entry = Entry("web", a_record(), ContainerState(status=status))
        self.told: list[str] = []
        registry = Registry()
        registry.add(self.entry)
        self.registry = registry
        self.execs = Execs(
            paths=Paths(root=tmp_path, run_root=tmp_path),
            registry=registry,
            runtime=OciRuntime(Path("/usr/bin/crun"), tmp_path),
            moves=GroupMoves(detect(tmp_path)),
            publish=lambda _entry, action, **_more: self.told.append(action),
        )


def test_one_is_created_in_a_running_container(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Status.RUNNING)
    execution = bench.execs.create("web", LS)
    assert bench.execs.find(execution.id) is execution
    assert bench.execs.of_container("web") == [execution.id]
    assert bench.told == ["exec_create: ls -l"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status.EXITED, "is not running"),
        (Status.CREATED, "is not running"),
        (Status.PAUSED, "is paused, unpause the container before exec"),
        (Status.RESTARTING, "is restarting, wait until the container is running"),
    ],
)
def test_elsewhere_it_is_refused_in_dockers_words(
    tmp_path: Path, status: Status, words: str
) -> None:
    with pytest.raises(Conflict, match=words):
        Bench(tmp_path, status).execs.create("web", LS)


def test_a_command_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="No exec command specified"):
        Bench(tmp_path, Status.RUNNING).execs.create("web", ExecRequest(cmd=()))


def test_an_unknown_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No such exec instance: abc"):
        Bench(tmp_path, Status.RUNNING).execs.find("abc")


def test_those_that_never_started_are_forgotten_in_the_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Status.RUNNING)
    first = bench.execs.create("web", LS)
    made = [bench.execs.create("web", LS) for _ in range(200)]
    assert len(bench.entry.execs) < 100
    assert first.id not in bench.entry.execs
    assert bench.execs.find(made[-1].id) is made[-1]


def test_they_go_with_their_container(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Status.RUNNING)
    execution = bench.execs.create("web", LS)
    bench.registry.forget(bench.entry)
    with pytest.raises(NotFound):
        bench.execs.find(execution.id)


async def test_one_that_cannot_be_made_ends_with_127_and_says_why(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Status.RUNNING)
    execution = bench.execs.create("web", LS)
    with pytest.raises(SystemFailure, match=r"config\.json: no such file") as refused:
        await bench.execs.start(execution)
    assert "pogu restart" in (refused.value.hint or "")
    assert execution.exit_code == 127
    assert not execution.running
    with pytest.raises(Conflict, match="has already run"):
        bench.execs.check_startable(execution)
