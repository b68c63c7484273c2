"""Whiteouts and opaque directories in both spellings."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pogu.storage.whiteout import is_opaque, is_whiteout, whiteout_name


def an_entry(mode: int, device: int = 0) -> os.stat_result:
    """What lstat says of it: ten fields by number, the others by name."""
    fields = [mode] + [0] * 9
    return os.stat_result(fields, {"st_rdev": device})


def test_only_the_character_device_zero_is_a_whiteout() -> None:
    assert is_whiteout(an_entry(stat.S_IFCHR))
    assert not is_whiteout(an_entry(stat.S_IFCHR, os.makedev(1, 3)))
    assert not is_whiteout(an_entry(stat.S_IFREG))


def test_a_whiteout_stands_beside_what_it_hides() -> None:
    assert whiteout_name("etc/a/passwd") == "etc/a/.wh.passwd"
    assert whiteout_name("tmp") == ".wh.tmp"


def test_a_directory_without_the_attribute_is_not_opaque(tmp_path: Path) -> None:
    assert not is_opaque(os.fspath(tmp_path))
    assert not is_opaque(os.fspath(tmp_path / "absent"))
