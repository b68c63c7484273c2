"""Edge: the engines to compare, each by its command line."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field

__all__ = ["Engine", "find_engines"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """`cli` is the argv prefix; `build` the prefix of its build command."""

    name: str
    cli: tuple[str, ...]
    build: tuple[str, ...]
    build_only: bool = False
    second_client: bool = False
    """Another engine of the list has the same storage."""
    env: dict[str, str] = field(default_factory=dict)
    socket: str = ""
    """Where its API answers; empty when each command is the engine."""

    def run(self, *words: str, check: bool = True) -> str:
        """Run one command of the engine and return its standard output."""
        return self._call((*self.cli, *words), check=check)

    def run_build(self, *words: str) -> str:
        return self._call((*self.build, *words), check=True)

    def _call(self, argv: tuple[str, ...], *, check: bool) -> str:
        done = subprocess.run(
            argv,
            env=os.environ | self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            raise SystemExit(f"{shlex.join(argv)} failed ({done.returncode}):\n{done.stderr}")
        return done.stdout

    @property
    def answers(self) -> bool:
        """True when the command is there and its engine talks."""
        if not shutil.which(self.cli[0]):
            return False
        try:
            done = subprocess.run([*self.cli, "info"], capture_output=True, timeout=20, check=False)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0


def _socket(pogu: tuple[str, ...]) -> str:
    """Where the engine of that command line listens; the command starts it."""
    default = "/run/pogu/pogu.sock"
    if not shutil.which(pogu[0]):
        return default
    subprocess.run([*pogu, "ps", "-q"], capture_output=True, check=False)
    done = subprocess.run([*pogu, "engine", "status", "--json"], capture_output=True, check=False)
    try:
        return str(json.loads(done.stdout).get("Socket", default))
    except ValueError:
        return default


def _docker_socket(words: tuple[str, ...]) -> str:
    """Where a docker command line looks for its engine."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    for word, after in itertools.pairwise(words):
        address = after if word in ("-H", "--host") else address
    return address.removeprefix("unix://")


def _client(words: tuple[str, ...]) -> tuple[str, ...]:
    """The docker command that can be pointed at another engine: the same program, where it can.

    Two versions of it differ by 40 ms a command (plugins), which is not the engines' doing.
    """
    if len(words) >= 3 and words[-2] in ("-H", "--host"):
        return words[:-2]
    if words != ("docker",):
        print(f"note: {shlex.join(words)} is not compared by the same client; use 'docker -H ...'")
    return ("docker",)


def find_engines(*, pogu: str, docker: str, buildx: str, podman: str) -> list[Engine]:
    """Return the engines that answer; Pogu first, by its own CLI and by the docker CLI."""
    own = tuple(shlex.split(pogu))
    socket = _socket(own)
    peer = tuple(shlex.split(docker))
    same = (*_client(peer), "-H", f"unix://{socket}")
    legacy = {"DOCKER_BUILDKIT": "0"}
    candidates = [
        Engine(name="pogu", cli=own, build=(*own, "build"), socket=socket),
        Engine(
            name="pogu (docker CLI)",
            cli=same,
            build=(*same, "build"),
            env=legacy,
            second_client=True,
            socket=socket,
        ),
        Engine(
            name="docker",
            cli=peer,
            build=(*peer, "build"),
            env=legacy,
            socket=_docker_socket(peer),
        ),
    ]
    if buildx:
        words = tuple(shlex.split(buildx))
        candidates.append(
            Engine(name="buildx", cli=words, build=(*words, "build", "--load"), build_only=True)
        )
    tool = tuple(shlex.split(podman))
    candidates.append(Engine(name="podman", cli=tool, build=(*tool, "build", "--layers")))
    return [engine for engine in candidates if engine.answers]
