"""The build context: what a source names, what .dockerignore leaves, what a near miss says."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tests.archives import a_directory, a_tar

from pogu.build.context import Context, FileDigests, printable
from pogu.db import Database
from pogu.errors import InvalidParameter
from pogu.storage.apply import apply_tar
from pogu.storage.tree import remove_tree


def a_context(root: Path, *files: str, ignore: str = "") -> Context:
    """Make files (`d/` is a directory), write .dockerignore."""
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_text(name)
    if ignore:
        (root / ".dockerignore").write_text(ignore)
    return Context.of_directory(root, "Dockerfile")


def found(context: Context, pattern: str) -> list[str]:
    return [entry.path for entry in context.find(pattern)]


def walked(context: Context, top: str = ".") -> list[str]:
    return [entry.path for entry in context.walk(context.find(top)[0])]


def hint_of(context: Context, pattern: str) -> str:
    with pytest.raises(InvalidParameter, match="COPY failed") as caught:
        context.find(pattern)
    return caught.value.hint or ""


@pytest.mark.parametrize("pattern", ["d/f", "/d/f", "./d/f", "d//f", "d/../d/f", "../../d/f"])
def test_a_source_is_relative_to_the_context_and_cannot_leave_it(
    tmp_path: Path, pattern: str
) -> None:
    assert found(a_context(tmp_path, "d/f"), pattern) == ["d/f"]


@pytest.mark.parametrize("pattern", [".", "/", "", "./", "..", "d/.."])
def test_the_context_itself_is_a_source(tmp_path: Path, pattern: str) -> None:
    assert found(a_context(tmp_path, "d/f"), pattern) == ["."]


def test_wildcards_find_sorted_names_of_one_depth(tmp_path: Path) -> None:
    context = a_context(tmp_path, "b.txt", "a.txt", "c.md", "d/e.txt", "d/f/g.txt")
    assert found(context, "*.txt") == ["a.txt", "b.txt"]
    assert found(context, "*/*.txt") == ["d/e.txt"]
    assert found(context, "d/*") == ["d/e.txt", "d/f"]


def test_wildcards_do_not_find_what_is_ignored(tmp_path: Path) -> None:
    context = a_context(tmp_path, "a.txt", "b.txt", "src/keep", "src/x", ignore="*\n!a*\n!src/k*")
    assert found(context, "*") == ["a.txt", "src"]
    assert walked(context, "src") == ["src/keep"]


def test_a_walk_gives_parents_first_and_sorted(tmp_path: Path) -> None:
    context = a_context(tmp_path, "d/b/x", "d/a", "e/", "c")
    assert walked(context) == ["c", "d", "d/a", "d/b", "d/b/x", "e"]
    assert walked(context, "d") == ["d/a", "d/b", "d/b/x"]


def test_a_walk_leaves_out_what_is_ignored(tmp_path: Path) -> None:
    files = ("a.log", "keep.log", "node_modules/x", "src/a.log", "src/main")
    context = a_context(tmp_path, *files, ignore="**/*.log\n!keep.log\nnode_modules\n.docker*")
    assert walked(context) == ["keep.log", "src", "src/main"]


def test_a_directory_on_the_way_to_an_exception_is_there(tmp_path: Path) -> None:
    context = a_context(tmp_path, "a/b/keep", "a/b/x", "a/c/y", "z", ignore="*\n!a/b/keep")
    assert walked(context) == ["a", "a/b", "a/b/keep"]


def test_a_dockerfile_may_have_its_own_ignore_file(tmp_path: Path) -> None:
    a_context(tmp_path, "a", "b", ignore="a")
    (tmp_path / "Dockerfile.dev.dockerignore").write_text("b\n*docker*")
    assert walked(Context.of_directory(tmp_path, "Dockerfile.dev")) == ["a"]


def test_links_are_followed_inside_the_context(tmp_path: Path) -> None:
    context = a_context(tmp_path / "c", "real/f")
    (tmp_path / "c/link").symlink_to("/real")
    (tmp_path / "c/up").symlink_to("../../../real/f")
    assert context.find("link/f")[0].full == str(tmp_path / "c/real/f")
    assert context.find("up")[0].full == str(tmp_path / "c/real/f")


def test_a_link_out_of_the_context_leads_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    context = a_context(tmp_path / "c", "f")
    (tmp_path / "c/out").symlink_to(tmp_path)
    for pattern in ("out/secret", "o*/secret", "out/*", "out"):
        with pytest.raises(InvalidParameter, match="COPY failed"):
            context.find(pattern)


def test_links_below_a_directory_are_not_followed(tmp_path: Path) -> None:
    context = a_context(tmp_path, "d/f")
    (tmp_path / "d/l").symlink_to("/etc")
    assert walked(context, "d") == ["d/f", "d/l"]


def test_a_tree_deeper_than_the_stack_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    apply_tar(a_tar([a_directory("d/" * 1200)]), tmp_path / "c")
    with pytest.raises(InvalidParameter, match="nest too deep"):
        walked(Context(tmp_path / "c", what="build context"))
    remove_tree(tmp_path / "c")  # pytest itself could not


@pytest.mark.parametrize("target", ["nothing", "loop"])
def test_a_link_to_nothing_is_refused_by_name(tmp_path: Path, target: str) -> None:
    context = a_context(tmp_path, "f")
    (tmp_path / "loop").symlink_to(target)
    assert "link" in hint_of(context, "l*")
    hint_of(context, "loop")


@pytest.mark.parametrize("pattern", ["x" * 300, "f/below", "x*", "f/*", "y/z/w"])
def test_what_is_not_there_is_refused_in_dockers_words(tmp_path: Path, pattern: str) -> None:
    context = a_context(tmp_path, "f")
    with pytest.raises(InvalidParameter) as caught:
        context.find(pattern)
    assert caught.value.message == (
        "COPY failed: file not found in build context or excluded by .dockerignore: "
        f"stat {pattern}: file does not exist"
    )


@pytest.mark.parametrize(
    ("pattern", "near"),
    [
        ("pakage.json", "did you mean package.json?"),
        ("src/mian.py", "did you mean src/main.py?"),
        ("main.py", "did you mean src/main.py?"),
        ("lib/main.py", "did you mean src/main.py?"),
        ("zzz", "paths start at the build context and cannot leave it"),
    ],
)
def test_a_near_miss_is_named(tmp_path: Path, pattern: str, near: str) -> None:
    assert hint_of(a_context(tmp_path, "package.json", "src/main.py"), pattern) == near


def test_what_the_ignore_file_hides_is_named_with_its_rule(tmp_path: Path) -> None:
    context = a_context(tmp_path, "dist/app", "a.log", ignore="# no\ndist\n*.log")
    assert hint_of(context, "dist/app") == ".dockerignore hides it: line 2: dist"
    assert hint_of(context, "a.log") == ".dockerignore hides it: line 3: *.log"


# ---- digests ----------------------------------------------------------------------------


def digest(digests: FileDigests, path: Path) -> tuple[str, bool]:
    """Return the digest, and whether it is new and old enough to be kept."""
    fresh: dict[str, tuple[str, str]] = {}
    value = digests.digest(str(path), path.stat(), fresh)
    digests.flush(fresh)
    return value, bool(fresh)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds later: files just written are no longer too young to trust."""
    now = time.time_ns
    monkeypatch.setattr("pogu.build.context.time.time_ns", lambda: now() + 10_000_000_000)


