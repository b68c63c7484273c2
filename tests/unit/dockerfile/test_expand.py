"""Variables and quotes expand as the Dockerfile reference says ("Environment replacement")."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pogu.dockerfile.expand import expand_text, expand_word, expand_words
from pogu.errors import InvalidParameter

LOOKUP = {
    "x": "v",
    "empty": "",
    "path": "/usr/local/bin",
    "file": "a.tar.gz",
    "words": "a b",
    "star": "a*b",
}


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("plain", "plain"),
        ("$x", "v"),
        ("${x}_y", "v_y"),
        ("$x_y", ""),
        ("$unset", ""),
        ("$1", ""),
        ("a$", "a$"),
        ("${empty:-d}", "d"),
        ("${empty-d}", ""),
        ("${unset-d}", "d"),
        ("${unset:-$x}", "v"),
        ("${unset:-${unset:-z}}!", "z!"),
        ("${unset:-a}${unset:-b}", "ab"),
        ("${unset:-'a b'}", "a b"),
        ('${unset:-"}"}', "}"),
        ("${x:+y}", "y"),
        ("${empty:+y}", ""),
        ("${empty+y}", "y"),
        ("${unset+y}", ""),
        ("${x:?needed}", "v"),
        ("${empty?needed}", ""),
    ],
)
def test_variables_with_defaults_and_alternatives(word: str, expanded: str) -> None:
    assert expand_word(word, LOOKUP) == expanded


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("${file#*.}", "tar.gz"),
        ("${file##*.}", "gz"),
        ("${file%.*}", "a.tar"),
        ("${file%%.*}", "a"),
        ("${file%nothing}", "a.tar.gz"),
        ("${file#?.}", "tar.gz"),
        ("${star#a\\*}", "b"),
        ("${file#a\\*}", "a.tar.gz"),
        ("${unset#x}", ""),
        ("${path/local/x}", "/usr/x/bin"),
        ("${path//\\//-}", "-usr-local-bin"),
        ("${file//a/$x}", "v.tvr.gz"),
        ("${file/a*r/X}", "X.gz"),
        ("${file/.*}", "a"),
        ("${star/\\*/+}", "a+b"),
    ],
)
def test_patterns_strip_and_replace(word: str, expanded: str) -> None:
    assert expand_word(word, LOOKUP) == expanded


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("'$x'", "$x"),
        ("'a\\'", "a\\"),
        ('"$x"', "v"),
        ('"a\\"b\\$x\\\\\\n"', 'a"b$x\\\\n'),
        ('"it\'s"', "it's"),
        ("'a'\"b\"c", "abc"),
        ("\\$x", "$x"),
        ("a\\ b", "a b"),
        ("\\\\", "\\"),
        ("end\\", "end"),
        ("''", ""),
    ],
)
def test_quotes_and_escapes_are_removed(word: str, expanded: str) -> None:
    assert expand_word(word, LOOKUP) == expanded


def test_the_escape_character_is_the_file_s() -> None:
    assert expand_word("c:\\$x`$x", LOOKUP, "`") == "c:\\v$x"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("${", "bad substitution"),
        ("${}", "bad substitution"),
        ("${x", "missing '}'"),
        ("${x!y}", r"unsupported modifier \(!\)"),
        ("${x:=y}", r"unsupported modifier \(:=\)"),
        ("${unset:?no $x}", "^unset: no v$"),
        ("${unset?}", "^unset: is not allowed to be unset$"),
        ("'a", "looking for matching single-quote"),
        ('"a', "looking for matching double-quote"),
    ],
)
def test_what_cannot_be_expanded_is_refused(word: str, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        expand_word(word, LOOKUP)


def test_words_split_after_expansion() -> None:
    assert expand_words("$words $x", LOOKUP) == ["a", "b", "v"]
    assert expand_words("$unset", LOOKUP) == []


def test_text_of_a_heredoc_keeps_its_quotes() -> None:
    text = "it's \"$x\" \\$x \\n ${unset:-it's}\n"
    assert expand_text(text, LOOKUP) == "it's \"v\" $x \\n it's\n"


@given(st.text(alphabet="ax{}$:-+?#%/\\'\"* \n", max_size=30))
def test_any_word_expands_or_is_refused(word: str) -> None:
    for expand in (expand_word, expand_text):
        try:
            assert isinstance(expand(word, LOOKUP), str)
        except InvalidParameter:
            continue


@given(st.text(alphabet=st.characters(exclude_characters="$\\'\"")))
def test_text_without_special_characters_is_itself(word: str) -> None:
    assert expand_word(word, {}) == word
