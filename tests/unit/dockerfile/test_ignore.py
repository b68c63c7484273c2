""".dockerignore: the rules of the Docker documentation, and those of moby/patternmatcher."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pogu.dockerfile.ignore import IgnoreRules
from pogu.errors import InvalidParameter


@pytest.mark.parametrize(
    ("rules", "hidden", "kept"),
    [
        ("*.log", ["a.log"], ["a.txt", "dir/a.log", "a.log.txt"]),
        ("*/temp*", ["a/temp", "a/temporary.txt", "a/temp/b"], ["temp", "a/b/temp"]),
        ("temp?", ["tempa", "tempb"], ["temp", "tempab", "temp/"]),
        ("**/*.go", ["a.go", "x/a.go", "x/y/a.go"], ["a.gox"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["b", "x/a/b"]),
        ("docs/**", ["docs/a", "docs/a/b"], ["docs", "doc"]),
        ("**", ["a", "a/b"], []),
        ("/root", ["root", "root/x"], ["a/root"]),
        ("dir/", ["dir", "dir/x"], ["a/dir"]),
        ("./a//b/../c", ["a/c"], ["a/b"]),
        ("# comment\n\n  spaced  ", ["spaced"], ["# comment"]),
        (" # no comment", ["# no comment"], []),
        ("\\#hash\n\\!bang", ["#hash", "!bang"], ["\\#hash"]),
        ("[a-c]x\n[^0-9]y", ["ax", "cx", "zy"], ["dx", "1y"]),
        ("[[]\n[a&&b]1\n[\\]]", ["[", "&1", "a1", "]"], ["1"]),
        ("a.b+c$", ["a.b+c$"], ["axb+c$", "a.bbc$"]),
        ("\ufeffx\r\ny\r\n", ["x", "y"], ["z"]),
    ],
)
def test_a_pattern_hides_what_it_matches_and_all_below(
    rules: str, hidden: list[str], kept: list[str]
) -> None:
    found = IgnoreRules.parse(rules)
    assert [path for path in hidden + kept if found.ignored(path)] == hidden


@pytest.mark.parametrize(
    ("rules", "hidden", "kept"),
    [
        ("*.md\n!README.md", ["a.md"], ["README.md"]),
        ("*.md\n!README*.md\nREADME-secret.md", ["README-secret.md"], ["README.md"]),
        ("*.md\nREADME-secret.md\n!README*.md", ["a.md"], ["README-secret.md", "README.md"]),
        ("*\n!src\nsrc/*.o", ["a", "src/x.o"], ["src", "src/a/b"]),
        ("**\n! a/b ", ["a", "a/c"], ["a/b", "a/b/c"]),
    ],
)
def test_the_last_rule_that_matches_decides(rules: str, hidden: list[str], kept: list[str]) -> None:
    found = IgnoreRules.parse(rules)
    assert [path for path in hidden + kept if found.ignored(path)] == hidden


def test_the_rule_that_hid_a_path_is_named_with_its_line() -> None:
    rules = IgnoreRules.parse("# logs\n*.log\n!keep.log")
    assert rules.rule_for("a.log") == "line 2: *.log"
    assert rules.rule_for("keep.log") is None
    assert rules.rule_for("other") is None


def test_a_hidden_directory_is_entered_only_where_an_exception_may_lie() -> None:
    rules = IgnoreRules.parse("*\n!src/*/keep\n!docs/**/x")
    entered = ["src", "src/a", "docs", "docs/a/b"]
    assert all(map(rules.may_reinclude_below, entered))
    assert not any(map(rules.may_reinclude_below, ["vendor", "source"]))
    assert not IgnoreRules.parse("*").may_reinclude_below("src")


def test_no_rules_hide_nothing() -> None:
    assert not IgnoreRules.parse("# only a comment\n\n")
    assert not IgnoreRules().ignored("a")


@pytest.mark.parametrize("rule", ["!", "! ", "[", "[]", "[^]", "a[z-a]", "a[b", "a[/]b"])
def test_a_pattern_that_cannot_be_is_refused_with_its_line(rule: str) -> None:
    with pytest.raises(InvalidParameter, match="error checking context") as caught:
        IgnoreRules.parse(f"ok\n{rule}")
    assert caught.value.hint == ".dockerignore line 2"


@given(st.text(alphabet="ab/*?[]!^-\\. #&|~", max_size=20), st.text(alphabet="ab/.", max_size=8))
def test_any_rules_decide_or_are_refused(rules: str, path: str) -> None:
    try:
        found = IgnoreRules.parse(rules)
    except InvalidParameter:
        return
    assert found.ignored(path) == (found.rule_for(path) is not None)
    assert found.may_reinclude_below(path) in (True, False)
