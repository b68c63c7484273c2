"""Directories whose children ext4 spreads over the disk."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pogu.linux.inode_flags import spread_children


def attributes(directory: Path) -> str:
    if not shutil.which("lsattr"):
        pytest.skip("no lsattr here")
    done = subprocess.run(["lsattr", "-d", str(directory)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("the file system has no attributes")
    return done.stdout.split()[0]


def test_marks_a_directory_and_keeps_its_other_attributes(tmp_path: Path) -> None:
    before = set(attributes(tmp_path))
    spread_children(tmp_path)
    spread_children(tmp_path)
    if "T" not in attributes(tmp_path):
        pytest.skip("the file system knows no top directories")
    assert set(attributes(tmp_path)) == before | {"T"}


@pytest.mark.parametrize("directory", ["/proc/self", "/nowhere"])
def test_does_nothing_where_the_file_system_cannot(directory: str) -> None:
    spread_children(Path(directory))
