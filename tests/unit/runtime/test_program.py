"""What keeps the kernel from executing a program."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pogu.runtime.program import ExecProblem, find_problem


def put(root: Path, path: str, content: bytes, mode: int = 0o755) -> None:
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    place.chmod(mode)


def look(root: Path, *args: str, mounted: tuple[str, ...] = ()) -> ExecProblem | None:
    return find_problem(
        root, args, environ=("PATH=/opt/bin:/bin",), mounted=mounted, machine="amd64"
    )


def test_a_script_with_its_interpreter_is_fine(tmp_path: Path) -> None:
    put(tmp_path, "/bin/sh", b"#!/bin/sh\n")
    put(tmp_path, "/opt/bin/app", b"#!/bin/sh\n")
    assert look(tmp_path, "/opt/bin/app") is None
    assert look(tmp_path, "app") is None


def test_a_missing_interpreter_is_named(tmp_path: Path) -> None:
    put(tmp_path, "/bin/app", b"#!/usr/bin/python3\n")
    problem = look(tmp_path, "app")
    assert problem is not None
    assert (problem.program, problem.reason) == ("/bin/app", "no such file or directory")
    assert "/usr/bin/python3, which the image does not have" in problem.hint


def test_windows_line_ends_are_named(tmp_path: Path) -> None:
    put(tmp_path, "/bin/sh", b"#!/bin/sh\n")
    put(tmp_path, "/app", b"#!/bin/sh\r\n")
    problem = look(tmp_path, "/app")
    assert problem is not None
    assert "CRLF" in problem.hint


@pytest.mark.parametrize("mounted", ["/app", "/lib64", "/usr"])
def test_what_a_mount_may_bring_or_hide_is_left_to_the_kernel(tmp_path: Path, mounted: str) -> None:
    put(tmp_path, "/app", b"#!/lib64/x\n")
    assert look(tmp_path, "/app", mounted=(mounted,)) is None
    assert look(tmp_path, "/app", mounted=("/data",)) is not None


def test_what_is_not_found_or_not_executable_is_the_runtimes(tmp_path: Path) -> None:
    put(tmp_path, "/app", b"", 0o644)
    os.symlink("/etc/nothing", tmp_path / "link")
    for word in ("/app", "/link", "/nope", "nope", "./app", ""):
        assert look(tmp_path, word) is None
    assert look(tmp_path) is None


def test_a_link_never_leaves_the_root(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    put(tmp_path, "/outside", b"no magic")
    os.symlink(tmp_path / "outside", tmp_path / "root" / "app")
    assert look(tmp_path / "root", "/app") is None
