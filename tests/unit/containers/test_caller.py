"""Who asks the engine."""

from __future__ import annotations

import os

import pytest

from pogu.containers.caller import PEER, command_of, current_caller


@pytest.mark.parametrize(
    ("cmdline", "text"),
    [
        (b"/usr/bin/python3\0-IS\0/usr/local/bin/pogu\0stop\0web\0", "pogu stop web"),
        (b"python\0-m\0pogu.cli.main\0kill\0web\0", "pogu kill web"),
        (b"docker\0stop\0web\0", "docker stop web"),
        (b"sh\0a\nb\0", "sh 'a\\nb'"),
        (b"", ""),
    ],
)
def test_commands(cmdline: bytes, text: str) -> None:
    assert command_of(cmdline) == text


def test_long_commands_are_cut() -> None:
    assert len(command_of(b"x" * 500)) == 120


def test_the_caller_is_looked_up_by_its_pid() -> None:
    token = PEER.set((os.getpid(), 0))
    try:
        found = current_caller()
    finally:
        PEER.reset(token)
    assert found is not None
    assert found.command


def test_nobody_asks_where_the_engine_acts_by_itself() -> None:
    assert current_caller() is None
