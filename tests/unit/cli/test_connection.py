"""Where the engine is: flags, environment, configuration, and what is said when it is not."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pogu.cli.connection import connect, engine_address
from pogu.cli.failure import CliError


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("POGU_HOST", "POGU_ROOT", "POGU_RUN_ROOT", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("pogu.cli.connection._CONFIG_FILES", ())


def test_the_default_socket_may_be_started() -> None:
    address = engine_address()
    assert (address.url, address.startable) == ("unix:///run/pogu/pogu.sock", True)


def test_a_named_socket_is_not_ours_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_address("unix:///x/s").path == "/x/s"
    monkeypatch.setenv("POGU_HOST", "unix:///y/s")
    assert (engine_address().path, engine_address().startable) == ("/y/s", False)
    assert engine_address("unix:///x/s").path == "/x/s"


def test_roots_of_the_command_line_win_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POGU_HOST", "unix:///y/s")
    address = engine_address(root=str(tmp_path / "r"), run_root=str(tmp_path / "q"))
    assert address.path == str(tmp_path / "q" / "pogu.sock")
    assert (address.root, address.startable) == (str(tmp_path / "r"), True)


def test_the_environment_may_say_where_the_run_root_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POGU_RUN_ROOT", str(tmp_path / "q"))
    assert engine_address().path == str(tmp_path / "q" / "pogu.sock")


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(CliError, match="unable to parse docker host `tcp://x:1`") as caught:
        engine_address("tcp://x:1")
    assert caught.value.code == 125


@pytest.mark.parametrize("name", ["missing", "stale", "file/s"])
def test_nobody_answers(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "stale"))
    with pytest.raises(CliError, match=r"Cannot connect to the Pogu engine at .*Is it run"):
        connect(engine_address(f"unix://{tmp_path / name}"))
