"""What exit codes mean."""

from __future__ import annotations

import pytest

from pogu.containers.exit_codes import code_meaning, signal_name


@pytest.mark.parametrize(
    ("code", "program", "words"),
    [
        (0, "", "without an error"),
        (2, "", "wrong arguments"),
        (126, "", "could not execute"),
        (127, "", "did not find a command"),
        (124, "/usr/bin/timeout", "its time was up"),
        (48, "mongod", "its port is in use"),
        (78, "", "configuration is wrong"),
        (132, "", "instruction"),
        (143, "", "SIGTERM"),
        (170, "", "signal 42"),
        (42, "", "exit code 42"),
        (255, "", "-1"),
    ],
)
def test_codes(code: int, program: str, words: str) -> None:
    assert words in code_meaning(code, program)[0]


def test_names_of_signals() -> None:
    assert (signal_name(9), signal_name(99)) == ("SIGKILL", "signal 99")
