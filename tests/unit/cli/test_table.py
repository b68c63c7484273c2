"""Tables, sizes and durations are what docker 28 prints."""

from __future__ import annotations

import pytest

from pogu.cli.table import (
    binary_size,
    format_rows,
    human_duration,
    human_size,
    print_table,
)
from pogu.cli.template import TemplateError

HEADERS = {"ID": "CONTAINER ID", "Image": "IMAGE", "Names": "NAMES", "Ports": "PORTS"}


def rows() -> list[dict[str, object]]:
    labels = {"com.x.swarm-cpu": "3"}
    return [
        {
            "ID": "aaaaaaaaaaaa",
            "Image": "nginx<x>&",
            "Names": "web",
            "Ports": "0.0.0.0:8080->80/tcp",
            "Label": lambda name: labels.get(name, ""),
        },
        {
            "ID": "cccccccccccc",
            "Image": "é",
            "Names": "a-very-long-name-here",
            "Ports": "",
            "Label": lambda _name: "",
        },
    ]


@pytest.mark.parametrize(
    ("template", "printed"),
    [
        (
            r"table {{.ID}}\t{{.Names}}",
            "CONTAINER ID   NAMES\naaaaaaaaaaaa   web\ncccccccccccc   a-very-long-name-here\n",
        ),
        (
            "table {{.ID}}\t{{.Image}}\t{{.Ports}}\t{{.Names}}",
            "CONTAINER ID   IMAGE       PORTS                  NAMES\n"
            "aaaaaaaaaaaa   nginx<x>&   0.0.0.0:8080->80/tcp   web\n"
            "cccccccccccc   é                                  a-very-long-name-here\n",
        ),
        (
            r'table {{.ID}}\t{{.Label "com.x.swarm-cpu"}}',
            "CONTAINER ID   swarm cpu\naaaaaaaaaaaa   3\ncccccccccccc   \n",
        ),
        (
            r"table {{upper .Names}}\t{{json .Image}}\tX",
            "NAMES                   IMAGE         X\n"
            'WEB                     "nginx<x>&"   X\n'
            'A-VERY-LONG-NAME-HERE   "é"           X\n',
        ),
        ("table{{truncate .ID 3}}", "CONTAINER ID\naaa\nccc\n"),
        (
            r"table {{.ID}}\n{{.Names}}\tb",
            "CONTAINER ID\nNAMES     b\naaaaaaaaaaaa\nweb       b\n"
            "cccccccccccc\na-very-long-name-here   b\n",
        ),
        (
            r"table {{.ID}}\t\t{{.Names}}\t",
            "CONTAINER ID             NAMES                   \n"
            "aaaaaaaaaaaa             web                     \n"
            "cccccccccccc             a-very-long-name-here   \n",
        ),
        ("{{.ID}} ", "aaaaaaaaaaaa\ncccccccccccc\n"),
        (r"{{.ID}}\n", "aaaaaaaaaaaa\n\ncccccccccccc\n\n"),
        (r"{{.ID}}\t{{.Names}}", "aaaaaaaaaaaa\tweb\ncccccccccccc\ta-very-long-name-here\n"),
        ("{{json .Image}}", '"nginx<x>&"\n"é"\n'),
        (" table {{.Names}}", "table web\ntable a-very-long-name-here\n"),
        ("TABLE {{.Names}}", "TABLE web\nTABLE a-very-long-name-here\n"),
        (
            "json",
            '{"ID":"aaaaaaaaaaaa","Image":"nginx\\u003cx\\u003e\\u0026","Names":"web",'
            '"Ports":"0.0.0.0:8080-\\u003e80/tcp"}\n'
            '{"ID":"cccccccccccc","Image":"é","Names":"a-very-long-name-here","Ports":""}\n',
        ),
    ],
)
def test_rows_print_as_docker_prints_them(template: str, printed: str) -> None:
    assert format_rows(template, HEADERS, rows()) == printed


def test_without_rows_only_a_table_prints_its_header() -> None:
    assert format_rows(r"table {{.ID}}\t{{.Names}}", HEADERS, []) == "CONTAINER ID   NAMES\n"
    assert format_rows("json", HEADERS, []) == ""
    assert format_rows("{{.ID}}", HEADERS, []) == ""


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TemplateError, match=r":1:2: .*<\.Nope>: can't evaluate field Nope"):
        format_rows("table {{.Nope}}", HEADERS, rows())


def test_a_table_of_ready_cells_has_columns_of_at_least_ten() -> None:
    printed = print_table(["NAME", "DRIVER", "X"], [["a", "bridge-network", ""], ["b", "", "y"]])
    assert printed == (
        "NAME      DRIVER           X\na         bridge-network   \nb                          y\n"
    )


@pytest.mark.parametrize(
    ("size_bytes", "printed"),
    [
        (0, "0B"),
        (1, "1B"),
        (999, "999B"),
        (1000, "1kB"),
        (1234, "1.23kB"),
        (12345, "12.3kB"),
        (999_499, "999kB"),
        (999_950, "1MB"),
        (1_230_000, "1.23MB"),
        (77_000_000, "77MB"),
        (187_000_000, "187MB"),
        (1_234_567_890, "1.23GB"),
        (5 * 10**27, "5000YB"),
    ],
)
def test_sizes_have_three_digits_and_decimal_units(size_bytes: int, printed: str) -> None:
    assert human_size(size_bytes) == printed


def test_sizes_with_four_digits_and_in_binary_units() -> None:
    assert human_size(1_234_567, digits=4) == "1.235MB"
    assert [binary_size(n) for n in (0, 1536, 2**20, 1023 * 2**20, 12_700_000_000)] == [
        "0B",
        "1.5KiB",
        "1MiB",
        "1023MiB",
        "11.83GiB",
    ]


MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "printed"),
    [
        (-3, "Less than a second"),
        (0.9, "Less than a second"),
        (1, "1 second"),
        (5.7, "5 seconds"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (3 * MINUTE, "3 minutes"),
        (59 * MINUTE + 59, "59 minutes"),
        (HOUR, "About an hour"),
        (89 * MINUTE, "About an hour"),
        (90 * MINUTE, "2 hours"),
        (47 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"),
        (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (730 * DAY, "2 years"),
        (1_234_567_890, "39 years"),
    ],
)
def test_durations_are_docker_s_round_words(seconds: float, printed: str) -> None:
    assert human_duration(seconds) == printed
