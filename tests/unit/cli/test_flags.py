"""Flags parse as Docker's clients parse them, and errors say what was meant."""

from __future__ import annotations

import pytest

from pogu.cli.failure import UsageError
from pogu.cli.flags import Command, Flag, Values, help_text, parse


def a_command(*, least: int = 0, most: int | None = None, stops: bool = False) -> Command:
    flags = [
        Flag("-a, --all", "bool", "Everything"),
        Flag("-e, --env", "list", "Variables"),
        Flag("-n, --last", "int", "How many", -1),
        Flag("--name", "text", "Name"),
        Flag("--sig-proxy", "bool", "Signals", True),
        Flag("-t, --tty", "bool", "Terminal"),
    ]
    return Command(
        "demo", "WORD", "Shows", lambda c, v: 0, flags, least=least, most=most, stops=stops
    )


def parsed(*words: str, stops: bool = False) -> Values:
    return parse(a_command(stops=stops), words)


@pytest.mark.parametrize("words", [("--name", "x"), ("--name=x",), ("--name=y", "--name", "x")])
def test_a_text_flag_takes_the_last_value(words: tuple[str, ...]) -> None:
    assert parsed(*words).text("name") == "x"


@pytest.mark.parametrize("words", [("-n", "3"), ("-n3",), ("-n=3",), ("--last=3",), ("-an3",)])
def test_a_short_flag_takes_its_value_in_every_form(words: tuple[str, ...]) -> None:
    assert parsed(*words).number("last") == 3


def test_list_flags_gather_and_defaults_hold() -> None:
    values = parsed("-e", "A=1", "-eB=2", "--env", "C=3")
    assert values.texts("env") == ["A=1", "B=2", "C=3"]
    assert values.number("last") == -1
    assert values.flag("sig-proxy")
    assert values.given == {"env"}


def test_bools_cluster_and_can_be_denied() -> None:
    values = parsed("-at", "--sig-proxy=false")
    assert values.flag("all")
    assert values.flag("tty")
    assert not values.flag("sig-proxy")


def test_flags_may_follow_arguments_unless_the_command_stops_there() -> None:
    assert parsed("image", "-a").flag("all")
    values = parsed("image", "-a", stops=True)
    assert (values.args, values.flag("all")) == (["image", "-a"], False)


def test_a_double_dash_ends_the_flags_and_a_dash_is_an_argument() -> None:
    assert parsed("-", "--", "-a").args == ["-", "-a"]


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("--nam", "x"), "unknown flag: --nam", "did you mean --name?"),
        (("-x",), "unknown shorthand flag: 'x' in -x", "See 'pogu demo --help'"),
        (("--name",), "flag needs an argument: --name", "See"),
        (("-n",), "flag needs an argument: 'n' in -n", "See"),
        (
            ("--last", "x"),
            'invalid argument "x" for "--last" flag: strconv.ParseInt: parsing "x": invalid syntax',
            "a whole number",
        ),
        (
            ("-a=maybe",),
            'invalid argument "maybe" for "-a" flag: strconv.ParseBool: parsing "maybe":'
            " invalid syntax",
            "true or false",
        ),
    ],
)
def test_wrong_flags_are_refused(words: tuple[str, ...], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(*words)
    assert caught.value.message == message
    assert hint in caught.value.hint
    assert caught.value.code == 125


@pytest.mark.parametrize(
    ("least", "most", "words", "message"),
    [
        (0, 0, ("x",), "'pogu demo' accepts no arguments"),
        (1, 1, (), "'pogu demo' requires 1 argument"),
        (2, 2, ("x",), "'pogu demo' requires 2 arguments"),
        (1, None, (), "'pogu demo' requires at least 1 argument"),
        (1, 2, ("x", "y", "z"), "'pogu demo' requires at most 2 arguments"),
    ],
)
def test_arguments_are_counted(
    least: int, most: int | None, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse(a_command(least=least, most=most), words)
    assert (caught.value.message, caught.value.code) == (message, 1)


def test_help_lists_the_flags_in_order() -> None:
    assert help_text(a_command()).splitlines()[:6] == [
        "Usage:  pogu demo WORD",
        "",
        "Shows",
        "",
        "Options:",
        "  -a, --all           Everything",
    ]
