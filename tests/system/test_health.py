"""Health checks of real containers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests.engine_process import EngineProcess, eventually

pytestmark = pytest.mark.root

QUICK = ("--health-interval", "100ms", "--health-retries", "2")


def start(engine: EngineProcess, name: str, command: str, *options: str) -> None:
    flags = ("--name", name, "--health-cmd", command, *QUICK, *options)
    engine.ok("run", "-d", *flags, "busybox", "sleep", "1000")


def health(engine: EngineProcess, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.ok("inspect", "-f", "{{json .State.Health}}", name))
    return found


def becomes(engine: EngineProcess, name: str, status: str) -> None:
    eventually(lambda: health(engine, name)["Status"] == status, what=f"{name} is {status}")


def test_it_is_starting_then_healthy_then_unhealthy(engine: EngineProcess) -> None:
    start(engine, "web", "test -e /ok && echo fine", "--health-start-period", "30s",
          "--health-start-interval", "100ms")  # fmt: skip
    assert "(health: starting)" in engine.ok("ps", "--filter", "name=web")
    engine.ok("exec", "web", "touch", "/ok")
    becomes(engine, "web", "healthy")
    assert "(healthy)" in engine.ok("ps", "--filter", "health=healthy")
    engine.ok("exec", "web", "rm", "/ok")
    becomes(engine, "web", "unhealthy")
    last = health(engine, "web")["Log"][-1]
    assert (last["ExitCode"], last["Output"]) == (1, "")
    assert engine.ok("ps", "-q", "--filter", "health=healthy") == ""
    engine.ok("rm", "-f", "web")


def test_changes_are_events(engine: EngineProcess) -> None:
    began = time.time()
    start(engine, "told", "true")
    becomes(engine, "told", "healthy")
    window = ("--since", f"{began:.3f}", "--until", f"{time.time() + 0.01:.3f}")
    chosen = ("--filter", "container=told", "--format", "{{.Action}}")
    told = engine.ok("events", *window, *chosen).splitlines()
    assert "health_status: healthy" in told
    probe = ["exec_create: /bin/sh -c true", "exec_start: /bin/sh -c true", "exec_die"]
    assert [action for action in told if action.startswith("exec_")][:3] == probe
    engine.ok("rm", "-f", "told")


def test_a_probe_that_takes_too_long_is_killed_with_its_children(engine: EngineProcess) -> None:
    start(engine, "slow", "echo begun; sleep 987; true", "--health-timeout", "200ms")
    eventually(lambda: health(engine, "slow")["Log"])
    result = health(engine, "slow")["Log"][0]
    assert result["ExitCode"] == -1
    assert result["Output"] == "Health check exceeded timeout (200ms): begun\n"
    becomes(engine, "slow", "unhealthy")
    assert engine.ok("top", "slow").count("sleep 987") <= 2  # the one that runs now
    engine.ok("rm", "-f", "slow")


def test_the_next_engine_goes_on(engine: EngineProcess) -> None:
    start(engine, "goes-on", "test -e /ok")
    becomes(engine, "goes-on", "unhealthy")
    engine.kill()
    assert health(engine, "goes-on")["Status"] == "unhealthy"
    engine.ok("exec", "goes-on", "touch", "/ok")
    becomes(engine, "goes-on", "healthy")
    engine.ok("rm", "-f", "goes-on")


def test_the_check_of_a_dockerfile_is_run_and_can_be_disabled(
    engine: EngineProcess, tmp_path: Path
) -> None:
    check = "HEALTHCHECK --interval=100ms --retries=1 CMD test -e /there"
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\n{check}\nCMD sleep 1000\n")
    engine.ok("build", "-t", "checked", str(tmp_path))
    engine.ok("run", "-d", "--name", "own", "checked")
    becomes(engine, "own", "unhealthy")
    engine.ok("run", "-d", "--name", "none", "--no-healthcheck", "checked")
    assert health(engine, "none") is None
    assert engine.ok("ps", "--format", "{{.Names}}", "--filter", "health=none") == "none"
    (tmp_path / "Dockerfile").write_text("FROM checked\nHEALTHCHECK NONE\n")
    engine.ok("build", "-t", "unchecked", str(tmp_path))
    engine.ok("run", "-d", "--name", "off", "unchecked")
    assert health(engine, "off") is None
    engine.ok("rm", "-f", "own", "none", "off")


def test_run_waits_until_it_is_healthy(engine: EngineProcess) -> None:
    flags = ("--health-cmd", "test -e /ok", "--health-interval", "50ms", "--health-retries", "99")
    script = "sleep 0.3; touch /ok; sleep 1000"
    wait = ("run", "-d", "--wait-healthy", "--name", "waits", *flags)
    engine.ok(*wait, "busybox", "sh", "-c", script)
    assert health(engine, "waits")["Status"] == "healthy"
    engine.ok("rm", "-f", "waits")


@pytest.mark.parametrize(
    ("script", "more", "said"),
    [
        ("sleep 1000", ("--health-retries", "1"), "is unhealthy; the last probe ended with 7: bad"),
        ("sleep 0.2; exit 3", ("--health-retries", "999"), "it exited with code 3"),
        ("sleep 1000", ("--health-retries", "999", "--wait-timeout", "1"), "not within 1 s"),
    ],
)  # fmt: skip
def test_run_says_why_it_did_not_become_healthy(
    engine: EngineProcess, script: str, more: tuple[str, ...], said: str
) -> None:
    flags = ("--health-cmd", "echo bad; exit 7", "--health-interval", "50ms", *more)
    words = ("run", "-d", "--wait-healthy", *flags, "--name", "fails", "busybox", "sh", "-c")
    assert said in engine.refused(*words, script)
    engine.ok("rm", "-f", "fails")


def test_bad_flags_are_refused_in_dockers_words(engine: EngineProcess) -> None:
    def refused(*flags: str) -> str:
        return engine.refused("run", "-d", *flags, "busybox", "true", code=125)

    assert "conflicts with --health-* options" in refused("--no-healthcheck", "--health-cmd", "x")
    assert 'invalid duration "soon"' in refused("--health-interval", "soon")
    assert "cannot be negative" in refused("--health-timeout", "-1s")
    assert "cannot be less than 1ms" in refused("--health-cmd", "x", "--health-interval", "1us")
    assert "--wait-healthy needs -d" in engine.refused("run", "--wait-healthy", "busybox", "true")
