"""What COPY and ADD name, and the digests that go into the cache key."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from tests.archives import a_file, a_tar

from pogu.build.context import Context
from pogu.build.sources import (
    Extracted,
    TemporaryFiles,
    digests_of,
    find_sources,
    is_url,
    unpack_directory,
)
from pogu.dockerfile.instructions import Heredoc
from pogu.errors import InvalidParameter, NotImplementedByEngine


def digests(root: Path, *patterns: str, owners: bool = False) -> dict[str, str]:
    context = Context.of_directory(root, "Dockerfile")
    return digests_of(find_sources(context, patterns or ["."]), None, owners=owners)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    top = tmp_path / "context"
    (top / "dir").mkdir(parents=True)
    (top / "dir/file").write_text("text")
    (top / "link").symlink_to("dir")
    return top


def test_every_entry_below_a_source_has_a_digest(root: Path) -> None:
    assert list(digests(root)) == [".", "dir", "dir/file", "link"]
    assert list(digests(root, "dir")) == ["dir", "dir/file"]


def test_content_mode_names_and_link_targets_change_the_digests(root: Path) -> None:
    before = digests(root)
    file = root / "dir/file"
    file.write_text("TEXT")
    assert digests(root) != before
    file.write_text("text")
    assert digests(root) == before
    file.chmod(0o600)
    assert digests(root) != before
    file.chmod(0o644)
    (root / "link").unlink()
    (root / "link").symlink_to("dir/file")
    assert digests(root) != before


def test_an_empty_directory_more_changes_the_digests(root: Path) -> None:
    before = digests(root)
    (root / "empty").mkdir()
    assert digests(root) != before


def test_times_and_the_place_of_the_context_do_not_matter(root: Path) -> None:
    before = digests(root)
    for path in root.rglob("*"):
        os.utime(path, (5, 5), follow_symlinks=False)
    assert digests(root.rename(root.parent / "moved")) == before


def test_ignored_files_do_not_matter(root: Path) -> None:
    (root / ".dockerignore").write_text("**/*.log\n.dockerignore")
    before = digests(root)
    (root / "dir/new.log").touch()
    assert digests(root) == before


def test_owners_matter_only_where_they_are_kept(root: Path) -> None:
    file = root / "dir/file"
    assert f" {file.stat().st_uid}:{file.stat().st_gid} " in digests(root, owners=True)["dir/file"]
    assert ":" not in digests(root)["dir/file"]


def test_sources_of_the_same_path_both_count(tmp_path: Path) -> None:
    with TemporaryFiles(tmp_path) as files:
        first, second = (
            files.heredoc(Heredoc(name="a", body=body, expand=False), {}, "\\")
            for body in ("one", "two")
        )
        both = digests_of([first, second], None, owners=False)
    assert len(both) == len(set(both.values())) == 2


def test_names_that_are_not_utf8_can_be_stored(root: Path) -> None:
    os.close(os.open(os.fsencode(root) + b"/caf\xe9", os.O_CREAT))
    os.symlink(b"caf\xe9", os.fsencode(root) + b"/to")
    found = digests(root, "*")
    assert "caf\\xe9" in found
    assert all((key + value).isprintable() for key, value in found.items())


def test_sources_stand_in_the_order_they_were_written(root: Path) -> None:
    context = Context.of_directory(root, "Dockerfile")
    found = find_sources(context, ["link", "dir/f*", "."])
    assert [source.name for source in found] == ["link", "file", "."]


@pytest.mark.parametrize(
    ("expand", "content"), [(True, "hello Bob $\n"), (False, "hello $WHO \\$\n")]
)
def test_a_heredoc_is_a_file_of_mode_0644_and_no_time(
    tmp_path: Path, expand: bool, content: str
) -> None:
    heredoc = Heredoc(name="greeting", body="hello $WHO \\$\n", expand=expand)
    with TemporaryFiles(tmp_path) as files:
        source = files.heredoc(heredoc, {"WHO": "Bob"}, "\\")
        assert Path(source.entry.full).read_text() == content
    assert (source.name, oct(source.entry.info.st_mode)) == ("greeting", "0o100644")
    assert source.entry.info.st_mtime == 0
    assert list(tmp_path.iterdir()) == []


def test_add_unpacks_archives_only(tmp_path: Path) -> None:
    tar = a_tar([a_file("d/f", b"x")]).getvalue()
    contents = {"a.tar": tar, "b.tgz": gzip.compress(tar), "c.tar": b"text", "d.gz": b"\x1f\x8b"}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "e.tar").mkdir()
    found = find_sources(Context(tmp_path, what="build context"), ["*"])
    assert [source.name for source in found if Extracted.is_wanted(source)] == ["a.tar", "b.tgz"]


def test_an_archive_is_a_source_of_its_content_with_ordinary_wh_names(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(a_tar([a_file("d/f", b"x"), a_file(".wh.y")]).getvalue())
    source = find_sources(Context(tmp_path, what="build context"), ["a.tar"])[0]
    with TemporaryFiles(tmp_path) as files:
        extracted = Extracted.into(source, unpack_directory(files))
        assert list(digests_of([extracted], None, owners=False)) == [".", ".wh.y", "d", "d/f"]


@pytest.mark.parametrize(
    ("text", "url"),
    [("http://x/y", True), ("https://x/y", True), ("ftp://x", False), ("a/b", False)],
)
def test_urls_are_told_from_paths(text: str, url: bool) -> None:
    assert is_url(text) == url


@pytest.mark.parametrize("url", ["git@github.com:a/b.git", "git://a/b", "ssh://a/b"])
def test_git_repositories_are_refused_in_clear_words(url: str) -> None:
    with pytest.raises(NotImplementedByEngine, match="git repositories"):
        is_url(url)


def test_a_url_that_cannot_be_fetched_is_refused(tmp_path: Path) -> None:
    with TemporaryFiles(tmp_path) as files, pytest.raises(InvalidParameter, match="failed to GET"):
        files.download("http://127.0.0.1:1/x", checksum=None)
