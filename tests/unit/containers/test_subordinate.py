"""Who gets a user namespace, and which IDs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pogu.containers.subordinate import is_remapped, read_mapping
from pogu.errors import SystemFailure
from pogu.linux.idmap import IdMapping, IdRange
from pogu.model.container import HostConfig


@pytest.mark.parametrize(
    ("mode", "setting", "expected"),
    [
        ("", "", False),
        ("host", "", False),
        ("remap", "", True),
        ("", "default", True),
        ("host", "default", False),
        ("remap", "alice", True),
    ],
)
def test_the_container_may_differ_from_the_setting(mode: str, setting: str, expected: bool) -> None:
    assert is_remapped(HostConfig(userns_mode=mode), setting) is expected


def mapping(tmp_path: Path, setting: str, uids: str, gids: str) -> IdMapping:
    (tmp_path / "subuid").write_text(uids)
    (tmp_path / "subgid").write_text(gids)
    return read_mapping(setting, subuid=tmp_path / "subuid", subgid=tmp_path / "subgid")


def test_default_is_what_docker_has_given_to_dockremap(tmp_path: Path) -> None:
    lines = "root:1000000:65536\ndockremap:500000:65536\n"
    found = mapping(tmp_path, "default", lines, lines)
    assert found == IdMapping((IdRange(0, 500_000, 65_536),), (IdRange(0, 500_000, 65_536),))


def test_default_without_files_is_100000(tmp_path: Path) -> None:
    found = read_mapping("", subuid=tmp_path / "none", subgid=tmp_path / "none")
    assert found.root == (100_000, 100_000)


def test_default_never_takes_what_a_user_of_the_host_has(tmp_path: Path) -> None:
    assert mapping(tmp_path, "default", "alice:100000:65536\n", "").root == (165_536, 165_536)


def test_user_and_group_may_be_named_or_numbered(tmp_path: Path) -> None:
    for setting in ("daemon:bin", "1:2"):
        found = mapping(tmp_path, setting, "daemon:200000:1000\n", "bin:300000:1000\n")
        assert found.root == (200_000, 300_000)


def test_the_group_is_named_as_the_user_unless_said(tmp_path: Path) -> None:
    found = mapping(tmp_path, "daemon", "1:200000:1000\n", "daemon:300000:1000\n")
    assert found.root == (200_000, 300_000)


def test_a_user_without_ranges_is_refused_in_dockers_words(tmp_path: Path) -> None:
    with pytest.raises(SystemFailure, match='no subuid ranges found for user "ghost"') as raised:
        mapping(tmp_path, "ghost", "", "ghost:1:1\n")
    assert raised.value.hint is not None
    assert "ghost:100000:65536" in raised.value.hint
