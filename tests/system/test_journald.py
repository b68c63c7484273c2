"""`--log-driver journald` with a real journald: the same is read as from a file, by either end."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.command_lines import command_lines
from tests.engine_process import EngineProcess, an_engine, eventually
from tests.journald_process import JournaldProcess, an_engine_with_journald, why_no_journald

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(why_no_journald()), reason=f"no journald: {why_no_journald()}"),
]

BINARY = r"printf '\000\001\377\n\n  a\tb  \nMESSAGE=x\n'"
LONG = "head -c 100000 /dev/zero | tr '\\000' y; echo"
PAUSE = "sleep 0.1"
"""Two streams come by two pipes: only time puts their lines in order."""
SCRIPT = (
    f"echo one; {PAUSE}; echo two >&2; {PAUSE}; {BINARY}; {LONG}; {PAUSE}; echo three >&2;"
    f" {PAUSE}; printf 'no end'"
)


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[EngineProcess, JournaldProcess]]:
    with an_engine_with_journald(tmp_path_factory.mktemp("journald")) as both:
        yield both


@pytest.fixture(scope="module")
def engine(both: tuple[EngineProcess, JournaldProcess]) -> EngineProcess:
    return both[0]


@pytest.fixture(scope="module")
def journald(both: tuple[EngineProcess, JournaldProcess]) -> JournaldProcess:
    return both[1]


@pytest.fixture
def name(engine: EngineProcess) -> Iterator[str]:
    yield "web"
    engine.ok("rm", "-f", "-v", "web")


def run(engine: EngineProcess, script: str, *options: str, name: str = "web") -> None:
    """Run a script to its end."""
    words = ["--name", name, "--log-driver", "journald", *options]
    engine.ok("run", "-d", *words, "busybox", "sh", "-c", script)
    engine.ok("wait", name)


def output(engine: EngineProcess, *words: str) -> tuple[bytes, bytes]:
    done = subprocess.run([*engine.argv, *words], capture_output=True, check=True)
    return done.stdout, done.stderr


def entry(journald: JournaldProcess, *words: str) -> dict[str, object]:
    """The last entry that matches."""
    found = journald.entries("-n", "1", "-o", "json", *words)[0]
    fields = json.loads(found)
    assert isinstance(fields, dict)
    return fields


def test_the_journal_is_searched_by_the_fields_that_docker_writes(
    engine: EngineProcess, journald: JournaldProcess, name: str
) -> None:
    run(engine, "echo hello")
    full = engine.ok("inspect", "-f", "{{.Id}}", name)
    found = entry(journald, "CONTAINER_NAME=web", f"CONTAINER_ID_FULL={full}")
    short = full[:12]
    assert found["CONTAINER_ID"] == found["CONTAINER_TAG"] == short
    assert (found["SYSLOG_IDENTIFIER"], found["PRIORITY"]) == (short, "6")
    assert journald.entries(f"CONTAINER_ID={short}")[0] == "hello"


def test_a_tag_names_the_entries(
    engine: EngineProcess, journald: JournaldProcess, name: str
) -> None:
    run(engine, "echo x >&2", "--log-opt", "tag={{.Name}}/{{.ImageName}}")
    found = entry(journald, "SYSLOG_IDENTIFIER=web/busybox")
    assert (found["CONTAINER_TAG"], found["PRIORITY"]) == ("web/busybox", "3")


def test_the_same_is_read_as_from_a_file(engine: EngineProcess, name: str) -> None:
    engine.ok("run", "--name", "file", "--log-driver", "local", "busybox", "sh", "-c", SCRIPT)
    run(engine, SCRIPT)
    for words in ([], ["--tail", "3"], ["--tail", "0"], ["--tail", "99"], ["-f"], ["-f", "-n2"]):
        assert output(engine, "logs", *words, name) == output(engine, "logs", *words, "file"), words
    engine.ok("rm", "file")


def test_a_terminal_s_output_is_one_stream(engine: EngineProcess, name: str) -> None:
    run(engine, "echo out; echo err >&2", "-t")
    assert output(engine, "logs", name) == (b"out\r\nerr\r\n", b"")


def test_times_choose_what_is_shown(engine: EngineProcess, name: str) -> None:
    run(engine, "for i in 1 2 3 4; do echo $i; sleep 0.05; done")
    stamps = [line.split()[0] for line in engine.ok("logs", "-t", name).splitlines()]
    assert stamps == sorted(stamps)
    assert engine.ok("logs", "--since", stamps[2], name) == "3\n4"
    assert engine.ok("logs", "--until", stamps[1], name) == "1\n2"
    assert engine.ok("logs", "--since", stamps[1], "--until", stamps[2], "-n1", name) == ""
    assert engine.ok("logs", "-f", "--until", stamps[1], name) == "1\n2"
    for never in ("99999999999999", "253402300900"):
        assert engine.ok("logs", "--since", never, name) == ""
        assert engine.ok("logs", "--until", never, "-n1", name) == "4"


def test_a_follower_sees_every_line_once(engine: EngineProcess, name: str) -> None:
    lines = "".join(f"{number}\n" for number in range(1, 30_001)).encode()
    script = ["busybox", "sh", "-c", "read go; seq 1 30000"]
    engine.ok("run", "-di", "--name", name, "--log-driver", "journald", *script)
    follower = engine.popen("logs", "-f", name)
    engine.ok("attach", name, stdin=b"go\n")
    out, _ = follower.communicate(timeout=60)
    assert hashlib.sha256(out).digest() == hashlib.sha256(lines).digest(), len(out)
    assert output(engine, "logs", name)[0] == lines


def test_a_killed_engine_loses_no_line_and_leaves_no_reader(
    engine: EngineProcess, name: str
) -> None:
    script = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo $i; sleep 0.002; done"
    words = ["--name", name, "--log-driver", "journald", "busybox", "sh", "-c", script]
    engine.ok("run", "-d", *words)
    follower = engine.popen("logs", "-f", name)
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"1\n"
    engine.kill()
    follower.communicate(timeout=30)
    container = engine.ok("inspect", "-f", "{{.Id}}", name)
    eventually(lambda: not readers(container))
    assert engine.ok("wait", name) == "0"
    assert engine.ok("logs", name).split() == [str(number) for number in range(1, 401)]


def readers(container: str) -> list[int]:
    """The journalctl processes of a container."""
    match = f"CONTAINER_ID_FULL={container}"
    return [pid for pid, words in command_lines() if words[0] == "journalctl" and match in words]


def test_a_reader_that_leaves_takes_its_process_along(engine: EngineProcess, name: str) -> None:
    words = ["--name", name, "--log-driver", "journald", "busybox", "sh", "-c", "echo x; sleep 60"]
    engine.ok("run", "-d", *words)
    container = engine.ok("inspect", "-f", "{{.Id}}", name)
    follower = engine.popen("logs", "-f", name)
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"x\n"
    assert readers(container)
    follower.kill()
    follower.communicate()
    eventually(lambda: not readers(container))


def test_attached_to_the_log_nothing_is_missed_between_it_and_what_comes(
    engine: EngineProcess, name: str
) -> None:
    script = "echo before; read line; echo after"
    words = ["--name", name, "--log-driver", "journald", "busybox", "sh", "-c", script]
    engine.ok("run", "-di", *words)
    eventually(lambda: engine.ok("logs", name) == "before")
    path = f"/containers/{name}/attach?logs=1&stream=1&stdout=1"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(engine.socket))
        head = "Host: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        client.sendall(f"POST {path} HTTP/1.1\r\n{head}".encode())
        engine.ok("attach", name, stdin=b"go\n")
        answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert answer.endswith(b"\7before\n\1\0\0\0\0\0\0\6after\n")


def test_every_run_of_a_container_is_in_its_log(engine: EngineProcess, name: str) -> None:
    run(engine, "echo run")
    engine.ok("start", name)
    engine.ok("wait", name)
    assert engine.ok("logs", name) == "run\nrun"


def test_logs_of_several_containers_are_merged_by_time(engine: EngineProcess, name: str) -> None:
    run(engine, "echo first")
    engine.ok("run", "--name", "file", "busybox", "echo", "second")
    run(engine, "echo third", name="third")
    shown = engine.ok("logs", "file", "third", name).splitlines()
    assert [line.split()[-1] for line in shown] == ["first", "second", "third"]
    engine.ok("rm", "file", "third")


def test_why_shows_the_last_lines(engine: EngineProcess, name: str) -> None:
    run(engine, "echo before the end; exit 3")
    assert "before the end" in engine.ok("why", name)


def test_attributes_are_shown_with_details_and_said_not_to_be_fields(
    engine: EngineProcess, name: str
) -> None:
    words = ["--log-driver", "journald", "--log-opt", "labels=tier", "--label", "tier=front"]
    said = engine.call("run", "--name", name, *words, "busybox", "echo", "x").stderr
    assert engine.ok("logs", "--details", name) == "tier=front x"
    help_text = subprocess.run(["conmon", "--help"], capture_output=True, text=True, check=True)
    assert ("do not become fields" in said) is ("--log-label" not in help_text.stdout)


def test_no_file_is_kept(engine: EngineProcess, name: str) -> None:
    run(engine, "echo x")
    assert engine.ok("inspect", "-f", "{{.LogPath}}", name) == ""
    container = engine.ok("inspect", "-f", "{{.Id}}", name)
    assert not list((engine.root / "containers" / container).glob("ctr.log*"))


def test_the_host_says_that_it_has_it(engine: EngineProcess) -> None:
    assert "journald" in engine.ok("info", "-f", "{{.Plugins.Log}}")


def test_bounds_are_the_journal_s_own(engine: EngineProcess) -> None:
    words = ["--log-driver", "journald", "--log-opt", "max-size=1m"]
    said = engine.refused("create", *words, "busybox")
    assert "unknown log opt 'max-size' for journald log driver" in said


@pytest.mark.skipif(Path("/run/systemd/journal/socket").exists(), reason="journald runs here")
def test_it_is_refused_where_there_is_no_journald(tmp_path: Path) -> None:
    with an_engine(tmp_path) as engine:
        said = engine.refused("run", "--log-driver", "journald", "busybox", "true", code=125)
        assert "journald is not enabled on this host" in said
        assert engine.ok("ps", "-aq") == ""
        assert "journald" not in engine.ok("info", "-f", "{{.Plugins.Log}}")
