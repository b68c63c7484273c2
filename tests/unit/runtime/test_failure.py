"""What runtimes print when they fail, recorded from crun 1.8 and runc 1.1."""

from __future__ import annotations

import json

import pytest

from pogu.runtime.failure import exec_failure, runtime_failure

PREFIX = "failed to create task for container: OCI runtime create failed: "


def logged(message: str, level: str = "error") -> str:
    return json.dumps({"msg": message, "level": level, "time": "2026-01-02T03:04:05Z"}) + "\n"


@pytest.mark.parametrize(
    "said",
    [
        logged("executable file `nope` not found in $PATH: No such file or directory"),
        logged('exec: "nope": executable file not found in $PATH'),
        'time="x" level=error msg="..."\nexec: "nope": executable file not found in $PATH\n',
    ],
)
def test_a_missing_program_is_told_in_dockers_words(said: str) -> None:
    error = runtime_failure("crun", said)
    assert error.message.endswith(': exec: "nope": executable file not found in $PATH: unknown')
    assert error.message.startswith(PREFIX)
    assert "the image has no nope" in str(error.hint)


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ('exec: "/x": stat /x: no such file or directory', "interpreter"),
        ("open executable: Permission denied", "chmod"),
        ('exec: "/x": permission denied', "chmod"),
        ("exec container process `/x`: Exec format error", "another architecture"),
        ("mkdir `/x`: No space left on device", "system df"),
        ("something else", "pogu doctor"),
    ],
)
def test_a_hint_goes_with_the_cause(message: str, hint: str) -> None:
    error = runtime_failure("runc", logged(message))
    said = message.replace("Permission", "permission")
    assert error.message == f"{PREFIX}runc: {said}: unknown"
    assert hint in str(error.hint)


def test_the_last_error_counts_and_warnings_do_not() -> None:
    said = logged("first") + logged("cause") + logged("careful", "warning") + logged("", "error")
    assert runtime_failure("crun", said).message == f"{PREFIX}crun: cause: unknown"


@pytest.mark.parametrize("said", ["", "\n", '{"level": "warning", "msg": "careful"}', "{}"])
def test_silence_is_called_so(said: str) -> None:
    assert "it ended without a word" in runtime_failure("crun", said).message


def test_json_that_is_no_record_is_taken_as_text() -> None:
    assert "[1, 2]" in runtime_failure("crun", "[1, 2]").message


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("executable file `x` not found in $PATH: No such file or directory",
         'exec: "x": executable file not found in $PATH'),
        ('exec failed: unable to start container process: exec: "/x": permission denied',
         'exec: "/x": permission denied'),
        ("chdir `/x`: No such file or directory",
         'chdir to cwd ("/x") set in config.json failed: no such file or directory'),
    ],
)  # fmt: skip
def test_an_exec_that_fails_has_dockers_words_once(said: str, words: str) -> None:
    error = exec_failure(logged(said))
    prefix = "OCI runtime exec failed: exec failed: unable to start container process: "
    assert error.message == f"{prefix}{words}: unknown"
