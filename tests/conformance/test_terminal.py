"""A terminal with docker's CLI and with ours: both must do the same."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conformance.clients import DockerCli, Terminal, needs_docker_cli
from tests.engine_process import EngineProcess, eventually

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("setsid") is None, reason="needs setsid of util-linux"),
]

DETACH = "\x10\x11"
ECHO = "while read x; do echo got $x; done"
TRAPS = "trap 'echo int' INT; trap 'echo quit; exit 9' QUIT; echo ready; {}"
WAITS = "while :; do sleep 0.02; done"

Shell = Callable[..., Terminal]
"""One command line on a terminal of its own; what follows it stays on that terminal."""


@pytest.fixture(params=[pytest.param("docker", marks=needs_docker_cli), "pogu"])
def on_terminal(request: pytest.FixtureRequest, engine: EngineProcess, docker: DockerCli) -> Shell:
    words = ["docker"] if request.param == "docker" else engine.argv
    environment = {**docker.environment(), "TERM": "xterm"}

    def begin(*command: str, after: str = "") -> Terminal:
        """`after`: a script that runs on the same terminal then."""
        script = f'trap : INT QUIT; "$@"; echo "code=$?"; {after}'
        return Terminal(["sh", "-c", script, "sh", *words, *command], environment)

    return begin


def code(screen: Terminal) -> int:
    screen.expect("code=")
    eventually(lambda: screen.shows("\n"))
    return int(re.match(r"\d+", screen.seen)[0])  # type: ignore[index]


def test_keys_detach_from_an_attach(on_terminal: Shell, docker: DockerCli) -> None:
    docker.ok("run", "-dit", "--name", "stays", "busybox", "sh", "-c", ECHO)
    with on_terminal("attach", "stays") as screen:
        screen.type("hi\r")
        screen.expect("got hi")
        screen.type(DETACH)
        screen.expect("read escape sequence")
        assert code(screen) == 1
    assert docker.status("stays") == "running"


def test_keys_detach_from_an_exec(on_terminal: Shell, docker: DockerCli) -> None:
    docker.ok("run", "-d", "--name", "stays", "busybox", "sleep", "1000")
    with on_terminal("exec", "-it", "stays", "sh", "-c", ECHO) as screen:
        screen.type("hi\r")
        screen.expect("got hi")
        screen.type(DETACH)
        screen.expect("read escape sequence")
        assert code(screen) == 1


@pytest.mark.parametrize("command", ["run", "start"])
def test_keys_detach_from_what_was_started(
    on_terminal: Shell, docker: DockerCli, command: str
) -> None:
    words = ["run", "-it", "--name", "stays", "busybox", "sh", "-c", ECHO]
    if command == "start":
        docker.ok("create", *words[1:])
        words = ["start", "-ai", "stays"]
    with on_terminal(*words) as screen:
        screen.type("hi\r")
        screen.expect("got hi")
        screen.type(DETACH)
        assert code(screen) == 0
        assert "escape" not in screen.seen
    assert docker.status("stays") == "running"


@pytest.mark.parametrize("command", ["attach", "exec"])
def test_the_keys_of_the_configuration_hold(
    on_terminal: Shell, docker: DockerCli, command: str
) -> None:
    (docker.home / "config.json").write_text('{"detachKeys": "ctrl-e,e"}')
    docker.ok("run", "-dit", "--name", "stays", "busybox", "sh", "-c", ECHO)
    words = ["attach", "stays"] if command == "attach" else ["exec", "-it", "stays", "cat"]
    with on_terminal(*words) as screen:
        screen.type("x\r")
        screen.expect("x\r\n")
        screen.type("\x05e")
        assert code(screen) == 1
    with on_terminal(words[0], "--detach-keys", "ctrl-a", *words[1:]) as screen:
        screen.type("y\r")
        screen.expect("y\r\n")
        screen.type("\x01")
        assert code(screen) == 1


def test_the_terminal_is_as_before(on_terminal: Shell, docker: DockerCli) -> None:
    docker.ok("run", "-dit", "--name", "stays", "busybox", "sh", "-c", ECHO)
    with on_terminal("attach", "stays", after="stty -a") as screen:
        screen.type("hi\r")
        screen.expect("got hi")
        screen.type(DETACH)
        assert code(screen) == 1
        screen.wait()
        assert {"icanon", "isig", "echo", "opost", "icrnl"} <= set(
            re.split(r"[ ;\r\n]+", screen.seen)
        )


def test_the_terminal_is_as_before_when_the_engine_dies(
    on_terminal: Shell, docker: DockerCli, engine: EngineProcess
) -> None:
    docker.ok("run", "-dit", "--name", "stays", "busybox", "sh", "-c", ECHO)
    with on_terminal("attach", "stays", after="stty -a") as screen:
        screen.type("hi\r")
        screen.expect("got hi")
        engine.kill()
        screen.wait()
        assert is_as_ever(screen)
    engine.ok("ps", "-q")  # docker's CLI starts none


def test_attach_follows_the_size(on_terminal: Shell, docker: DockerCli) -> None:
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.02; done"
    docker.ok("run", "-dit", "--name", "stays", "busybox", "sh", "-c", script)
    with on_terminal("attach", "stays") as screen:
        screen.expect("\r\n")  # it was drawn anew

        def is_followed() -> bool:
            screen.resize(40, 99)
            screen.resize(40, 100)
            return screen.shows("40 100")

        eventually(is_followed)


def test_a_key_is_a_key_where_the_container_has_a_terminal(
    on_terminal: Shell, docker: DockerCli
) -> None:
    docker.ok("run", "-dit", "--name", "traps", "busybox", "sh", "-c", TRAPS.format(WAITS))
    with on_terminal("attach", "traps") as screen:
        eventually(lambda: attached(docker, "traps"))
        screen.type("\x03")
        screen.expect("int")
        screen.type("\x1c")
        screen.expect("quit")
        assert code(screen) == 9


def test_a_key_is_a_signal_where_it_has_none(on_terminal: Shell, docker: DockerCli) -> None:
    docker.start("traps", TRAPS.format(WAITS))
    with on_terminal("attach", "traps") as screen:
        eventually(lambda: attached(docker, "traps") and proxies(screen))
        screen.type("\x03")
        screen.expect("int")
        screen.type("\x1c")
        screen.expect("quit")
        assert code(screen) == 9


def test_without_a_proxy_a_key_ends_the_client_only(
    engine: EngineProcess, docker: DockerCli
) -> None:
    docker.start("stays", f"echo ready; {WAITS}")
    words = [*engine.argv, "attach", "--sig-proxy=false", "stays"]
    with Terminal(words, docker.environment()) as screen:
        eventually(lambda: attached(docker, "stays"))
        screen.type("\x03")  # docker's CLI goes on then
        assert screen.wait() == 130
    assert docker.status("stays") == "running"


def test_no_stdin_only_looks_on(on_terminal: Shell, docker: DockerCli) -> None:
    docker.ok("run", "-dit", "--name", "shown", "busybox", "sh", "-c", f"read x; {ECHO}")
    with on_terminal("attach", "--no-stdin", "shown") as screen:
        eventually(lambda: attached(docker, "shown"))
        screen.type("typed\n")
        with docker.terminal("attach", "shown") as other:
            other.type("one\rtwo\r")
            other.expect("got two")
        screen.expect("got two")
    assert "got typed" not in docker.ok("logs", "shown")


def test_a_terminal_is_not_fed_from_a_pipe(engine: EngineProcess, docker: DockerCli) -> None:
    docker.ok("run", "-dit", "--name", "stays", "busybox", "sh")
    said = "the input device is not a TTY"
    assert said in docker.call("attach", "stays", stdin=b"exit\n").stderr
    assert said in engine.refused("attach", "stays", stdin=b"exit\n", code=1)


def test_several_clients_see_and_type_the_same(docker: DockerCli, engine: EngineProcess) -> None:
    docker.ok("run", "-dit", "--name", "shared", "busybox", "sh", "-c", ECHO)
    ours = Terminal([*engine.argv, "attach", "shared"], docker.environment({"TERM": "xterm"}))
    with (
        ours,
        docker.terminal("attach", "shared") as one,
        docker.terminal("attach", "shared") as two,
    ):
        screens = (ours, one, two)
        eventually(lambda: attached(docker, "shared") == len(screens))
        for number, screen in enumerate(screens):
            screen.type(f"from{number}\r")
            for each in screens:
                each.expect(f"got from{number}")
        two.type(DETACH)
        assert two.wait() == 1
        one.type("again\r")
        ours.expect("got again")


def proxies(screen: Terminal) -> bool:
    """True when the client catches SIGQUIT."""
    for path in Path(f"/proc/{screen.pid}/task").glob("*/children"):
        for child in path.read_text().split():
            status = Path(f"/proc/{child}/status").read_text()
            caught = int(status.partition("SigCgt:")[2].split()[0], 16)
            return bool(caught & (1 << (signal.SIGQUIT - 1)))
    return False


def attached(docker: DockerCli, name: str) -> int:
    """How many have attached to the container."""
    words = ("--since", "1h", "--until", "0s", "--filter", "event=attach")
    container = docker.show("{{.Id}}", name)
    return len(docker.ok("events", *words, "--filter", f"container={container}").splitlines())


def is_as_ever(screen: Terminal) -> bool:
    """What `stty -a` says of a terminal that is not raw."""
    return {"icanon", "isig", "echo", "opost", "icrnl"} <= set(re.split(r"[ ;\r\n]+", screen.seen))
