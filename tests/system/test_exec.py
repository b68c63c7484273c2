"""Processes executed in running containers, with the real runtime."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.command_lines import command_lines
from tests.engine_process import EngineProcess, an_engine, eventually, is_alive

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with an_engine(tmp_path_factory.mktemp("pogu")) as running:
        running.ok("run", "-d", "--name", "box", "-e", "FOO=bar", "busybox", "sleep", "1000")
        yield running


def runtimes_of(engine: EngineProcess) -> list[int]:
    """Processes `crun exec` and conmon of this engine."""
    return [
        pid
        for pid, words in command_lines()
        if "exec" in words[1:-1] and str(engine.run_root) in " ".join(words)
    ]


def test_output_and_exit_code_are_the_processes_own(engine: EngineProcess) -> None:
    done = engine.call("exec", "box", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)
    assert engine.call("exec", "box", "sh", "-c", "kill -9 $$").returncode == 137


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nosuch"], 127, 'exec: "nosuch": executable file not found in $PATH'),
        (["/nosuch"], 127, "no such file or directory"),
        (["/etc/passwd"], 126, "permission denied"),
        (["/etc"], 126, "is a directory|permission denied"),
    ],
)
@pytest.mark.parametrize("how", [(), ("-d",), ("-t",)])
def test_what_cannot_be_executed_is_told_in_dockers_words(
    engine: EngineProcess, how: tuple[str, ...], words: list[str], code: int, said: str
) -> None:
    done = engine.call("exec", *how, "box", *words)
    assert done.returncode == code
    assert "OCI runtime exec failed: exec failed: " in done.stdout + done.stderr
    assert any(one in done.stdout + done.stderr for one in said.split("|"))


def test_environment_directory_and_user_are_as_asked(engine: EngineProcess) -> None:
    script = "echo $FOO $X $HOME $(pwd) $(id -u):$(id -g)"
    options = ["-e", "X=1", "-w", "/etc", "-u", "nobody"]
    said = engine.ok("exec", *options, "box", "sh", "-c", script)
    assert said.startswith("bar 1 /")
    assert said.endswith(" /etc 65534:65534")
    refused = engine.call("exec", "-u", "nosuch", "box", "id")
    assert refused.returncode == 126
    assert "unable to find user nosuch: no matching entries in passwd file" in refused.stdout


def test_env_file_is_read(engine: EngineProcess, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# a comment\nA=from file\n")
    assert engine.ok("exec", "--env-file", str(file), "box", "sh", "-c", "echo $A") == "from file"


def test_it_may_do_what_the_container_may_and_all_when_privileged(engine: EngineProcess) -> None:
    own = engine.ok("exec", "box", "grep", "CapEff", "/proc/1/status")
    assert engine.ok("exec", "box", "grep", "CapEff", "/proc/self/status") == own
    assert engine.ok("exec", "box", "grep", "Seccomp:", "/proc/self/status").endswith("2")
    assert engine.ok("exec", "--privileged", "box", "grep", "CapEff", "/proc/self/status") != own


def test_megabytes_pass_both_ways_unchanged_and_an_end_of_input_is_one(
    engine: EngineProcess,
) -> None:
    data = os.urandom(1 << 20) * 8
    done = subprocess.run(
        [*engine.argv, "exec", "-i", "box", "cat"], input=data, capture_output=True, check=True
    )
    assert done.stdout == data


def test_the_tail_is_not_lost_to_a_reader_that_comes_late(engine: EngineProcess) -> None:
    script = "head -c 3000000 /dev/zero; echo end"
    with engine.popen("exec", "box", "sh", "-c", script) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        assert engine.ok("exec", "box", "echo", "meanwhile") == "meanwhile"
        rest = process.stdout.read()
    assert len(first + rest) == 3_000_004
    assert rest.endswith(b"end\n")


def test_a_child_in_the_background_does_not_hold_the_command(engine: EngineProcess) -> None:
    assert engine.ok("exec", "box", "sh", "-c", "sleep 1000 & echo $!").isdecimal()


def test_a_detached_one_runs_on_and_is_done_when_it_says_so(engine: EngineProcess) -> None:
    engine.ok("exec", "-d", "box", "sh", "-c", "sleep 0.2; echo done > /tmp/mark")
    eventually(lambda: engine.call("exec", "box", "cat", "/tmp/mark").stdout == "done\n")


def test_a_client_that_is_killed_leaves_the_process_running(engine: EngineProcess) -> None:
    script = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done; echo whole > /tmp/went-on"
    with engine.popen("exec", "box", "sh", "-c", script) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        process.kill()
    eventually(lambda: engine.call("exec", "box", "cat", "/tmp/went-on").stdout == "whole\n")
    eventually(lambda: not runtimes_of(engine))


def test_it_ends_with_its_container(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "short", "busybox", "sleep", "1000")
    with engine.popen("exec", "short", "sh", "-c", "echo ready; sleep 1000") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        engine.ok("rm", "-f", "short")
        assert process.wait(timeout=20) == 137
    eventually(lambda: not runtimes_of(engine))
    said = engine.refused("exec", "short", "ls", code=1)
    assert "No such container: short" in said


def test_it_ends_with_a_container_that_shares_the_hosts_processes(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "shares", "--pid", "host", "busybox", "sleep", "1000")
    with engine.popen("exec", "shares", "sh", "-c", "echo $$; exec sleep 1000") as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert is_alive(pid)
        engine.ok("rm", "-f", "shares")
        assert process.wait(timeout=20) == 137
    eventually(lambda: not is_alive(pid))


def test_a_stopped_container_is_refused(engine: EngineProcess) -> None:
    name = engine.ok("create", "busybox", "true")
    said = engine.refused("exec", name, "ls", code=1)
    assert f"container {name} is not running" in said
    engine.ok("rm", name)


def test_a_killed_engine_leaves_the_container_and_nothing_orphaned(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "stays", "busybox", "sleep", "1000")
    pid = int(engine.ok("inspect", "-f", "{{.State.Pid}}", "stays"))
    writes = "while echo x; do sleep 0.02; done"
    with engine.popen("exec", "-i", "stays", "sh", "-c", f"echo ready; {writes}") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        engine.ok("exec", "-d", "stays", "sh", "-c", "sleep 1; echo on > /tmp/on")
        engine.kill()
        process.wait(timeout=20)
    assert engine.ok("exec", "stays", "echo", "again") == "again"
    assert is_alive(pid)
    eventually(lambda: engine.call("exec", "stays", "cat", "/tmp/on").stdout == "on\n")
    eventually(lambda: not runtimes_of(engine), what="every runtime ends with its process")
    left = {path.name for path in (engine.run_root / "containers").glob("*/console-*")}
    assert left == set()
    engine.ok("rm", "-f", "stays")


def test_interrupting_a_command_does_not_end_what_it_started(engine: EngineProcess) -> None:
    """As with Docker: without a terminal ctrl-c ends the client only."""
    with engine.popen("exec", "box", "sh", "-c", "echo ready; sleep 0.3; touch /tmp/k") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    eventually(lambda: engine.call("exec", "box", "ls", "/tmp/k").returncode == 0)


def test_exec_ids_are_those_that_have_not_ended(engine: EngineProcess) -> None:
    engine.ok("exec", "box", "true")
    before = engine.ok("inspect", "-f", "{{len .ExecIDs}}", "box")
    with engine.popen("exec", "box", "sh", "-c", "echo ready; sleep 0.5") as process:
        assert process.stdout is not None
        process.stdout.readline()
        now = engine.ok("inspect", "-f", "{{len .ExecIDs}}", "box")
        assert int(now) == int(before) + 1


@pytest.mark.skipif(shutil.which("runc", path="/usr/sbin:/usr/bin") is None, reason="needs runc")
def test_runc_does_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POGU_RUNTIME", "runc")
    with an_engine(tmp_path) as engine:
        engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "1000")
        done = engine.call("exec", "box", "sh", "-c", "echo out; echo err >&2; exit 3")
        assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)
        assert engine.call("exec", "box", "nosuch").returncode == 127
        assert engine.call("exec", "-t", "box", "sh", "-c", "tty; exit 4").returncode == 4
        data = os.urandom(1 << 20)
        words = [*engine.argv, "exec", "-i", "box", "cat"]
        copied = subprocess.run(words, input=data, capture_output=True, check=True, timeout=60)
        assert copied.stdout == data
