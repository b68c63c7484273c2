"""`pogu why`: every cause made for real."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.engine_process import EngineProcess, eventually

pytestmark = pytest.mark.root


def why(engine: EngineProcess, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.ok("why", "--format", "json", name))
    return found


def with_program(engine: EngineProcess, tmp_path: Path, content: bytes, mode: int = 0o755) -> str:
    """Make a container named `app` of which /app is that program; return what its start says."""
    program = tmp_path / "app"
    program.write_bytes(content)
    program.chmod(mode)
    engine.ok("create", "--name", "app", "--replace", "busybox", "/app")
    engine.ok("cp", str(program), "app:/app")
    return engine.refused("start", "app")


def foreign(content: bytes) -> bytes:
    """The same ELF file for s390x."""
    return content[:18] + (22).to_bytes(2, "little") + content[20:]


@pytest.mark.parametrize(
    ("content", "kind", "code", "words"),
    [
        (b"#!/bin/sh\r\necho\r\n", "crlf", 127, "Windows line ends"),
        (b"#!/usr/bin/python3\n", "interpreter", 127, "asks for /usr/bin/python3"),
        (b"echo hi\n", "format", 126, "without a #! line"),
        (b"", "format", 126, "is an empty file"),
        (Path("/bin/ls").read_bytes(), "loader", 127, "wants the loader /lib"),
        (foreign(Path("/bin/ls").read_bytes()), "architecture", 126, "is built for s390x"),
    ],
    ids=["crlf", "interpreter", "no-shebang", "empty", "loader", "architecture"],
)
def test_a_program_that_cannot_be_executed(
    engine: EngineProcess, tmp_path: Path, content: bytes, kind: str, code: int, words: str
) -> None:
    said = with_program(engine, tmp_path, content)
    assert "OCI runtime create failed" in said.splitlines()[0]
    assert words in said
    found = why(engine, "app")
    assert (found["Kind"], found["ExitCode"]) == (kind, code)
    assert words in found["Hint"]
    engine.ok("rm", "app")


def test_a_program_without_the_x_bit(engine: EngineProcess, tmp_path: Path) -> None:
    assert "permission denied" in with_program(engine, tmp_path, b"#!/bin/sh\n", 0o644)
    assert (why(engine, "app")["Kind"], why(engine, "app")["ExitCode"]) == ("permission", 126)
    engine.ok("rm", "app")


def test_a_program_on_a_volume_is_left_to_the_kernel(engine: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "sh").write_bytes(b"#!/data/busybox sh\necho works\n")
    (tmp_path / "sh").chmod(0o755)
    (tmp_path / "busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (tmp_path / "busybox").chmod(0o755)
    assert engine.ok("run", "--rm", "-v", f"{tmp_path}:/data", "busybox", "/data/sh") == "works"


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (("-u", "nobodyx", "busybox", "true"), "user", "make the user in the image"),
        (("-w", "/bin/busybox/x", "busybox", "true"), "working-directory", "name another with -w"),
        (("busybox", "nope"), "not-found", "the image has no nope"),
        (("busybox", "/bin"), "permission", "name a program in it"),
    ],
    ids=["user", "workdir", "not-in-path", "directory"],
)
def test_a_start_that_was_refused(
    engine: EngineProcess, options: tuple[str, ...], kind: str, words: str
) -> None:
    assert words in engine.refused("run", "--name", "refused", *options)
    found = why(engine, "refused")
    assert (found["Kind"], found["Status"]) == (kind, "created")
    assert words in found["Hint"]
    engine.ok("rm", "refused")


def test_a_bind_source_that_is_gone(engine: EngineProcess, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    engine.ok("create", "--name", "bound", "-v", f"{source}:/x", "busybox", "true")
    source.rmdir()
    engine.refused("start", "bound")
    found = why(engine, "bound")
    assert found["Kind"] == "mount"
    assert "is not there any more" in found["Hint"]
    assert str(source) in found["Evidence"][0]
    engine.ok("rm", "bound")


def test_a_port_that_a_process_or_a_container_has(engine: EngineProcess) -> None:
    with socket.create_server(("0.0.0.0", 0)) as held:
        port = held.getsockname()[1]
        engine.refused("run", "--name", "taken", "-p", f"{port}:80", "busybox", "true")
        found = why(engine, "taken")
    assert found["Kind"] == "port-in-use"
    assert f"(pid {os.getpid()})" in found["Hint"]
    engine.ok("run", "-d", "--name", "holder", "-p", f"{port}:80", "busybox", "sleep", "1000")
    engine.refused("start", "taken")
    assert "container holder" in why(engine, "taken")["Hint"]
    engine.ok("rm", "-f", "taken", "holder")


def test_out_of_memory(engine: EngineProcess) -> None:
    hungry = "x=$(dd if=/dev/zero bs=1M count=64 | tr '\\0' x); echo ${#x}"
    engine.call("run", "--name", "hungry", "-m", "16m", "busybox", "sh", "-c", hungry)
    found = why(engine, "hungry")
    assert found["Kind"] == "oom"
    assert "limit of 16 MiB" in found["Cause"]
    assert re.fullmatch(r"most memory used: 1[56](\.\d+)? MiB", found["Evidence"][0])
    engine.ok("rm", "hungry")


def test_who_stopped_it_is_known_to_the_next_engine(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--init", "--name", "web", "busybox", "sleep", "1000")
    engine.ok("stop", "web")
    engine.kill()
    found = why(engine, "web")
    assert (found["Kind"], found["ExitCode"]) == ("asked", 143)
    assert re.search(r"stopped by root with \"pogu .*stop web\" \(pid \d+", found["Cause"])
    engine.ok("start", "web")
    assert "earlier end: exit code 143, stop was asked" in engine.ok("why", "web")
    engine.ok("rm", "-f", "web")


def test_a_stop_is_on_record_before_its_signal_is_sent(engine: EngineProcess) -> None:
    """The engine dies while it waits; the container ends meanwhile."""
    trap = "trap 'sleep 1; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    engine.ok("run", "-d", "--name", "slow", "busybox", "sh", "-c", trap)
    eventually(lambda: "ready" in engine.ok("logs", "slow"))
    began = time.time()
    stopping = engine.popen("stop", "slow")
    eventually(lambda: "kill" in _events(engine, "slow", began))
    engine.kill()
    stopping.communicate()
    eventually(lambda: why(engine, "slow")["Status"] == "exited")
    found = why(engine, "slow")
    assert (found["Kind"], found["ExitCode"]) == ("asked", 7)
    assert "stop slow" in found["Cause"]
    engine.ok("rm", "-f", "slow")


def _events(engine: EngineProcess, name: str, began: float) -> list[str]:
    """What happened to it since then; a `kill` is told when its signal has been sent."""
    window = ("--since", f"{began:.3f}", "--until", f"{time.time():.3f}")
    chosen = ("--filter", f"container={name}", "--format", "{{.Action}}")
    return engine.ok("events", *window, *chosen).split()


def test_a_stop_that_needed_sigkill(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "deaf", "busybox", "sleep", "1000")
    engine.ok("stop", "-t", "0", "deaf")
    assert "did not end at SIGTERM within 0 s" in engine.ok("why", "deaf")
    engine.ok("rm", "deaf")


def test_a_kill_from_outside_has_no_known_sender(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "shot", "busybox", "sleep", "1000")
    pid = int(engine.ok("inspect", "-f", "{{.State.Pid}}", "shot"))
    os.kill(pid, signal.SIGKILL)
    engine.call("wait", "shot")
    found = why(engine, "shot")
    assert found["Kind"] == "signal"
    assert "not by way of the engine" in found["Cause"]
    engine.ok("rm", "shot")


def test_a_monitor_that_died(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "alone", "busybox", "sleep", "1000")
    container = engine.ok("inspect", "-f", "{{.Id}}", "alone")
    monitor = int((engine.run_root / "containers" / container / "conmon.pid").read_text())
    os.kill(monitor, signal.SIGKILL)
    eventually(lambda: why(engine, "alone")["Status"] == "exited")
    assert why(engine, "alone")["Kind"] == "monitor"
    engine.ok("rm", "-f", "alone")


@pytest.mark.parametrize(
    ("options", "command", "kind"),
    [
        (("--read-only",), "touch /x", "read-only"),
        (("--tmpfs", "/t:size=64k"), "dd if=/dev/zero of=/t/x bs=1M count=1", "disk-full"),
        (("--tmpfs", "/t"), "cp /bin/busybox /t/ls; /t/ls", "permission"),
        ((), "nonesuch", "not-found"),
        ((), "nc -l -p 80 & sleep 0.2; exec nc -l -p 80", "port-in-use"),
        ((), "sh -c 'kill -SEGV $$'", "signal"),
        ((), "exit 3", "exit-code"),
        ((), "true", "ended"),
    ],
    ids=["read-only", "disk-full", "noexec", "not-found", "port", "crash", "code", "done"],
)
def test_its_own_end(
    engine: EngineProcess, options: tuple[str, ...], command: str, kind: str
) -> None:
    engine.call("run", "--name", "own", *options, "busybox", "sh", "-c", f"({command}); exit $?")
    assert why(engine, "own")["Kind"] == kind, engine.ok("why", "own")
    engine.ok("rm", "own")


def test_a_restart_loop(engine: EngineProcess) -> None:
    command = ("sh", "-c", "echo no database; exit 3")
    engine.ok("run", "-d", "--name", "loop", "--restart", "always", "busybox", *command)
    eventually(lambda: why(engine, "loop")["RestartCount"] >= 4)
    eventually(lambda: why(engine, "loop")["Status"] == "restarting")
    text = engine.ok("why", "loop")
    assert re.search(r"restarted \d+ times \(always\), exit codes before: 3 3 3", text)
    assert "next try in " in text
    assert "  | no database" in text
    engine.ok("rm", "-f", "loop")


def test_a_failing_health_check_shows_its_output(engine: EngineProcess) -> None:
    check = ("--health-cmd", "echo no answer; exit 1", "--health-interval", "100ms")
    engine.ok(
        "run", "-d", "--name", "sick", *check, "--health-retries", "2", "busybox", "sleep", "99"
    )
    eventually(lambda: why(engine, "sick")["Kind"] == "unhealthy")
    assert "it printed: no answer" in why(engine, "sick")["Evidence"][0]
    engine.ok("rm", "-f", "sick")


def test_one_that_was_removed(engine: EngineProcess) -> None:
    engine.call("run", "--rm", "--name", "gone", "busybox", "sh", "-c", "exit 5")
    eventually(lambda: engine.ok("ps", "-aq", "--filter", "name=gone") == "")
    found = why(engine, "gone")
    assert (found["Status"], found["ExitCode"]) == ("removed", 5)
    engine.ok("run", "-d", "--name", "forced", "busybox", "sleep", "1000")
    engine.ok("rm", "-f", "forced")
    engine.kill()
    assert "removed by force by root with" in engine.ok("why", "forced")


def test_docker_is_named_as_the_one_who_stopped_it(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--init", "--name", "bydocker", "busybox", "sleep", "1000")
    argv = ["docker", "-H", f"unix://{engine.socket}", "stop", "bydocker"]
    try:
        subprocess.run(argv, check=True, capture_output=True)
    except FileNotFoundError:
        engine.ok("rm", "-f", "bydocker")
        pytest.skip("no docker CLI here")
    assert '"docker -H' in why(engine, "bydocker")["Cause"]
    engine.ok("rm", "bydocker")


def test_bad_input(engine: EngineProcess) -> None:
    assert "No such container: nosuch" in engine.refused("why", "nosuch", code=1)
    assert "requires at least 1 argument" in engine.refused("why")
    engine.refused("why", "--format", "{{.Nope", "nosuch")
