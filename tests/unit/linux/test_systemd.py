"""systemd: is it the first process, and what it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from pogu.linux.systemd import attach_argv, is_first_process, scope_argv


@pytest.mark.parametrize(
    ("first", "has_run", "expected"),
    [("systemd\n", True, True), ("systemd\n", False, False), ("catatonit\n", True, False)],
)
def test_it_manages_where_it_runs_and_is_the_first_process(
    tmp_path: Path, first: str, has_run: bool, expected: bool
) -> None:
    (tmp_path / "proc/1").mkdir(parents=True)
    (tmp_path / "proc/1/comm").write_text(first)
    if has_run:
        (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert is_first_process(tmp_path) is expected


def test_a_host_without_proc_has_none(tmp_path: Path) -> None:
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert is_first_process(tmp_path) is False


def test_a_scope_is_made_with_one_process() -> None:
    argv = scope_argv("pogu-engine.scope", 7, "the engine")
    at = argv.index("StartTransientUnit")
    assert argv[at + 1 : at + 5] == ["ssa(sv)a(sa(sv))", "pogu-engine.scope", "fail", "7"]
    assert argv[at + 5 : at + 8] == ["Description", "s", "the engine"]
    assert argv[-5:] == ["PIDs", "au", "1", "7", "0"]
    assert argv.count("b") == 2  # DefaultDependencies, Delegate


def test_a_process_is_taken_into_a_scope_that_runs() -> None:
    argv = attach_argv("pogu-engine.scope", 7)
    at = argv.index("AttachProcessesToUnit")
    assert argv[at + 1 :] == ["ssau", "pogu-engine.scope", "/", "1", "7"]
