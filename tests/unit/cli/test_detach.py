"""Which keys detach."""

from __future__ import annotations

from pathlib import Path

import pytest

from pogu.cli.detach import configured_keys, parse_detach_keys
from pogu.cli.failure import CliError


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        ('{"detachKeys": "ctrl-e,e", "auths": {}}', "ctrl-e,e"),
        ('{"detachKeys": 7}', ""),
        ("[]", ""),
        ("{broken", ""),
        ("", ""),
    ],
)
def test_keys_stand_in_the_file_of_docker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, keys: str
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(content)
    assert configured_keys() == keys


def test_without_a_file_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "nowhere"))
    assert configured_keys() == ""


@pytest.mark.parametrize(
    ("text", "keys"), [("", b"\x10\x11"), ("ctrl-a,d", b"\x01d"), ("ctrl-@,ctrl-_", b"\x00\x1f")]
)
def test_keys_are_spelled_as_dockers(text: str, keys: bytes) -> None:
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["long", "ctrl-", "ctrl-é", "a,,b"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(CliError, match="Unknown character"):
        parse_detach_keys(text)
