"""Volumes: rows and directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from pogu.config import Paths
from pogu.db import Database
from pogu.errors import InvalidParameter, NotFound
from pogu.events import EventBus
from pogu.volumes.service import Volumes


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(root=tmp_path / "root", run_root=tmp_path / "run")
    paths.create()
    return paths


def opened(paths: Paths, name: str = "state.db") -> Volumes:
    return Volumes(paths=paths, db=Database(paths.root / name), events=EventBus())


def test_a_volume_is_there_after_a_restart(paths: Paths) -> None:
    made = opened(paths).create("vol", labels={"a": "b"})
    assert opened(paths).get("vol") == made


def test_a_lost_row_comes_back_with_labels_and_options(paths: Paths) -> None:
    options = {"type": "tmpfs", "device": "tmpfs"}
    made = opened(paths).create("vol", labels={"a": "b"}, options=options)
    assert opened(paths, "another.db").get("vol") == made


def test_the_second_creation_returns_the_first_volume(paths: Paths) -> None:
    volumes = opened(paths)
    assert volumes.create("vol", labels={"a": "b"}) == volumes.create("vol")


def test_a_refused_volume_leaves_nothing(paths: Paths) -> None:
    volumes = opened(paths)
    for name, options in (("vol", {"foo": "1"}), ("v", {}), ("../v", {}), ("a/b", {})):
        with pytest.raises(InvalidParameter):
            volumes.create(name, options=options)
    assert list(paths.volumes.iterdir()) == []
    assert list(paths.tmp.iterdir()) == []


def test_a_volume_that_is_set_aside_is_gone_at_once(paths: Paths) -> None:
    volumes = opened(paths)
    (volumes.create("vol").path / "file").touch()
    trash = volumes.set_aside("vol")
    assert trash is not None
    assert (trash / "_data" / "file").exists()
    with pytest.raises(NotFound, match="no such volume"):
        volumes.get("vol")
    assert volumes.set_aside("vol", force=True) is None


def test_an_anonymous_one_of_a_creation_that_was_not_finished_goes(paths: Paths) -> None:
    (paths.volumes / ("ab" * 32) / "_data").mkdir(parents=True)
    assert opened(paths).all() == []
    assert list(paths.volumes.iterdir()) == []


def test_what_holds_something_or_has_a_name_is_kept_without_a_row(paths: Paths) -> None:
    data = paths.volumes / ("ab" * 32) / "_data"
    data.mkdir(parents=True)
    (data / "file").write_text("precious")
    (paths.volumes / "pgdata" / "_data").mkdir(parents=True)
    assert [volume.name for volume in opened(paths).all()] == ["ab" * 32, "pgdata"]
    assert (data / "file").read_text() == "precious"


def test_nothing_is_remembered_of_a_volume_that_is_gone(paths: Paths) -> None:
    volumes = opened(paths)
    for number in range(3):
        volumes.create(f"v{number}")
        volumes.use(f"v{number}", "user")
        volumes.let_go("user")
        volumes.set_aside(f"v{number}")
    assert volumes._locks == {}
