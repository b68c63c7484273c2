"""What is not a Dockerfile is refused in Docker's words, with the place; stages and triggers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pogu.dockerfile.instructions import Copy, Onbuild
from pogu.dockerfile.parser import INSTRUCTIONS, parse_dockerfile, parse_instruction
from pogu.errors import EngineError, InvalidParameter


def refused(text: str | bytes) -> InvalidParameter:
    with pytest.raises(InvalidParameter) as caught:
        parse_dockerfile(text if isinstance(text, bytes) else text.encode())
    return caught.value


@pytest.mark.parametrize("text", ["", "\n \n", "# only a comment\n", "\\\n", "\\"])
def test_a_file_without_instructions_is_refused(text: str) -> None:
    assert str(refused(text)) == "file with no instructions"


def test_a_first_instruction_other_than_from_or_arg_is_refused() -> None:
    expected = "dockerfile parse error on line 2: no build stage in current context"
    assert str(refused("ARG A\nRUN x")) == expected
    assert str(refused("ARG A\n")) == "no build stage in current context"


def test_bytes_that_are_no_text_are_refused() -> None:
    assert "not a text file" in str(refused(b"FROM a\0"))
    assert "line 2: the Dockerfile is not valid UTF-8" in str(refused(b"FROM a\nRUN \xff"))


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("RUNN x", "unknown instruction: RUNN", "did you mean RUN?"),
        ("copyy a b", "unknown instruction: copyy", "did you mean COPY?"),
        ("ZZZZ", "unknown instruction: ZZZZ", None),
        ("COPY --frm=0 a b", "unknown flag: --frm", "did you mean --from?"),
        ("ADD --zzzz a b", "unknown flag: --zzzz", None),
        ("COPY --from a b", "missing a value on flag: from", "COPY --from=…"),
        ("COPY --from=a --from=b c d", "duplicate flag specified: from", None),
        ("COPY --link=maybe a b", "expecting boolean value for flag link, not: maybe", None),
        ("RUN --mount x", "missing a value on flag: mount", "RUN --mount=…"),
        ("RUN --security=insecure x", "RUN --security is not supported", "leave the flag out"),
    ],
)
def test_an_unknown_word_is_refused_with_its_place_and_the_nearest_one(
    line: str, message: str, hint: str | None
) -> None:
    err = refused(f"FROM a\n{line}\nRUN y\n")
    assert str(err) == f"dockerfile parse error on line 2: {message}"
    assert err.hint is not None
    assert err.hint.splitlines() == [
        hint or "here:",
        "-" * 20,
        "   1 |     FROM a",
        f"   2 | >>> {line}",
        "   3 |     RUN y",
        "-" * 20,
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("RUN", "RUN requires at least one argument"),
        ("RUN --network=none", "RUN requires at least one argument"),
        ("COPY a", "COPY requires at least two arguments, but only 1 was provided"),
        ('ADD ["a"]', "ADD requires at least two arguments, but only 1 was provided"),
        ("FROM", "FROM requires either one or three arguments"),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM a IS b", "FROM requires either one or three arguments"),
        ("FROM b AS 1x", 'invalid name for build stage: "1x"'),
        ("ENV", "ENV must have at least one argument"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV A=1 B", 'can\'t find = in "B"'),
        ("ENV =1", "ENV names can not be blank"),
        ("LABEL", "LABEL must have at least one argument"),
        ("ARG", "ARG requires at least one argument"),
        ("ARG =1", "ARG names can not be blank"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("VOLUME []", "VOLUME requires at least one argument"),
        ('VOLUME [" "]', "VOLUME specified can not be an empty string"),
        ("USER", "USER requires exactly one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument"),
        ("MAINTAINER", "MAINTAINER requires exactly one argument"),
        ("SHELL bash", "SHELL requires the arguments to be in JSON form"),
        ("SHELL []", "SHELL requires at least one argument"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK TRY x", "Unknown type 'TRY' in HEALTHCHECK (try CMD)"),
        ("HEALTHCHECK --interval=5 CMD x", 'time: invalid duration "5"'),
        (f"HEALTHCHECK --interval={'9' * 400}h CMD x", "time: invalid duration"),
        ("HEALTHCHECK --retries=-1 CMD x", "--retries must be a number"),
        (f"HEALTHCHECK --retries={'9' * 5000} CMD x", "--retries must be a number"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD RUNN x", "unknown instruction: RUNN"),
        ("RUN <<EOF", "unterminated heredoc"),
        ("COPY <<A <<B /\nA", "unterminated heredoc"),
    ],
)
def test_missing_and_wrong_arguments_are_refused(line: str, message: str) -> None:
    err = refused(f"FROM a\n{line}")
    assert str(err).startswith("dockerfile parse error on line 2: ")
    assert message in str(err)


def test_the_place_of_a_continued_instruction_is_all_of_its_lines() -> None:
    err = refused("FROM a\nCOPY \\\n  # note\n  --x=1 \\\n  a b\n")
    assert str(err) == "dockerfile parse error on line 2: unknown flag: --x"
    assert err.hint is not None
    assert err.hint.count(">>>") == 4


def test_directives_are_checked() -> None:
    assert "invalid escape token 'x'" in str(refused("# escape=x\nFROM a"))
    twice = "# escape=`\n# escape=`\nFROM a"
    assert str(refused(twice)) == "only one escape parser directive can be used"


def test_stages_are_numbered_and_named_in_lower_case() -> None:
    parsed = parse_dockerfile(b"FROM a AS One\nRUN x\nFROM b\nFROM one AS two\n")
    assert [(stage.index, stage.name) for stage in parsed.stages] == [
        (0, "one"),
        (1, "1"),
        (2, "two"),
    ]
    assert [len(stage.instructions) for stage in parsed.stages] == [1, 0, 0]


def test_two_stages_of_one_name_are_refused() -> None:
    err = refused("FROM a AS x\nFROM b AS X\n")
    assert str(err) == "dockerfile parse error on line 2: duplicate name x in build stages"


def test_a_trigger_parses_again_with_the_file_s_escape() -> None:
    parsed = parse_dockerfile(b"# escape=`\nFROM a\nONBUILD COPY a c:\\\n")
    trigger = parsed.stages[0].instructions[0]
    assert isinstance(trigger, Onbuild)
    fired = parse_instruction(trigger.trigger, escape=parsed.escape)
    assert isinstance(fired, Copy)
    assert fired.destination == "c:\\"


def test_one_instruction_is_not_two() -> None:
    with pytest.raises(InvalidParameter, match="not one instruction"):
        parse_instruction("RUN a\nRUN b")


def test_json_too_deep_or_with_half_a_character_does_no_harm() -> None:
    deep = parse_dockerfile(b"FROM a\nCMD " + b"[" * 100_000).stages[0].instructions[0]
    assert len(deep.text) == 100_004
    parsed = parse_dockerfile(b'FROM a\nCOPY ["\\ud800", "/x"]').stages[0].instructions[0]
    assert isinstance(parsed, Copy)
    assert parsed.sources == ("\ufffd",)


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused_by_an_engine_error(text: str) -> None:
    try:
        parse_dockerfile(text.encode("utf-8", "surrogatepass"))
    except EngineError:
        return


@given(st.binary(max_size=100))
def test_any_bytes_are_parsed_or_refused_by_an_engine_error(raw: bytes) -> None:
    try:
        parse_dockerfile(b"FROM a\n" + raw)
    except EngineError:
        return


ARGUMENTS = r"""<<EOF <<-'E' EOF E --from= --mount=type=cache --interval=5s --retries=3 --chown=1
    --link --platform=x CMD NONE AS ["a","b"] [ " ' \ ` # a=b $x ${x:-y} 80/tcp --"""
BREAKS = ("\n", "\n", "\\\n", "\t", "\r", "# escape=`", "")
WORDS = st.sampled_from([*INSTRUCTIONS, *ARGUMENTS.split(), *BREAKS])


@given(st.lists(WORDS, max_size=25).map(" ".join))
def test_any_mixture_of_its_words_is_parsed_or_refused(text: str) -> None:
    try:
        parsed = parse_dockerfile(b"FROM a\n" + text.encode())
    except EngineError:
        return
    for stage in parsed.stages:
        for one in (stage.base, *stage.instructions):
            assert 1 <= one.source.first_line <= one.source.last_line <= len(parsed.lines)
