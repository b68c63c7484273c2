"""Whole commands against a fake engine: what they ask, print and return."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.fakes.api_server import ApiServer, an_api_server

from pogu.cli.main import main

Answers = dict[str, tuple[int, object]]
GONE: tuple[int, object] = 404, {"message": "No such container: x", "hint": "h"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    with an_api_server(tmp_path, {}) as server:
        yield server


@pytest.fixture
def pogu(
    server: ApiServer, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run one command with these answers; return exit code and what was printed."""

    def run(*words: str, answers: Answers) -> tuple[int, str, str]:
        server.answers = answers
        code = main(["-H", server.url, *words])
        printed = capfd.readouterr()
        return code, printed.out, printed.err

    return run


Pogu = Callable[..., tuple[int, str, str]]


def test_every_command_has_its_module() -> None:
    from pogu.cli.main import GROUPS, find, overview

    assert "Manage images" in overview()
    for group, (_, members) in GROUPS.items():
        for name in members:
            command, rest = find([group, name, "x"])
            assert (command.name, rest) == (f"{group} {name}", ["x"])
            assert command.summary


def test_ps_asks_for_what_its_flags_say(pogu: Pogu, server: ApiServer) -> None:
    answers: Answers = {"GET /containers/json": (200, [{"Id": "0123456789abcdef"}])}
    assert pogu("ps", "-aq", "-f", "name=x", "-n2", answers=answers) == (0, "0123456789ab\n", "")
    filters = '{"name":["x"]}'
    assert server.requests[0].query == {"all": ["1"], "limit": ["2"], "filters": [filters]}


def test_an_entrypoint_is_a_word_of_its_own(pogu: Pogu, server: ApiServer) -> None:
    answers: Answers = {"POST /containers/create": (201, {"Id": "7", "Warnings": []})}
    for words, entrypoint in ((("--entrypoint", "echo"), "echo"), (("--entrypoint=",), "")):
        assert pogu("create", *words, "image", "a", answers=answers) == (0, "7\n", "")
        body = json.loads(server.requests[-1].body)
        assert (body["Entrypoint"], body["Image"], body["Cmd"]) == ([entrypoint], "image", ["a"])


def test_an_empty_list_prints_its_header(pogu: Pogu) -> None:
    code, out, _ = pogu("images", answers={"GET /images/json": (200, [])})
    assert (code, out) == (0, "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n")


def test_stop_goes_on_after_an_error_and_takes_not_modified_for_done(
    pogu: Pogu, server: ApiServer
) -> None:
    answers: Answers = {
        "POST /containers/a/stop": (204, None),
        "POST /containers/x/stop": GONE,
        "POST /containers/b/stop": (304, None),
    }
    code, out, err = pogu("stop", "-t", "0", "a", "x", "b", answers=answers)
    assert (code, out) == (1, "a\nb\n")
    assert err == "Error response from daemon: No such container: x\nhint: h\n"
    assert all(request.query == {"t": ["0"]} for request in server.requests)


def test_rm_with_force_forgives_what_is_not_there(pogu: Pogu) -> None:
    answers: Answers = {"DELETE /containers/a": (204, None), "DELETE /containers/x": GONE}
    assert pogu("rm", "-f", "x", "/a", answers=answers)[:2] == (0, "a\n")
    assert pogu("rm", "x", answers=answers)[:2] == (1, "")
    assert pogu("rm", "/", answers=answers)[0] == 1


def test_wait_prints_exit_codes(pogu: Pogu) -> None:
    answers: Answers = {
        "POST /containers/a/wait": (200, {"StatusCode": 3}),
        "POST /containers/b/wait": (200, {"StatusCode": 0, "Error": {"Message": "lost"}}),
    }
    code, out, err = pogu("wait", "a", "b", answers=answers)
    assert (code, out, "lost" in err) == (1, "3\n", True)


def test_rmi_prints_what_was_untagged_and_deleted(pogu: Pogu) -> None:
    lines = [{"Untagged": "a:1"}, {"Deleted": "sha256:00"}]
    code, out, _ = pogu("rmi", "a:1", "x", answers={"DELETE /images/a:1": (200, lines)})
    assert (code, out) == (1, "Untagged: a:1\nDeleted: sha256:00\n")


def test_tag_keeps_the_port_of_a_registry(pogu: Pogu, server: ApiServer) -> None:
    answers: Answers = {"POST /images/a/tag": (201, None)}
    assert pogu("tag", "a", "localhost:5000/b:2", answers=answers)[0] == 0
    assert server.requests[0].query == {"repo": ["localhost:5000/b"], "tag": ["2"]}


PORTS = {"80/tcp": [{"HostIp": "::", "HostPort": "80"}], "9/udp": None}


