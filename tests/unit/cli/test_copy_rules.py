"""Where `cp` puts what: the table of docker cp's documentation."""

from __future__ import annotations

import pytest

from pogu.cli.copy_rules import base_of, clean, place, split_argument
from pogu.cli.failure import CliError


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("web:/etc", ("web", "/etc")),
        ("web:rel", ("web", "rel")),
        ("./file:name", ("", "./file:name")),
        ("/abs:path", ("", "/abs:path")),
        ("plain", ("", "plain")),
        ("-", ("", "-")),
    ],
)
def test_an_argument_names_a_container_or_a_local_path(
    word: str, expected: tuple[str, str]
) -> None:
    assert split_argument(word) == expected


@pytest.mark.parametrize(
    ("source", "is_directory", "target", "kind", "expected"),
    [
        ("file", False, "/d", "directory", ("/d", "file")),
        ("file", False, "/d/new", "", ("/d", "new")),
        ("file", False, "/d/old", "file", ("/d", "old")),
        ("dir", True, "/d", "directory", ("/d", "dir")),
        ("dir", True, "/d/new", "", ("/d", "new")),
        ("dir", True, "/d/new/", "", ("/d", "new")),
        (".", True, "/d", "directory", ("/d", "")),
        (".", True, "/d/new", "", ("/d", "new")),
    ],
)
def test_the_documented_table(
    source: str, is_directory: bool, target: str, kind: str, expected: tuple[str, str]
) -> None:
    found = place(source, source_is_directory=is_directory, target=target, target_kind=kind)
    assert found == expected


def test_a_directory_onto_a_file_and_a_file_into_nothing_are_refused() -> None:
    with pytest.raises(CliError, match="cannot copy directory"):
        place("dir", source_is_directory=True, target="/f", target_kind="file")
    with pytest.raises(CliError, match="no such directory"):
        place("file", source_is_directory=False, target="/new/", target_kind="")


def test_a_source_that_ends_in_a_dot_means_what_is_in_it() -> None:
    assert [base_of(path) for path in ("/a/.", "/a/", "/a", "/", ".")] == [".", "a", "a", "/", "."]
    assert [clean(path) for path in ("/a//b/", "/a/./b/.", "/")] == ["/a/b/", "/a/b/.", "/"]