@pytest.mark.usefixtures("later")
def test_a_file_is_hashed_once_over_restarts(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("x")
    first = FileDigests(Database(tmp_path / "db"))
    value, fresh = digest(first, file)
    again = FileDigests(Database(tmp_path / "db"))
    again.load(str(tmp_path))
    assert fresh
    assert digest(again, file) == (value, False)


@pytest.mark.usefixtures("later")
def test_a_changed_file_of_the_same_size_and_mtime_is_hashed_anew(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("one")
    os.utime(file, (5, 5))
    digests = FileDigests(Database(tmp_path / "db"))
    before, _ = digest(digests, file)
    file.write_text("two")
    os.utime(file, (5, 5))
    assert digest(digests, file)[0] != before


def test_a_file_written_just_now_is_not_trusted_next_time(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    digests = FileDigests(Database(tmp_path / "db"))
    assert digest(digests, tmp_path / "f")[1] is False


@pytest.mark.usefixtures("later")
def test_digests_of_names_that_are_not_utf8_are_kept_too(tmp_path: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    file.write_text("x")
    digests = FileDigests(Database(tmp_path / "db"))
    assert digest(digests, file)[1] is True
    assert digest(digests, file)[1] is False


@pytest.mark.parametrize(
    ("name", "shown"), [("a", "a"), ("\u00fc", "\u00fc"), ("caf\udce9", "caf\\xe9")]
)
def test_a_path_is_made_printable(name: str, shown: str) -> None:
    assert printable(name) == shown
