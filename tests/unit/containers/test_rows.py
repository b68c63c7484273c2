"""The tables of containers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.builders import a_config, a_host_config, a_record

from pogu.containers.model import ContainerState, MountPoint, Status
from pogu.containers.rows import RemovedContainer, Rows
from pogu.db import Database
from pogu.model.container import MountSpec, PortBinding


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    found = Database(tmp_path / "state.db")
    yield found
    found.close()


def a_memory(id: str, *, name: str = "web") -> RemovedContainer:
    """What stays of a container that exited with 3."""
    return RemovedContainer(
        id=id,
        name=name,
        image_name="nginx",
        program="nginx",
        removed_at="2026-01-02T03:04:05.000000000Z",
        state=ContainerState(status=Status.EXITED, exit_code=3),
    )


def test_a_record_comes_back_as_it_was(db: Database) -> None:
    host = a_host_config(
        restart="always",
        port_bindings={"80/tcp": (PortBinding(host_port="80"),), "81/tcp": None},
        mounts=(MountSpec(target="/d", source="/s", bind_options={"Propagation": "rslave"}),),
    )
    mount = MountPoint(type="bind", source="/s", destination="/d", rw=False)
    record = a_record(config=a_config(env=("A=ä",), labels={}), host=host, mounts=(mount,))
    Rows(db).insert("web", record, ContainerState())
    assert list(Rows(db).load()) == [("web", record, ContainerState())]


def test_only_the_state_changes(db: Database) -> None:
    rows, record = Rows(db), a_record()
    rows.insert("web", record, ContainerState())
    ended = msgspec.structs.replace(ContainerState(), status=Status.EXITED, exit_code=3)
    rows.save_state(record.id, ended)
    rows.rename(record.id, "db")
    assert list(rows.load()) == [("db", record, ended)]


def test_a_name_belongs_to_one_container(db: Database) -> None:
    rows = Rows(db)
    rows.insert("web", a_record(id="a" * 64), ContainerState())
    with pytest.raises(sqlite3.IntegrityError):
        rows.insert("web", a_record(id="b" * 64), ContainerState())
    assert [record.id for _, record, _ in rows.load()] == ["a" * 64]


def test_a_deleted_container_takes_its_state_along(db: Database) -> None:
    rows, record = Rows(db), a_record()
    rows.insert("web", record, ContainerState())
    for _ in range(2):
        rows.delete(record.id, a_memory(record.id))
    assert list(rows.load()) == []
    assert db.query("SELECT * FROM container_states") == []


def test_the_latest_removed_one_of_a_name_is_remembered(db: Database) -> None:
    rows = Rows(db)
    rows.delete("a" * 64, a_memory("a" * 64))
    rows.delete("b" * 64, a_memory("b" * 64))
    for name in ("web", "b" * 12, "b" * 64):
        found = rows.removed(name)
        assert found is not None
        assert found.id == "b" * 64
    assert rows.removed("db") is None
    assert rows.removed("%") is None


def test_only_some_removed_ones_are_remembered(db: Database) -> None:
    rows = Rows(db)
    for number in range(70):
        rows.delete(f"{number:064}", a_memory(f"{number:064}", name=f"web{number}"))
    assert rows.removed("web5") is None
    assert rows.removed("web6") is not None
    assert len(db.query("SELECT * FROM removed_containers")) == 64
