"""exec and health checks with the docker CLI, docker-py and plain HTTP."""

from __future__ import annotations

import gc
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.clients import DockerCli, Wire, needs_docker_cli
from tests.engine_process import EngineProcess, eventually

pytestmark = [
    pytest.mark.root,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
DETACH = "\x10\x11"


@pytest.fixture
def box(docker: DockerCli) -> str:
    docker.ok("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    return "box"


# ---- the docker CLI --------------------------------------------------------------------------


@needs_docker_cli
def test_exit_codes_are_as_documented(docker: DockerCli, box: str) -> None:
    assert docker.ok("exec", box, "echo", "hi") == "hi"
    assert docker.call("exec", box, "sh", "-c", "exit 9").returncode == 9
    assert docker.call("exec", box, "nosuch").returncode == 127
    assert docker.call("exec", box, "/etc").returncode == 126
    docker.ok("stop", "-t", "0", box)
    assert "is not running" in docker.refused("exec", box, "true")


@needs_docker_cli
def test_options_reach_the_process(docker: DockerCli, box: str) -> None:
    script = "echo $A $(pwd) $(id -u)"
    words = ("exec", "-e", "A=b", "-w", "/etc", "-u", "33", box, "sh", "-c", script)
    assert docker.ok(*words) == "b /etc 33"


@needs_docker_cli
def test_binary_streams_pass_unchanged_and_half_close_ends_them(
    docker: DockerCli, box: str
) -> None:
    data = os.urandom(8 << 20)
    with docker.running("exec", "-i", box, "sh", "-c", "cat; echo the end") as process:
        out, _ = process.communicate(data, timeout=60)
    assert out == data + b"the end\n"


@needs_docker_cli
def test_a_shell_on_a_terminal(docker: DockerCli, box: str) -> None:
    with docker.terminal("exec", "-it", box, "sh") as screen:
        screen.expect("#")
        screen.type("echo $((6*7)) $TERM; stty size\n")
        screen.expect("42 xterm\r\n")
        screen.expect("24 80")
        screen.type("echo go; sleep 1000\n")
        screen.expect("\r\ngo\r\n")
        screen.type("\x03")
        screen.expect("^C")
        screen.type("exit 5\n")
        assert screen.wait() == 5


@needs_docker_cli
def test_detach_keys_leave_the_process_running(docker: DockerCli, box: str) -> None:
    with docker.terminal("exec", "-it", box, "sh", "-c", "echo ready; sleep 876") as screen:
        screen.expect("ready")
        screen.type(DETACH)
        screen.wait()
    assert "sleep 876" in docker.ok("top", box)


@needs_docker_cli
def test_a_detached_exec_answers_at_once(docker: DockerCli, box: str) -> None:
    assert docker.ok("exec", "-d", box, "sh", "-c", "sleep 0.2; touch /done") == ""
    eventually(lambda: docker.call("exec", box, "ls", "/done").returncode == 0)


@needs_docker_cli
def test_docker_shows_health(docker: DockerCli) -> None:
    flags = ("--health-cmd", "echo fine", "--health-interval", "100ms")
    docker.ok("run", "-d", "--name", "sick", *flags, "busybox", "sleep", "1000")
    eventually(lambda: docker.show("{{.State.Health.Status}}", "sick") == "healthy")
    assert docker.ok("ps", "--filter", "health=healthy", "--format", "{{.Status}}").endswith(
        "(healthy)"
    )
    assert docker.inspect("sick")["State"]["Health"]["Log"][0]["Output"] == "fine\n"


# ---- plain HTTP ------------------------------------------------------------------------------


def an_exec(wire: Wire, container: str, **body: Any) -> str:
    answer = wire.ask("POST", f"/containers/{container}/exec", {"Cmd": ["true"], **body})
    assert answer.status == 201, answer.body
    return str(answer.json["Id"])


def running(wire: Wire) -> str:
    container = wire.create(Cmd=["sleep", "1000"])
    assert wire.ask("POST", f"/containers/{container}/start").status == 204
    return container


def start(wire: Wire, exec_id: str, body: str, *headers: str) -> bytes:
    lines = [f"POST /v1.51/exec/{exec_id}/start HTTP/1.1", "Host: x", *headers]
    head = "\r\n".join([*lines, "Content-Type: application/json", f"Content-Length: {len(body)}"])
    return wire.talk(f"{head}\r\n\r\n{body}".encode(), half_close=False)


def test_the_answer_is_framed_by_tty_of_the_start(wire: Wire) -> None:
    container = running(wire)
    said = {"Cmd": ["sh", "-c", "echo hi"], "AttachStdout": True, "AttachStderr": True}
    upgrade = ("Connection: Upgrade", "Upgrade: tcp")
    framed = start(wire, an_exec(wire, container, **said), "{}", *upgrade)
    assert framed.startswith(b"HTTP/1.1 101 UPGRADED")
    assert b"application/vnd.docker.multiplexed-stream" in framed
    assert framed.endswith(b"\x01\0\0\0\0\0\0\x03hi\n")
    plain = start(wire, an_exec(wire, container, **said), '{"Tty": true}')
    assert plain.startswith(b"HTTP/1.1 200 OK")
    assert plain.endswith(b"\r\n\r\nhi\n")


def test_inspect_has_dockers_fields(wire: Wire) -> None:
    container = running(wire)
    exec_id = an_exec(wire, container, Cmd=["sh", "-c", "exit 3"], User="0", Tty=True)
    before = wire.ask("GET", f"/exec/{exec_id}/json").json
    assert (before["Running"], before["ExitCode"], before["Pid"]) == (False, None, 0)
    assert wire.ask("POST", f"/exec/{exec_id}/start", {"Detach": True}).body == b""
    eventually(lambda: wire.ask("GET", f"/exec/{exec_id}/json").json["ExitCode"] == 3)
    after = wire.ask("GET", f"/exec/{exec_id}/json").json
    assert after.keys() == {
        "ID", "Running", "ExitCode", "ProcessConfig", "OpenStdin", "OpenStderr", "OpenStdout",
        "CanRemove", "ContainerID", "DetachKeys", "Pid",
    }  # fmt: skip
    assert after["ContainerID"] == container
    assert after["ProcessConfig"] == {
        "tty": True,
        "entrypoint": "sh",
        "arguments": ["-c", "exit 3"],
        "privileged": False,
        "user": "0",
    }


def test_refusals_have_dockers_status(wire: Wire) -> None:
    container = running(wire)
    exec_id = an_exec(wire, container)
    assert wire.ask("POST", f"/containers/{container}/exec", {}).status == 400
    assert wire.ask("POST", "/containers/nosuch/exec", {"Cmd": ["x"]}).status == 404
    assert wire.ask("GET", "/exec/nosuch/json").status == 404
    assert wire.ask("POST", "/exec/nosuch/start", {}).status == 404
    assert wire.ask("POST", f"/exec/{exec_id}/resize").status == 400
    assert wire.ask("POST", f"/exec/{exec_id}/start", {"Detach": True}).status == 200
    again = wire.ask("POST", f"/exec/{exec_id}/start", {"Detach": True})
    assert again.status == 409
    assert "already" in again.message
    missing = an_exec(wire, container, Cmd=["nosuch"])
    assert wire.ask("POST", f"/exec/{missing}/start", {"Detach": True}).status == 400
    assert wire.ask("GET", f"/exec/{missing}/json").json["ExitCode"] == 127
    wire.ask("POST", f"/containers/{container}/pause")
    paused = wire.ask("POST", f"/containers/{container}/exec", {"Cmd": ["true"]})
    assert (paused.status, "is paused" in paused.message) == (409, True)
    wire.ask("POST", f"/containers/{container}/unpause")
    wire.ask("POST", f"/containers/{container}/stop?t=0")
    assert wire.ask("POST", f"/containers/{container}/exec", {"Cmd": ["true"]}).status == 409


def test_events_tell_of_an_exec(engine: EngineProcess, wire: Wire) -> None:
    container = running(wire)
    exec_id = an_exec(wire, container, Cmd=["sh", "-c", "exit 4"])
    wire.ask("POST", f"/exec/{exec_id}/start", {"Detach": True})
    eventually(lambda: wire.ask("GET", f"/exec/{exec_id}/json").json["ExitCode"] == 4)
    chosen = ("--since", "1", "--until", "0s", "--filter", f"container={container}")
    shown = engine.ok("events", *chosen, "--format", "{{.Action}} {{.Actor.Attributes.exitCode}}")
    actions = [line.strip() for line in shown.splitlines()]
    assert [line for line in actions if line.startswith("exec")] == [
        "exec_create: sh -c exit 4 <no value>",
        "exec_start: sh -c exit 4 <no value>",
        "exec_die 4",
    ]


# ---- docker-py -------------------------------------------------------------------------------


@pytest.fixture
def container(engine: EngineProcess, wire: Wire) -> Iterator[Any]:
    docker: Any = pytest.importorskip("docker", reason="needs the docker package of PyPI")
    client = docker.DockerClient(base_url=f"unix://{engine.socket}", version="auto", timeout=30)
    yield client.containers.get(running(wire))
    client.close()
    gc.collect()


def test_exec_run_in_all_its_ways(container: Any) -> None:
    script = ["sh", "-c", "echo out; echo err >&2; exit 2"]
    code, output = container.exec_run(script)
    assert (code, sorted(output.split())) == (2, [b"err", b"out"])
    assert container.exec_run(script, demux=True).output == (b"out\n", b"err\n")
    assert b"".join(container.exec_run("seq 3", stream=True).output) == b"1\n2\n3\n"
    assert container.exec_run("echo x", tty=True).output == b"x\r\n"
    assert container.exec_run("env", environment={"A": "b"}, user="33").output.count(b"A=b") == 1
    assert container.exec_run("true", detach=True).output == ""


def test_exec_run_gives_a_socket_to_talk_over(container: Any) -> None:
    _, stream = container.exec_run("cat", stdin=True, socket=True)
    raw = stream._sock
    raw.sendall(b"through")
    assert raw.recv(100).endswith(b"through")
    raw.close()


# ---- a shell that is kept open, as devcontainers do ------------------------------------------


@needs_docker_cli
def test_a_shell_is_kept_open_for_many_commands(docker: DockerCli, box: str) -> None:
    with docker.running("exec", "-i", box, "sh") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(20):
            process.stdin.write(f"echo -n {number}; echo; echo e >&2\n".encode())
            process.stdin.flush()
            assert process.stdout.readline() == f"{number}\n".encode()
        process.stdin.close()
        process.stdin = None
        assert process.wait(timeout=30) == 0


@needs_docker_cli
def test_many_at_once_do_not_mix(docker: DockerCli, box: str) -> None:
    words = ["exec", "-i", box, "cat"]
    clients = [docker.popen(*words) for _ in range(8)]
    data = [bytes([number]) * 300_000 for number in range(8)]
    results: list[bytes] = []
    for client, own in zip(clients, data, strict=True):
        try:
            results.append(client.communicate(own, timeout=60)[0])
        except subprocess.TimeoutExpired:
            client.kill()
            raise
    assert results == data
