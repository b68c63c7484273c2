"""`stats` with the docker CLI, docker-py and our own CLI."""

from __future__ import annotations

import json

import pytest
from tests.conformance.clients import DockerCli, Wire, needs_docker_cli

pytestmark = [pytest.mark.root, needs_docker_cli]

BUSY = "while :; do :; done"


def test_the_docker_cli_shows_what_a_busy_container_uses(docker: DockerCli) -> None:
    docker.ok("run", "-d", "--name", "busy", "-m", "64m", "busybox", "sh", "-c", BUSY)
    shown = json.loads(docker.ok("stats", "--no-stream", "--format", "json", "busy"))
    assert shown["Name"] == "busy"
    assert float(shown["CPUPerc"].rstrip("%")) > 5
    assert shown["MemUsage"].endswith("/ 64MiB")
    assert int(shown["PIDs"]) >= 1


def test_our_own_cli_lists_the_same_columns(docker: DockerCli) -> None:
    docker.ok("run", "-d", "--name", "idle", "busybox", "sleep", "1000")
    lines = docker.engine.ok("stats", "--no-stream").splitlines()
    assert lines[0].split()[:4] == ["CONTAINER", "ID", "NAME", "CPU"]
    assert [line for line in lines if " idle " in line]
    said = docker.engine.refused("stats", "--no-stream", "nobody")
    assert "No such container: nobody" in said


def test_a_stream_begins_without_a_predecessor_and_then_has_one(wire: Wire) -> None:
    made = wire.create(Cmd=["sleep", "1000"])
    with wire.lines(f"/containers/{made}/stats") as lines:
        assert "system_cpu_usage" not in next(lines)["cpu_stats"]
    assert wire.ask("POST", f"/containers/{made}/start").status == 204
    with wire.lines(f"/containers/{made}/stats") as lines:
        first, second = next(lines), next(lines)
    assert "system_cpu_usage" not in first["precpu_stats"]
    assert second["precpu_stats"]["system_cpu_usage"] == first["cpu_stats"]["system_cpu_usage"]
    assert second["memory_stats"]["limit"] > 0
    assert "eth0" in second["networks"]


def test_one_shot_is_a_single_reading(wire: Wire) -> None:
    made = wire.create(Cmd=["sleep", "1000"])
    wire.ask("POST", f"/containers/{made}/start")
    path = f"/containers/{made}/stats?stream=0"
    assert "system_cpu_usage" not in wire.ask("GET", f"{path}&one-shot=1").json["precpu_stats"]
    assert wire.ask("GET", path).json["precpu_stats"]["system_cpu_usage"] > 0
    answer = wire.ask("GET", f"/containers/{made}/stats?one-shot=1")
    assert (answer.status, answer.message) == (400, "cannot have stream=true and one-shot=true")


def test_a_stream_ends_when_the_container_is_removed(wire: Wire) -> None:
    made = wire.create(Cmd=["sleep", "1000"])
    with wire.lines(f"/containers/{made}/stats") as lines:
        next(lines)
        wire.ask("DELETE", f"/containers/{made}")
        assert all(line["id"] == made for line in lines)
