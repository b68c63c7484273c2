"""A program that is executed from sealed memory."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.fakes.program import a_program

from pogu.runtime import sealed_program
from pogu.runtime.oci_runtime import OciRuntime
from pogu.runtime.sealed_program import seal_program


def a_file(directory: Path) -> Path:
    """A program that is no script."""
    return Path(shutil.copy("/bin/true", directory / "crun"))


async def test_the_copy_can_be_executed_and_never_written(tmp_path: Path) -> None:
    file, links = a_file(tmp_path), tmp_path / "sealed"
    links.mkdir()
    sealed = await seal_program(file, links)
    assert sealed is not None
    assert sealed.path == links / "crun"
    assert sealed.path.read_bytes() == file.read_bytes()
    assert subprocess.run([sealed.path], check=False).returncode == 0
    with pytest.raises(OSError, match=r"Text file busy|Operation not permitted"):
        os.write(os.open(sealed.path, os.O_WRONLY), b"x")


async def test_another_version_of_the_file_is_executed_itself(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    (links := tmp_path / "sealed").mkdir()
    sealed = await seal_program(file, links)
    assert sealed is not None
    file.unlink()
    assert sealed.path == file
    a_program(file, stdout="newer")
    assert sealed.path == file


async def test_what_an_earlier_engine_left_is_replaced(tmp_path: Path) -> None:
    (links := tmp_path / "sealed").mkdir()
    (links / "crun").symlink_to("/proc/1/fd/99999")
    assert await seal_program(a_file(tmp_path), links) is not None
    assert (links / "crun").exists()


async def test_a_copy_that_cannot_be_executed_is_not_used(tmp_path: Path) -> None:
    (links := tmp_path / "sealed").mkdir()
    file = a_program(tmp_path / "crun", exit_code=1)
    assert await seal_program(file, links) is None


async def test_a_host_with_selinux_executes_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed_program, "_SELINUX", tmp_path)
    assert await seal_program(a_file(tmp_path), tmp_path) is None


async def test_a_sealed_runtime_keeps_its_name(tmp_path: Path) -> None:
    (links := tmp_path / "sealed").mkdir()
    runtime = OciRuntime(a_file(tmp_path), tmp_path / "state")
    await runtime.seal(links)
    assert runtime.name == "crun"
    assert runtime.argv("start", "c")[0] == str(links / "crun")
    assert runtime.binary == tmp_path / "crun"
