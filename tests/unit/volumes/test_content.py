"""Copy-up that a killed engine left half done."""

from __future__ import annotations

from pathlib import Path

import pytest

from pogu.errors import SystemFailure
from pogu.volumes.content import copy_up, finish_copy


def a_volume(root: Path) -> Path:
    (root / "v" / "_data").mkdir(parents=True)
    return root / "v"


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_an_empty_volume_gets_the_content_and_its_mode(tmp_path: Path) -> None:
    volume, source = a_volume(tmp_path), tmp_path / "source"
    (source / "d").mkdir(parents=True)
    (source / "link").symlink_to("d")
    source.chmod(0o711)
    await copy_up(source, volume)
    assert names(volume / "_data") == ["d", "link"]
    assert (volume / "_data").stat().st_mode & 0o777 == 0o711
    assert names(volume) == ["_data"]


async def test_a_volume_with_something_in_it_stays_as_it_is(tmp_path: Path) -> None:
    volume, source = a_volume(tmp_path), tmp_path / "source"
    (volume / "_data" / "mine").touch()
    source.mkdir()
    (source / "theirs").touch()
    await copy_up(source, volume)
    assert names(volume / "_data") == ["mine"]


async def test_a_copy_that_fails_leaves_the_volume_empty(tmp_path: Path) -> None:
    volume = a_volume(tmp_path)
    with pytest.raises(SystemFailure, match="failed to copy the image's content"):
        await copy_up(tmp_path / "missing", volume)
    assert names(volume) == ["_data"]
    assert names(volume / "_data") == []


def test_what_was_being_copied_is_thrown_away(tmp_path: Path) -> None:
    volume = a_volume(tmp_path)
    (volume / "filling").mkdir()
    (volume / "filling" / "half").touch()
    finish_copy(volume)
    assert names(volume) == ["_data"]
    assert names(volume / "_data") == []


def test_what_was_copied_whole_is_moved_to_its_place(tmp_path: Path) -> None:
    volume = a_volume(tmp_path)
    (volume / "_data" / "first").touch()
    (volume / "filled").mkdir()
    for name in ("first", "second"):
        (volume / "filled" / name).write_text(name)
    finish_copy(volume)
    assert names(volume) == ["_data"]
    assert names(volume / "_data") == ["first", "second"]
    assert (volume / "_data" / "first").read_text() == ""
