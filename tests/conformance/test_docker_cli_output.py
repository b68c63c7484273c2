"""Events and logs with the docker CLI."""

from __future__ import annotations

import json
import time

import pytest
from tests.conformance.clients import DockerCli, needs_docker_cli
from tests.engine_process import eventually

pytestmark = [pytest.mark.root, needs_docker_cli]

TRAP = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"


# ---- events ----------------------------------------------------------------------------------


def test_events_tell_the_life_of_a_container(docker: DockerCli) -> None:
    since = str(time.time())
    container = docker.ok(
        "run", "-d", "--name", "told", "-l", "tier=web", "busybox", "sh", "-c", "sleep 0.1; exit 3"
    )
    docker.ok("wait", "told")
    docker.ok("rm", "told")
    asked = ["--since", since, "--until", str(time.time()), "--filter", "type=container"]
    events = [
        json.loads(line) for line in docker.ok("events", *asked, "--format", "json").splitlines()
    ]
    assert [event["Action"] for event in events] == ["create", "start", "die", "destroy"]
    assert all(event["Actor"]["ID"] == container for event in events)
    attributes = events[2]["Actor"]["Attributes"]
    assert attributes["exitCode"] == "3"
    assert (attributes["image"], attributes["name"], attributes["tier"]) == (
        "busybox",
        "told",
        "web",
    )
    networks = docker.ok(
        "events",
        "--since",
        since,
        "--until",
        str(time.time()),
        "--filter",
        "type=network",
        "--format",
        "{{.Action}}",
    )
    assert networks.split() == ["connect", "disconnect"]


def test_events_come_live_and_are_filtered(docker: DockerCli) -> None:
    filters = ["--filter", "event=start", "--filter", "label=wanted"]
    with docker.running("events", *filters, "--format", "{{.Actor.Attributes.name}}") as client:
        assert client.stdout
        docker.ok("run", "-d", "--name", "other", "busybox", "true")

        def told() -> bool:
            docker.call("rm", "-f", "mine")
            docker.ok("run", "-d", "--name", "mine", "-l", "wanted", "busybox", "true")
            return True

        eventually(told)
        assert client.stdout.readline() == b"mine\n"


def test_events_tell_of_stop_and_kill_with_the_signal(docker: DockerCli) -> None:
    since = str(time.time())
    docker.start("traps", TRAP)
    docker.ok("stop", "traps")
    container = docker.inspect("traps")["Id"]
    docker.ok("rename", "traps", "renamed")
    asked = ["--since", since, "--until", str(time.time()), "--filter", f"container={container}"]
    said = docker.ok("events", *asked, "--format", "{{.Action}}").split()
    assert said == ["create", "start", "kill", "die", "stop", "rename"]


# ---- logs ------------------------------------------------------------------------------------


def test_logs_keep_the_streams_apart(docker: DockerCli) -> None:
    docker.ok("run", "--name", "both", "busybox", "sh", "-c", "echo out; echo err >&2; printf end")
    done = docker.call("logs", "both")
    assert (done.stdout, done.stderr) == ("out\nend", "err\n")


def test_logs_tail_since_until_and_timestamps(docker: DockerCli) -> None:
    script = "for i in 1 2 3; do echo $i; sleep 0.15; done"
    docker.ok("run", "--name", "counts", "busybox", "sh", "-c", script)
    assert docker.ok("logs", "--tail", "2", "counts") == "2\n3"
    assert docker.ok("logs", "--tail", "0", "counts") == ""
    stamped = docker.ok("logs", "-t", "counts").splitlines()
    stamp, text = stamped[1].split()
    assert text == "2"
    assert stamp.endswith("Z")
    assert docker.ok("logs", "--since", stamp, "counts") == "2\n3"
    assert docker.ok("logs", "--until", stamp, "counts").splitlines()[0] == "1"
    assert docker.ok("logs", "--since", "1m", "counts") == "1\n2\n3"
    assert docker.ok("logs", "--until", "10m", "counts") == ""


def test_logs_follow_ends_with_the_container(docker: DockerCli) -> None:
    script = "echo first; sleep 0.3; echo last"
    docker.ok("run", "-d", "--name", "tells", "busybox", "sh", "-c", script)
    assert docker.ok("logs", "-f", "tells") == "first\nlast"
    assert docker.ok("logs", "-f", "--tail", "1", "tells") == "last"


def test_logs_follow_shows_lines_as_they_come(docker: DockerCli) -> None:
    script = "echo first; read x; echo second; sleep 1000"
    docker.start("tells", "echo ready; " + script, "-i")
    with docker.running("logs", "-f", "--tail", "1", "tells") as client:
        assert client.stdout
        assert client.stdout.readline() == b"first\n"
        with docker.running("attach", "tells") as writer:
            assert writer.stdin
            writer.stdin.write(b"\n")
            writer.stdin.flush()
            assert client.stdout.readline() == b"second\n"


def test_logs_of_driver_none_cannot_be_read(docker: DockerCli) -> None:
    said = docker.run("--log-driver", "none", "busybox", "echo", "shown")
    assert said == "shown"
    docker.ok("run", "--name", "mute", "--log-driver", "none", "busybox", "true")
    said = docker.refused("logs", "mute")
    assert "configured logging driver does not support reading" in said


def test_logs_of_a_terminal_are_one_stream(docker: DockerCli) -> None:
    docker.ok("run", "-d", "-t", "--name", "term", "busybox", "sh", "-c", "echo a; echo b >&2")
    docker.ok("wait", "term")
    done = docker.call("logs", "term")
    assert (done.stdout, done.stderr) == ("a\r\nb\r\n", "")