@pytest.mark.parametrize(
    ("words", "code", "out"),
    [
        ((), 0, "80/tcp -> [::]:80\n"),
        (("80",), 0, "[::]:80\n"),
        (("80/udp",), 1, ""),
        (("9/udp",), 1, ""),
        (("x",), 1, ""),
    ],
)
def test_port(pogu: Pogu, words: tuple[str, ...], code: int, out: str) -> None:
    answers: Answers = {"GET /containers/a/json": (200, {"NetworkSettings": {"Ports": PORTS}})}
    assert pogu("port", "a", *words, answers=answers)[:2] == (code, out)


def test_inspect_indents_by_four_and_tells_what_is_missing(pogu: Pogu) -> None:
    answers: Answers = {
        "GET /images/a/json": (200, {"Id": "é<", "Env": [], "N": None, "L": [1, {"x": True}]})
    }
    code, out, err = pogu("inspect", "a", "x", answers=answers)
    assert code == 1
    assert out == (
        '[\n    {\n        "Id": "é<",\n        "Env": [],\n        "N": null,\n'
        '        "L": [\n            1,\n            {\n                "x": true\n'
        "            }\n        ]\n    }\n]\n"
    )
    assert err.startswith("Error: No such object: x\n")
    assert pogu("inspect", "x", answers={})[1] == "[]\n"


@pytest.mark.parametrize(
    ("template", "code", "out"),
    [
        ("{{.Id}} {{.ID}}", 0, "7 7\n"),
        ("{{.Config.Cmd}} {{.Config.Labels}}", 0, "[] map[]\n"),
        ("{{json .Config}}", 0, '{"Cmd":null,"Labels":null}\n'),
        ("json", 0, '[{"Id":"7","Config":{"Cmd":null,"Labels":null}}]\n'),
        ("{{.Nope}}", 1, "\n"),
        ("{{", 64, ""),
    ],
)
def test_inspect_with_a_template(pogu: Pogu, template: str, code: int, out: str) -> None:
    found = {"Id": "7", "Config": {"Cmd": None, "Labels": None}}
    answers: Answers = {"GET /containers/a/json": (200, found)}
    assert pogu("inspect", "-f", template, "a", answers=answers)[:2] == (code, out)


@pytest.mark.parametrize(("typed", "asked"), [(b"y\n", True), (b"n\n", False), (b"", False)])
def test_prune_asks_first(
    pogu: Pogu, server: ApiServer, monkeypatch: pytest.MonkeyPatch, typed: bytes, asked: bool
) -> None:
    read, write = os.pipe()
    os.write(write, typed)
    os.close(write)
    real = os.read
    monkeypatch.setattr(os, "read", lambda fd, size: real(read if fd == 0 else fd, size))
    pruned = {"ContainersDeleted": ["0123"], "SpaceReclaimed": 5}
    code, out, _ = pogu("container", "prune", answers={"POST /containers/prune": (200, pruned)})
    os.close(read)
    assert code == 0
    assert out.endswith("[y/N] ") != asked
    assert ("Deleted Containers:\n0123\n\nTotal reclaimed space: 5B\n" in out) == asked
    assert len(server.requests) == asked


