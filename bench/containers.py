"""Cases of containers: their lives, and looking at them.

Each says what must be true afterwards and stops the bench where it is not. What a case needs to
stand around it (`stage`) is removed even then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from bench import api
from bench.engines import Engine
from bench.measure import Case, fresh, timed
from bench.workspace import Workspace

__all__ = ["CASES", "expect", "remove", "running"]

FIFTY = 50
_AT_ONCE = 8
_IDLE = ("sleep", "100000")
_TELL, _TOLD = ("echo", "told"), "told\n"


def expect(true: bool, engine: Engine, what: str) -> None:
    """A figure of something that did not happen is worth nothing."""
    if not true:
        raise SystemExit(f"{engine.name}: {what}")


def remove(engine: Engine, *names: str) -> None:
    """Remove running containers at once; Podman would wait ten seconds for each to stop."""
    at_once = ("-t", "0") if engine.name == "podman" else ()
    engine.run("rm", "-f", *at_once, *names)


def start_fifty(engine: Engine, names: list[str]) -> None:
    def start(name: str) -> None:
        engine.run("run", "-d", "--name", name, "bench-busybox", *_IDLE)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(start, names))


def staged(number: int = 0) -> str:
    """Names of what stands around the rounds: the same for each client of an engine."""
    return f"bench-{os.getpid()}-stage{number}"


@contextmanager
def one(engine: Engine, _: Workspace) -> Iterator[None]:
    """One running container, `staged()`."""
    engine.run("run", "-d", "--name", staged(), "bench-busybox", *_IDLE)
    try:
        yield
    finally:
        remove(engine, staged())


@contextmanager
def fifty(engine: Engine, _: Workspace) -> Iterator[None]:
    names = [staged(number) for number in range(FIFTY)]
    try:
        start_fifty(engine, names)
        yield
    finally:
        remove(engine, *names)


def running(engine: Engine, name: str) -> bool:
    return engine.run("inspect", "--format", "{{.State.Running}}", name).strip() == "true"


def listed(engine: Engine, *flags: str) -> set[str]:
    """Names of the containers that `ps` shows."""
    return set(engine.run("ps", *flags, "--format", "{{.Names}}").split())


def run(*flags: str) -> Callable[[Engine, Workspace], float]:
    def once(engine: Engine, _: Workspace) -> float:
        name, said = fresh("bench"), []
        words = ("run", "--rm", "--name", name, *flags, "bench-busybox", *_TELL)
        seconds = timed(lambda: said.append(engine.run(*words)))
        expect(said == [_TOLD], engine, f"run said {said}")
        expect(name not in listed(engine, "-a"), engine, f"{name} is there after run --rm")
        return seconds

    return once


def run_detached(engine: Engine, _: Workspace) -> float:
    name = fresh("bench")
    seconds = timed(lambda: engine.run("run", "-d", "--name", name, "bench-busybox", *_IDLE))
    expect(running(engine, name), engine, f"{name} does not run after run -d")
    seconds += timed(lambda: remove(engine, name))
    expect(name not in listed(engine, "-a"), engine, f"{name} is there after rm -f")
    return seconds


def start_stopped(engine: Engine, _: Workspace) -> float:
    name = fresh("bench")
    engine.run("run", "-d", "--name", name, "bench-busybox", *_IDLE)
    try:
        engine.run("kill", name)
        engine.run("wait", name)
        expect(not running(engine, name), engine, f"{name} runs after kill and wait")
        seconds = timed(lambda: engine.run("start", name))
        expect(running(engine, name), engine, f"{name} does not run after start")
    finally:
        remove(engine, name)
    return seconds


def stop(engine: Engine, _: Workspace) -> float:
    """Of a process that ends when it is told to."""
    name = fresh("bench")
    words = ("sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done")
    engine.run("run", "-d", "--name", name, "bench-busybox", *words)
    try:
        while "ready" not in engine.run("logs", name):
            pass
        seconds = timed(lambda: engine.run("stop", name))
        expect(not running(engine, name), engine, f"{name} runs after stop")
    finally:
        remove(engine, name)
    return seconds


def exec_echo(engine: Engine, _: Workspace) -> float:
    said: list[str] = []
    seconds = timed(lambda: said.append(engine.run("exec", staged(), *_TELL)))
    expect(said == [_TOLD], engine, f"exec said {said}")
    return seconds


def exec_by_socket(engine: Engine, _: Workspace) -> float:
    """What the docker CLI asks for: create, start, read to the end, inspect."""
    created = f"/containers/{staged()}/exec"
    body = {"AttachStdout": True, "AttachStderr": True, "Cmd": _TELL}
    codes = []

    def whole() -> None:
        exec_id = api.call(engine.socket, "POST", created, body)["Id"]
        output = api.call(engine.socket, "POST", f"/exec/{exec_id}/start", {"Detach": False})
        expect(_TOLD.encode() in output, engine, f"exec said {output!r}")
        codes.append(api.call(engine.socket, "GET", f"/exec/{exec_id}/json")["ExitCode"])

    seconds = timed(whole)
    expect(codes == [0], engine, f"exec ended with {codes}")
    return seconds


def list_by_socket(engine: Engine, _: Workspace) -> float:
    rows: list[object] = []
    seconds = timed(lambda: rows.extend(api.call(engine.socket, "GET", "/containers/json")))
    expect(len(rows) >= FIFTY, engine, f"{len(rows)} containers are listed")
    return seconds


def list_containers(*flags: str, at_least: int) -> Callable[[Engine, Workspace], float]:
    def once(engine: Engine, _: Workspace) -> float:
        lines: list[str] = []
        seconds = timed(lambda: lines.extend(engine.run("ps", *flags).splitlines()))
        expect(len(lines) >= at_least, engine, f"ps shows {len(lines)} lines")
        return seconds

    return once


def pause_and_go_on(engine: Engine, _: Workspace) -> float:
    def paused() -> bool:
        return staged() in listed(engine, "--filter", "status=paused")

    seconds = timed(lambda: engine.run("pause", staged()))
    expect(paused(), engine, "it is not paused after pause")
    seconds += timed(lambda: engine.run("unpause", staged()))
    expect(not paused(), engine, "it is paused after unpause")
    return seconds


def commit(engine: Engine, _: Workspace) -> float:
    name = fresh("bench-committed")
    seconds = timed(lambda: engine.run("commit", staged(), name))
    engine.run("image", "inspect", name)
    engine.run("rmi", name)
    return seconds


def fifty_at_once(engine: Engine, _: Workspace) -> float:
    names = [fresh("bench") for _ in range(FIFTY)]
    try:
        seconds = timed(lambda: start_fifty(engine, names))
        missing = set(names) - listed(engine)
        expect(not missing, engine, f"{len(missing)} of {FIFTY} do not run")
    finally:
        remove(engine, *names)
    return seconds


CASES = [
    Case(
        name="ps",
        what="`ps -q`",
        goal="≤ 40 ms own CLI",
        once=list_containers("-q", at_least=0),
        rounds=20,
    ),
    Case(
        name="ps-fifty",
        what="`ps`, 50 running",
        goal="≤ docker",
        stage=fifty,
        once=list_containers(at_least=FIFTY + 1),
        rounds=20,
    ),
    Case(
        name="ps-fifty-socket",
        what="`GET /containers/json`, 50 running",
        goal="≤ docker",
        stage=fifty,
        once=list_by_socket,
        by_socket=True,
        rounds=20,
    ),
    Case(
        name="run-bridge",
        what="`run --rm IMAGE echo`, bridge",
        goal="≤ 1/3 docker, ≤ 1/2 podman",
        once=run(),
        rounds=20,
    ),
    Case(
        name="run-none",
        what="`run --rm --network none IMAGE echo`",
        goal="",
        once=run("--network", "none"),
        rounds=20,
    ),
    Case(name="run-detached", what="`run -d` + `rm -f`", goal="≤ 1/3 docker", once=run_detached),
    Case(
        name="start",
        what="`start` of a stopped container",
        goal="≤ 1/3 docker",
        once=start_stopped,
        rounds=15,
    ),
    Case(name="stop", what="`stop` of one that obeys", goal="", once=stop),
    Case(
        name="exec",
        what="`exec CONTAINER echo`",
        goal="≤ docker; docker CLI: ≤ 1/2 docker",
        stage=one,
        once=exec_echo,
        rounds=20,
    ),
    Case(
        name="exec-socket",
        what="exec of `echo` through the API",
        goal="≤ 1/2 docker",
        stage=one,
        once=exec_by_socket,
        by_socket=True,
        rounds=20,
    ),
    Case(name="pause", what="`pause` + `unpause`", goal="", stage=one, once=pause_and_go_on),
    Case(
        name="commit", what="`commit`, nothing changed", goal="", stage=one, once=commit, rounds=5
    ),
    Case(
        name="fifty",
        what="50 containers, 8 at a time",
        goal="≤ 1/3 docker",
        once=fifty_at_once,
        rounds=3,
    ),
]
