"""COPY's rules, as far as they need no rights: owners are the test's own."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pogu.build.context import Context
from pogu.build.copy import CopyJob, copy_into, make_directory
from pogu.build.sources import find_sources
from pogu.errors import InvalidParameter

ME = (os.getuid(), os.getgid())


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """`file`, `other` and `dir/{a,sub/b}`, all of 1970."""
    top = tmp_path / "context"
    (top / "dir/sub").mkdir(parents=True)
    for name in ("file", "other", "dir/a", "dir/sub/b"):
        (top / name).write_text(name)
    for path in [*top.rglob("*"), top]:
        os.utime(path, (5, 5))
    return top


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


def copy(context: Path, root: Path, *words: str, mode: int | None = None, ignore: str = "") -> None:
    """COPY; the last word is the destination."""
    if ignore:
        (context / ".dockerignore").write_text(ignore)
    sources = find_sources(Context.of_directory(context, "Dockerfile"), words[:-1])
    copy_into(root, CopyJob(sources=sources, destination=words[-1], owner=ME, mode=mode))


def tree(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        (("file", "/new"), ["new"]),
        (("file", "/a/b/new"), ["a", "a/b", "a/b/new"]),
        (("file", "/a/"), ["a", "a/file"]),
        (("file", "other", "/a/"), ["a", "a/file", "a/other"]),
        (("dir", "/a"), ["a", "a/a", "a/sub", "a/sub/b"]),
        (("dir", "/a/"), ["a", "a/a", "a/sub", "a/sub/b"]),
        (("dir/", "file", "/a/"), ["a", "a/a", "a/file", "a/sub", "a/sub/b"]),
        (("dir", "/"), ["a", "sub", "sub/b"]),
        (("dir/sub/b", "/"), ["b"]),
        (("d*", "/"), ["a", "sub", "sub/b"]),
        (("*/a", "/x/"), ["x", "x/a"]),
        (("[fo]*", "/x/"), ["x", "x/file", "x/other"]),
        ((".", "/x"), ["x", "x/dir", "x/dir/a", "x/dir/sub", "x/dir/sub/b", "x/file", "x/other"]),
    ],
)
def test_sources_land_where_docker_puts_them(
    context: Path, root: Path, words: tuple[str, ...], paths: list[str]
) -> None:
    copy(context, root, *words)
    assert tree(root) == paths


def test_a_file_goes_into_a_directory_that_is_there(context: Path, root: Path) -> None:
    (root / "there").mkdir(mode=0o700)
    copy(context, root, "file", "/there")
    assert tree(root) == ["there", "there/file"]
    assert stat.S_IMODE((root / "there").stat().st_mode) == 0o700


def test_several_sources_need_a_destination_that_ends_with_a_slash(
    context: Path, root: Path
) -> None:
    with pytest.raises(InvalidParameter, match="more than one source file") as caught:
        copy(context, root, "file", "other", "/x")
    assert caught.value.hint == "write /x/"


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ("/x", ("file", "/x/")),
        ("/x", ("dir", "/x")),
        ("/x", ("file", "/x/y")),
        ("/x", ("file", "other", "/x/")),
        ("/x/sub", ("dir", "/x")),
    ],
)
def test_a_file_in_the_place_of_a_directory_is_refused(
    context: Path, root: Path, there: str, words: tuple[str, ...]
) -> None:
    path = root / there.lstrip("/")
    path.parent.mkdir(exist_ok=True)
    path.write_text("old")
    with pytest.raises(InvalidParameter, match="COPY failed"):
        copy(context, root, *words)
    assert path.read_text() == "old"


def test_a_directory_in_the_place_of_a_file_is_refused(context: Path, root: Path) -> None:
    (root / "x/a").mkdir(parents=True)
    with pytest.raises(InvalidParameter, match="cannot copy"):
        copy(context, root, "dir", "/x")


def test_a_file_replaces_a_file_and_a_link_in_a_directory(context: Path, root: Path) -> None:
    (root / "x").mkdir()
    (root / "kept").write_text("old")
    (root / "x/file").symlink_to("../kept")
    copy(context, root, "file", "/x/")
    assert (root / "x/file").read_text() == "file"
    assert not (root / "x/file").is_symlink()
    assert (root / "kept").read_text() == "old"


def test_directories_are_merged(context: Path, root: Path) -> None:
    (root / "x/sub").mkdir(parents=True)
    (root / "x/sub/old").touch()
    copy(context, root, "dir", "/x")
    assert tree(root) == ["x", "x/a", "x/sub", "x/sub/b", "x/sub/old"]


def test_a_directory_below_the_source_gives_its_mode_to_one_that_is_there(
    context: Path, root: Path
) -> None:
    (root / "x/sub").mkdir(parents=True)
    (root / "x").chmod(0o711)
    (context / "dir/sub").chmod(0o750)
    (context / "dir").chmod(0o770)
    copy(context, root, "dir", "/x")
    assert stat.S_IMODE((root / "x").stat().st_mode) == 0o711
    assert stat.S_IMODE((root / "x/sub").stat().st_mode) == 0o750
    assert (root / "x/sub").stat().st_mtime == 5


# ---- links in the destination -----------------------------------------------------------


@pytest.mark.parametrize("target", ["/real", "real", "../../../real", "/../real"])
def test_a_link_on_the_way_is_followed_inside_the_root(
    context: Path, root: Path, target: str
) -> None:
    (root / "real").mkdir()
    (root.parent / "real").mkdir()
    (root / "link").symlink_to(target)
    copy(context, root, "file", "/link/")
    copy(context, root, "other", "/link/deep/x")
    assert sorted(os.listdir(root / "real")) == ["deep", "file"]
    assert os.listdir(root.parent / "real") == []


@pytest.mark.parametrize("target", ["/etc/real", "etc/real", "../../etc/real"])
def test_a_link_at_the_destination_is_written_through_inside_the_root(
    context: Path, root: Path, target: str
) -> None:
    (root / "link").symlink_to(target)
    copy(context, root, "file", "/link")
    assert (root / "link").is_symlink()
    assert (root / "etc/real").read_text() == "file"
    assert not (root.parent / "etc").exists()


def test_an_absolute_link_never_reaches_the_host(context: Path, root: Path) -> None:
    victim = root.parent / "victim"
    victim.write_text("old")
    (root / "link").symlink_to(victim)
    copy(context, root, "file", "/link")
    assert victim.read_text() == "old"
    assert (root / str(victim).lstrip("/")).read_text() == "file"


def test_a_link_in_a_circle_is_refused(context: Path, root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    for destination in ("/a", "/a/x"):
        with pytest.raises(InvalidParameter, match="COPY failed"):
            copy(context, root, "file", destination)


@pytest.mark.parametrize("destination", ["/../../x", "/a/../../../x", "/./x"])
def test_a_destination_cannot_leave_the_root(context: Path, root: Path, destination: str) -> None:
    copy(context, root, "file", destination)
    assert (root / "x").read_text() == "file"
    assert not (root.parent / "x").exists()


# ---- metadata ---------------------------------------------------------------------------


def test_mode_and_time_come_with_the_file(context: Path, root: Path) -> None:
    (context / "file").chmod(0o4751)
    copy(context, root, "file", "/x")
    info = (root / "x").stat()
    assert (stat.S_IMODE(info.st_mode), info.st_mtime) == (0o4751, 5)


def test_times_of_directories_survive_what_is_put_into_them(context: Path, root: Path) -> None:
    copy(context, root, "dir", "/x")
    assert [(root / name).stat().st_mtime for name in ("x", "x/sub", "x/sub/b")] == [5, 5, 5]


def test_chmod_is_for_files_and_directories_but_not_for_parents(context: Path, root: Path) -> None:
    copy(context, root, "dir", "/p/x", mode=0o705)
    modes = {name: stat.S_IMODE((root / name).stat().st_mode) for name in tree(root)}
    assert modes == {
        "p": 0o755,
        **dict.fromkeys(("p/x", "p/x/a", "p/x/sub", "p/x/sub/b"), 0o705),
    }


def test_chmod_does_not_touch_a_directory_that_was_there(context: Path, root: Path) -> None:
    (root / "x").mkdir(mode=0o711)
    copy(context, root, "file", "/x/", mode=0o600)
    assert stat.S_IMODE((root / "x").stat().st_mode) == 0o711
    assert stat.S_IMODE((root / "x/file").stat().st_mode) == 0o600


def test_links_below_a_directory_are_copied_as_links(context: Path, root: Path) -> None:
    (context / "dir/link").symlink_to("/nowhere")
    copy(context, root, "dir", "/x")
    assert os.readlink(root / "x/link") == "/nowhere"


def test_a_link_that_is_the_source_itself_is_followed(context: Path, root: Path) -> None:
    (context / "link").symlink_to("dir/a")
    copy(context, root, "link", "/x/")
    assert tree(root) == ["x", "x/link"]
    assert (root / "x/link").read_text() == "dir/a"
    assert not (root / "x/link").is_symlink()


def test_a_large_file_is_whole(context: Path, root: Path) -> None:
    data = os.urandom(1 << 20) * 3 + b"end"
    (context / "large").write_bytes(data)
    copy(context, root, "large", "/x")
    assert (root / "x").read_bytes() == data


def test_pipes_come_along_and_sockets_do_not(context: Path, root: Path) -> None:
    os.mkfifo(context / "dir/pipe")
    os.mknod(context / "dir/socket", stat.S_IFSOCK | 0o600)
    copy(context, root, "dir", "/x")
    assert stat.S_ISFIFO((root / "x/pipe").stat().st_mode)
    assert not (root / "x/socket").exists()


def test_ignored_files_do_not_come_along(context: Path, root: Path) -> None:
    copy(context, root, ".", "/x", ignore="dir/sub\n.docker*\nother")
    assert tree(root) == ["x", "x/dir", "x/dir/a", "x/file"]


@pytest.mark.parametrize("name", [b"caf\xe9", b"new\nline", b"-rf", "\u65e5\u672c".encode()])
def test_strange_names_come_along(context: Path, root: Path, name: bytes) -> None:
    os.close(os.open(os.fsencode(context / "dir/sub") + b"/" + name, os.O_CREAT))
    copy(context, root, "dir/sub", "/")
    assert name in os.listdir(os.fsencode(root))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read_is_named(context: Path, root: Path) -> None:
    (context / "file").chmod(0)
    with pytest.raises(InvalidParameter, match="permission denied"):
        copy(context, root, "file", "/x")


def test_a_workdir_that_is_a_file_is_refused(root: Path) -> None:
    (root / "x").touch()
    with pytest.raises(InvalidParameter):
        make_directory(root, "/x/y")