def test_import_names_a_file_and_sends_it_when_that_is_forbidden(
    pogu: Pogu, server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.tar").write_bytes(b"archive")
    done = b'{"status": "sha256:00"}\r\n'
    answers: Answers = {"POST /images/create": (200, done)}
    words = ("import", str(tmp_path / "a.tar"), "a:1", "-c", "CMD x", "-c", "USER y")
    assert pogu(*words, answers=answers)[:2] == (0, "sha256:00\n")
    assert server.requests[0].headers["x-pogu-file"] == str(tmp_path / "a.tar")
    assert server.requests[0].query["changes"] == ["CMD x", "USER y"]
    answers = {"POST /images/create": (403, {"message": "no"})}
    assert pogu(*words, answers=answers)[0] == 1
    assert (server.requests[2].body, "x-pogu-file" in server.requests[2].headers) == (
        b"archive",
        False,
    )


def test_a_url_is_fetched_by_the_engine(pogu: Pogu, server: ApiServer) -> None:
    answers: Answers = {"POST /images/create": (200, b'{"status": "sha256:00"}\r\n')}
    assert pogu("import", "https://x/a.tar", "b", answers=answers)[:2] == (0, "sha256:00\n")
    assert server.requests[0].query["fromSrc"] == ["https://x/a.tar"]


def test_load_prints_what_was_loaded(pogu: Pogu, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"archive")
    body = b'{"status":"Loading layer","progressDetail":{}}\r\n{"stream":"Loaded image: a:1\\n"}'
    answers: Answers = {"POST /images/load": (200, body)}
    words = ("load", "-i", str(tmp_path / "a.tar"))
    assert pogu(*words, answers=answers)[:2] == (0, "Loaded image: a:1\n")


def test_save_hands_its_open_file_over_and_takes_the_bytes_when_that_is_forbidden(
    pogu: Pogu, server: ApiServer, tmp_path: Path
) -> None:
    target = tmp_path / "a.tar"
    words = ("save", "-o", str(target), "--since", "b", "--since", "c", "a:1")
    assert pogu(*words, answers={"POST /pogu/save": (200, {})})[0] == 0
    assert json.loads(server.requests[0].body)["since"] == ["b", "c"]
    handed = server.requests[0].headers["x-pogu-fd"].split()
    assert handed[1:] == [str(target.stat().st_dev), str(target.stat().st_ino)]
    assert pogu(*words, answers={"POST /pogu/save": (403, {"message": "no"})})[0] == 1
    assert "x-pogu-fd" not in server.requests[2].headers
    assert list(tmp_path.glob(".*")) == []


def test_save_refuses_an_inventory_that_is_none(pogu: Pogu, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("REPOSITORY TAG\n")
    code, _, err = pogu("save", "--inventory", str(tmp_path / "list"), "a", answers={})
    assert (code, "invalid inventory: 'REPOSITORY'" in err) == (1, True)


def test_pull_prints_progress_without_bars(pogu: Pogu, server: ApiServer) -> None:
    lines = [
        {"id": "aa", "status": "Downloading", "progressDetail": {"current": 1}},
        {"id": "aa", "status": "Pull complete", "progressDetail": {}},
        {"status": "Status: Downloaded"},
    ]
    body = "\r\n".join(map(json.dumps, lines)).encode()
    code, out, _ = pogu("pull", "a", answers={"POST /images/create": (200, body)})
    assert code == 0
    assert out.splitlines() == [
        "Using default tag: latest",
        "aa: Pull complete",
        "Status: Downloaded",
        "docker.io/library/a:latest",
    ]
    assert server.requests[0].query == {"fromImage": ["a"], "tag": ["latest"]}


def test_an_error_in_a_stream_has_its_hint(pogu: Pogu) -> None:
    line = {"error": "m\nh", "pogu": {"message": "m", "hint": "h"}}
    body = json.dumps({"status": "working"}).encode() + b"\n" + json.dumps(line).encode()
    answers: Answers = {"POST /pogu/bootstrap": (200, body)}
    assert pogu("image", "bootstrap", "busybox", answers=answers) == (1, "", "m\nhint: h\n")


def test_bootstrap_prints_the_id_and_tags(pogu: Pogu, server: ApiServer) -> None:
    answers: Answers = {
        "POST /pogu/bootstrap": (200, b'{"status": "working"}\n{"status": "sha256:00"}\n'),
        "POST /images/sha256:00/tag": (201, None),
    }
    words = ("image", "bootstrap", "busybox", "-t", "b:2", "--include", "a,b")
    assert pogu(*words, answers=answers) == (0, "sha256:00\n", "working\n")
    assert server.requests[0].query == {"name": ["busybox"], "include": ["a,b"]}
    assert server.requests[1].query == {"repo": ["b"], "tag": ["2"]}


def test_events_end_with_the_stream(pogu: Pogu) -> None:
    event = {"Type": "volume", "Action": "create", "Actor": {"ID": "v"}, "timeNano": 1}
    body = json.dumps(event).encode() + b"\n"
    words = ("events", "--until", "0s", "--format", "{{.Type}} {{.Actor.ID}} {{.TimeNano}}")
    assert pogu(*words, answers={"GET /events": (200, body)}) == (0, "volume v 1\n", "")


def test_version_prints_the_client_when_the_engine_is_away(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["-H", f"unix://{tmp_path}/none", "version"]) == 1
    printed = capfd.readouterr()
    assert printed.out.startswith("Client: Pogu\n Version:")
    assert "Cannot connect to the Pogu engine" in printed.err


def test_doctor_s_errors_are_its_exit_code(pogu: Pogu) -> None:
    findings = [
        {"Check": "kernel", "Level": "ok", "Text": "6.1", "Mend": ""},
        {"Check": "conmon", "Level": "error", "Text": "missing", "Mend": "apt install conmon"},
    ]
    code, out, _ = pogu("doctor", answers={"GET /pogu/doctor": (200, findings)})
    assert code == 1
    assert out.splitlines() == [
        "ok       kernel  6.1",
        "error    conmon  missing",
        "                 -> apt install conmon",
    ]


def test_volumes_are_listed_in_natural_order(pogu: Pogu) -> None:
    volumes = [
        {"Name": name, "Driver": "local", "Scope": "local", "Mountpoint": "/m", "Labels": None}
        for name in ("v10", "v9")
    ]
    answers: Answers = {"GET /volumes": (200, {"Volumes": volumes, "Warnings": None})}
    assert pogu("volume", "ls", answers=answers)[1] == (
        "DRIVER    VOLUME NAME\nlocal     v9\nlocal     v10\n"
    )


def test_a_long_name_stands_apart_from_its_summary(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["system", "--help"])
    assert "  install-service  Let systemd" in capfd.readouterr().out
