"""`docker run -it` and `attach` on a pseudo-terminal."""

from __future__ import annotations

import shutil

import pytest
from tests.conformance.clients import DockerCli, Terminal, needs_docker_cli
from tests.engine_process import EngineProcess, eventually

pytestmark = [
    pytest.mark.root,
    needs_docker_cli,
    pytest.mark.skipif(shutil.which("setsid") is None, reason="needs setsid of util-linux"),
]

DETACH = "\x10\x11"


def test_terminal_runs_a_shell_and_gives_its_exit_code(docker: DockerCli) -> None:
    with docker.terminal("run", "--rm", "-it", "busybox", "sh") as screen:
        screen.expect("#")
        screen.type("echo $((6*7)); test -t 0 && echo a tty\n")
        screen.expect("42\r\n")
        screen.expect("a tty\r\n")
        screen.type("exit 5\n")
        assert screen.wait() == 5


def test_terminal_has_the_size_of_the_client_and_follows_it(docker: DockerCli) -> None:
    script = 'is() { until [ "$(stty size)" = "$1" ]; do sleep 0.02; done; echo it is $1; }'
    words = ["sh", "-c", f"{script}; is '24 80'; is '40 100'"]
    with docker.terminal("run", "--rm", "-it", "busybox", *words) as screen:
        screen.expect("it is 24 80")

        def is_followed() -> bool:
            # The client does not see a change while it sets itself up, so there are several.
            screen.resize(40, 99)
            screen.resize(40, 100)
            return screen.shows("it is 40 100")

        eventually(is_followed)
        assert screen.wait() == 0


def test_ctrl_c_reaches_the_process(docker: DockerCli) -> None:
    script = "trap 'echo caught; exit 8' INT; echo ready; while :; do sleep 0.05; done"
    with docker.terminal("run", "--rm", "-it", "busybox", "sh", "-c", script) as screen:
        screen.expect("ready")
        screen.type("\x03")
        screen.expect("caught")
        assert screen.wait() == 8


def test_detach_keys_leave_the_container_running(docker: DockerCli) -> None:
    with docker.terminal("run", "-it", "--name", "stays", "busybox", "sh") as screen:
        screen.expect("#")
        screen.type("x=kept\n")
        screen.expect("#")
        screen.type(DETACH)
        assert screen.wait() == 0
    assert docker.status("stays") == "running"
    with docker.terminal("attach", "stays") as screen:
        screen.type("echo $x; exit 4\n")
        screen.expect("kept\r\n")
        assert screen.wait() == 4


@pytest.fixture(params=["docker", "pogu"])
def program(request: pytest.FixtureRequest, docker: DockerCli, engine: EngineProcess) -> list[str]:
    """The words before a command: both clients are to do the same."""
    return ["docker"] if request.param == "docker" else engine.argv


@pytest.mark.parametrize("words", [("attach", "stays"), ("exec", "-it", "stays", "sh")])
def test_detaching_from_what_runs_already_is_told(
    docker: DockerCli, program: list[str], words: tuple[str, ...]
) -> None:
    docker.ok("run", "-dit", "--name", "stays", "busybox", "sh")
    with Terminal([*program, *words], docker.environment({"TERM": "xterm"})) as screen:
        screen.type("\n")
        screen.expect("#")
        screen.type(DETACH)
        screen.expect("read escape sequence")
        assert screen.wait() == 1
    assert docker.status("stays") == "running"


def test_detach_keys_can_be_chosen(docker: DockerCli) -> None:
    words = ["run", "-it", "--name", "stays", "--detach-keys", "ctrl-a,d", "busybox", "sh"]
    with docker.terminal(*words) as screen:
        screen.expect("#")
        screen.type("\x01d")
        assert screen.wait() == 0
    assert docker.status("stays") == "running"


def test_start_ai_takes_the_terminal_of_a_created_container(docker: DockerCli) -> None:
    docker.ok("create", "-it", "--name", "later", "busybox", "sh")
    with docker.terminal("start", "-ai", "later") as screen:
        screen.expect("#")
        screen.type("stty size; exit 3\n")
        screen.expect("24 80")
        assert screen.wait() == 3


def test_t_without_a_terminal_is_refused_by_the_client(docker: DockerCli) -> None:
    assert "not a TTY" in docker.refused("run", "-it", "busybox", stdin=b"")


def test_t_in_the_background_keeps_a_terminal(docker: DockerCli) -> None:
    docker.ok("run", "-dit", "--name", "back", "busybox", "sh")
    with docker.terminal("attach", "back") as screen:
        screen.type("tty; exit\n")
        screen.expect("/dev/")
        assert screen.wait() == 0


def test_missing_program_on_a_terminal_gives_127(docker: DockerCli) -> None:
    with docker.terminal("run", "--rm", "-it", "busybox", "nope") as screen:
        screen.expect("executable file not found")
        assert screen.wait() == 127
