"""Templates print what docker 28 prints; the expected texts are its own, replayed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pogu.cli.template import Row, TemplateError, compile, render

CONTAINER: dict[str, object] = {
    "Name": "/web",
    "Path": "sh",
    "State": {"Status": "running", "Running": True, "ExitCode": 0},
    "Config": {
        "Labels": {"a": "<b>"},
        "Env": ["A=1", "B=2"],
        "Entrypoint": None,
        "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
    },
    "Extra": {"b": True, "f": 1.5, "n": 12345678901, "x": None},
}


@pytest.mark.parametrize(
    ("template", "printed"),
    [
        ("plain } text", "plain } text"),
        ("{{.Name}}", "/web"),
        ("{{$.Name}}", "/web"),
        ("{{.State.ExitCode}} {{.State.Running}}", "0 true"),
        ("{{.Config.Env}} {{.Config.Labels}}", "[A=1 B=2] map[a:<b>]"),
        ("{{.Extra}}", "map[b:true f:1.5 n:12345678901 x:<nil>]"),
        ("{{.Extra.x}} {{.Config.Labels.zz}}", "<no value> <no value>"),
        ("{{(.Config).Env}}", "[A=1 B=2]"),
        ("{{(index .Config.Env 1)}}", "B=2"),
        ('{{index .Config.Labels "missing"}}.', "."),
        ("{{with .Config}}{{.Env}}{{$.Name}}{{end}}", "[A=1 B=2]/web"),
        ("{{with $x := .Name}}{{$x}}{{else with .Path}}{{.}}{{end}}", "/web"),
        ("{{with .Extra.x}}a{{else with .Path}}{{.}}{{end}}", "sh"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none"),
        ("{{if false}}a{{else if .Name}}b{{else}}c{{end}}", "b"),
        ("{{range .Config.Env}}<{{.}}>{{end}}", "<A=1><B=2>"),
        ("{{range .Config.Entrypoint}}x{{else}}none{{end}}", "none"),
        ("{{range $i, $e := .Config.Env}}{{$i}}{{$e}} {{end}}", "0A=1 1B=2 "),
        ("{{range $p, $_ := .Config.ExposedPorts}}{{$p}} {{end}}", "443/tcp 80/tcp "),
        ("{{range $v := .Config.Env}}{{$v}}{{end}}", "A=1B=2"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ('{{range .Config.Env}}{{if eq . "B=2"}}{{break}}{{end}}{{.}}{{end}}', "A=1"),
        ("{{range .Config.Env}}a{{continue}}b{{end}}", "aa"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{$y := 3}}{{$y}}{{end}}{{$x}}", "32"),
        ('{{.Name | upper | printf "%-10s|"}}', "/WEB      |"),
        ('{{"a" | printf "%s %s" "b"}}', "b a"),
        ("{{/* a comment */}}x", "x"),
        ("a {{- /* trimmed */ -}} b", "ab"),
        ("a {{- .Path -}} b", "ashb"),
        ("{{- 1 -}} x", "1x"),
        ("{{-1}} {{0x10}} {{'a'}}", "-1 16 97"),
        ("{{1.5}} {{1e9}} {{1000000.0}} {{0.00001}}", "1.5 1e+09 1e+06 1e-05"),
        ('{{"\\t\\"x\\u00e9\\x41"}}{{`a\\n`}}', '\t"xéAa\\n'),
        ('{{"}}"}}', "}}"),
        ("{{print nil}}", "<nil>"),
        ('{{print 1 2 "a" "b" 3}}', "1 2ab3"),
        ('{{println 1 "a"}}', "1 a\n"),
        ('{{split "a,b" ","}}', "[a b]"),
        ('{{join .Config.Env ","}}', "A=1,B=2"),
        ('{{join (split "a,b" ",") "-"}}', "a-b"),
        ('{{title "hello wORLD a-b"}}', "Hello WORLD A-B"),
        ('{{lower "ABC"}}{{upper "abc"}}', "abcABC"),
        ('{{pad "x" 2 3}}|{{pad "" 2 3}}|', "  x   ||"),
        ('{{truncate "abcdef" 3}}{{truncate "ab" 3}}', "abcab"),
        ("{{len .Config.Env}} {{.Name | len}}", "2 4"),
        ('{{index .Config.Labels "a"}}{{index .Config "Env" 1}}', "<b>B=2"),
        ('{{slice "abcdef" 1 3}}{{slice .Config.Env 1}}', "bc[B=2]"),
        ('{{html "<a>&"}} {{urlquery "a b&c/"}}', "&lt;a&gt;&amp; a+b%26c%2F"),
        ('{{not 1}} {{and 1 0}} {{or 0 "x"}} {{and .Name .Path}}', "false 0 x sh"),
        ('{{ne 1 2}}{{ge 2 2}}{{eq "a" "b" "a"}}', "truetruetrue"),
        ("{{lt 1 2}}{{le 2 2}}{{gt 1 2}}", "truetruefalse"),
        ("{{eq .State.ExitCode 0}}{{eq .Extra.x 1}}", "truefalse"),
    ],
)
def test_a_template_prints_what_docker_prints(template: str, printed: str) -> None:
    assert render(template, CONTAINER) == printed
    assert render(template, CONTAINER, strict=True) == printed


@pytest.mark.parametrize(
    ("template", "printed"),
    [
        ('{{printf "%d %s %q" .Name 5 .Name}}', '%!d(string=/web) %!s(int=5) "/web"'),
        ('{{printf "%v %s" .Config.Env .Config.Env}}', "[A=1 B=2] [A=1 B=2]"),
        ('{{printf "%q" .Config.Env}}', '["A=1" "B=2"]'),
        ('{{printf "%+v" .Config.Labels}}', "map[a:<b>]"),
        ('{{printf "%-8s|%8s|%#v" "a" "b" "c"}}', 'a       |       b|"c"'),
        ('{{printf "%5.2f|%05d|%x" 1.5 42 "hi"}}', " 1.50|00042|6869"),
        ('{{printf "%t|%v|%T" true "s" 1}}', "true|s|int"),
        ('{{printf "%t %c %U %e %g" true 65 65 1.5 2.5}}', "true A U+0041 1.500000e+00 2.5"),
        ('{{printf "%08.3f %x %X %o %b" 3.14159 255 255 8 5}}', "0003.142 ff FF 10 101"),
        ('{{printf "%.3s|%3d%%|%*d" "abcdef" 7 5 1}}', "abc|  7%|    1"),
        ('{{printf "%d"}}', "%!d(MISSING)"),
        ('{{printf "%d" 1 2}}', "1%!(EXTRA int=2)"),
        ('{{printf "%z" 1}}', "%!z(int=1)"),
        ('{{printf "%d" .State.Running}}', "%!d(bool=true)"),
        ('{{printf "%s" .Extra.x}}', "%!s(<nil>)"),
    ],
)
def test_printf_formats_as_go(template: str, printed: str) -> None:
    assert render(template, CONTAINER) == printed


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ({"b": 1, "a": [True, None, "x"]}, '{"b":1,"a":[true,null,"x"]}'),
        ("<a>&é\u2028\x01\b\f", '"<a>&é\\u2028\\u0001\\b\\f"'),
        (None, "null"),
        ({}, "{}"),
        (Row(B="<x>", A=1, Label=str), '{"A":1,"B":"\\u003cx\\u003e"}'),
    ],
)
def test_json_is_compact_and_escapes_as_docker(value: object, printed: str) -> None:
    assert render("{{json .}}", value) == printed


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.Foo", ":1: unclosed action"),
        ("{{/* x", ":1: unclosed comment"),
        ("a\n{{nope .}}", ':2: function "nope" not defined'),
        ("{{.Name | nope}}", ':1: function "nope" not defined'),
        ("{{end}}", ":1: unexpected {{end}}"),
        ("{{else}}", ":1: unexpected {{else}}"),
        ("{{if .}}", ":1: unexpected EOF"),
        ("{{if .}}a{{else}}b{{else}}c{{end}}", ":1: expected end; found {{else}}"),
        ("{{}}", ":1: missing value for command"),
        ("{{if}}", ":1: missing value for if"),
        ("{{range $x := }}{{end}}", ":1: missing value for range"),
        ("{{$x}}", ':1: undefined variable "$x"'),
        ("{{if $x := .Name}}{{end}}{{$x}}", ':1: undefined variable "$x"'),
        ('{{"a}}', ":1: unterminated quoted string"),
        ('{{"\\q"}}', ":1: invalid syntax"),
        ("{{(.a}}", ":1: unclosed left paren"),
        ("{{.a)}}", ":1: unexpected right paren"),
        ("{{.Name,}}", ':1: unexpected "," in operand'),
        ("{{.Name..}}", ":1: unexpected <.> in operand"),
        ("{{true.x}}", ':1: unexpected . after term "true"'),
        ("{{.Name} }", ":1: bad character U+007D '}'"),
        ("{{.Name-}}", ":1: bad character U+002D '-'"),
        ("{{1a}}", ':1: bad number syntax: "1a"'),
        ("{{1 | 2}}", ":1: non executable command in pipeline stage 2"),
        ("{{break}}", ":1: {{break}} outside {{range}}"),
        ("{{range $a, $b, $c := .Name}}{{end}}", ":1: too many declarations in range"),
    ],
)
def test_a_syntax_error_is_in_docker_s_words(template: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile(template)
    assert str(caught.value) == f"template parsing error: template: {message}"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.Name.Foo}}", "1:7: <.Name.Foo>: can't evaluate field Foo in type interface {}"),
        ("{{.Config.Env.X}}", "1:9: <.Config.Env.X>: can't evaluate field X in type interface {}"),
        ('{{.Name "x"}}', "1:2: <.Name>: Name has arguments but cannot be invoked as function"),
        ("{{1 | .Name}}", "1:6: <.Name>: Name has arguments but cannot be invoked as function"),
        ('{{"a" "b"}}', '1:2: <"a">: can\'t give argument to non-function "a"'),
        ("{{nil}}", "1:2: <nil>: nil is not a command"),
        ("{{json}}", "1:2: <json>: wrong number of args for json: want 1 got 0"),
        ("{{len 5}}", "1:2: <len 5>: error calling len: len of type int"),
        ("{{len .Extra.x}}", "1:2: <len .Extra.x>: error calling len: len of nil pointer"),
        ("{{index .Name 9}}", "1:2: <index .Name 9>: error calling index: index out of range: 9"),
        (
            '{{index .Config.Env "a"}}',
            '1:2: <index .Config.Env "a">: error calling index: '
            "cannot index slice/array with type string",
        ),
        ('{{eq 1 "a"}}', '1:2: <eq 1 "a">: error calling eq: incompatible types for comparison'),
        ("{{eq .Name}}", "1:2: <eq .Name>: error calling eq: missing argument for comparison"),
        (
            "{{lt true false}}",
            "1:2: <lt true false>: error calling lt: invalid type for comparison",
        ),
        ("{{range .Name}}{{end}}", "1:8: <.Name>: range can't iterate over /web"),
    ],
)
def test_data_that_does_not_fit_is_an_error_with_its_place(template: str, message: str) -> None:
    place, shown, said = message.split(": ", 2)
    with pytest.raises(TemplateError) as caught:
        render(template, CONTAINER)
    assert str(caught.value) == (
        f'template parsing error: template: :{place}: executing "" at {shown}: {said}'
    )


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.Nope}}", ':1:2: executing "" at <.Nope>: map has no entry for key "Nope"'),
        (
            "é\n {{.State.Health.Status}}",
            ':2:9: executing "" at <.State.Health.Status>: map has no entry for key "Health"',
        ),
        (
            "{{.Extra.x.y}}",
            ':1:8: executing "" at <.Extra.x.y>: nil pointer evaluating interface {}.y',
        ),
    ],
)
def test_strict_refuses_a_field_that_is_missing(template: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(template, CONTAINER, strict=True)
    assert str(caught.value) == f"template parsing error: template: {message}"
    assert render(template, CONTAINER).lstrip("é\n ") == "<no value>"


def test_a_row_is_a_struct_and_its_methods_take_one_argument() -> None:
    row = Row(ID="1", Label=lambda name: {"a": "x"}.get(name, ""))
    assert render('{{.Label "a"}}|{{.Label "b"}}', row, strict=True) == "x|"
    with pytest.raises(TemplateError, match="wrong number of args for Label: want 1 got 0"):
        render("{{.Label}}", row)
    with pytest.raises(TemplateError, match=r"<\.Nope>: can't evaluate field Nope"):
        render("{{.Nope}}", row, strict=True)


def test_a_compiled_template_runs_again_with_its_variables_reset() -> None:
    execute = compile("{{$x := .a}}{{range .b}}{{$x}}{{.}}{{end}}")
    assert [execute({"a": 1, "b": [2, 3]}), execute({"a": 4, "b": [5]})] == ["1213", "45"]


def test_start_up_pays_for_re_alone() -> None:
    code = (
        "import re, sys, pogu.cli, __future__; before = set(sys.modules);"
        "import pogu.cli.table, pogu.cli.template;"
        "print(*sorted(set(sys.modules) - before))"
    )
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert all(name.startswith(("pogu.cli.table", "pogu.cli.template")) for name in loaded)
    assert "pogu.cli.template.printf" not in loaded


PIECES = r"""{{ }} {{- -}} . .a $x := | ( ) " if range with else end printf index slice "%d" "%*c"
    1 json , /* */ {{.a}} {{end}} eq lt join len truncate 'x' 1e999 -1 "\U99999999" .b """


@given(st.lists(st.sampled_from([*PIECES.split(), " "]), max_size=16).map("".join), st.booleans())
def test_any_text_prints_or_is_refused(template: str, strict: bool) -> None:
    try:
        printed = render(template, {"a": 1, "b": [{"a": "x"}, None]}, strict=strict)
    except TemplateError:
        return
    assert isinstance(printed, str)
