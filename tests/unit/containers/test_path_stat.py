"""What a path is, as Docker's header says it."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from pogu.containers.path_stat import absolute, encode_path_stat, go_file_mode, path_stat


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (stat.S_IFREG | 0o644, 0o644),
        (stat.S_IFDIR | 0o1777, 1 << 31 | 1 << 20 | 0o777),
        (stat.S_IFLNK | 0o777, 1 << 27 | 0o777),
        (stat.S_IFREG | 0o6755, 1 << 23 | 1 << 22 | 0o755),
        (stat.S_IFCHR | 0o600, 1 << 26 | 1 << 21 | 0o600),
        (stat.S_IFBLK | 0o600, 1 << 26 | 0o600),
        (stat.S_IFIFO | 0o600, 1 << 25 | 0o600),
    ],
)
def test_modes_have_the_bits_of_go(mode: int, expected: int) -> None:
    assert go_file_mode(mode) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("etc", "/etc"),
        ("/a/../../b", "/b"),
        ("/a/", "/a/"),
        ("/a/.", "/a/."),
        ("//x", "/x"),
        ("/", "/"),
        (".", "/."),
    ],
)
def test_paths_count_from_the_root_and_keep_their_end(path: str, expected: str) -> None:
    assert absolute(path) == expected


def test_the_header_is_base64_of_json(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("abc")
    os.utime(tmp_path / "f", (0, 1))
    header = encode_path_stat(path_stat("/d/f", (tmp_path / "f").stat(), link_target=""))
    found = json.loads(base64.b64decode(header))
    assert (found["name"], found["size"], found["linkTarget"]) == ("f", 3, "")
    assert found["mtime"].startswith("1970-01-01T00:00:01")
