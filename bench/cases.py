"""What is measured of containers and builds. A case times one call per round and engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from bench import images
from bench.engines import Engine
from bench.measure import Case, Workspace, fresh, timed

__all__ = ["CASES"]


def run_bridge(engine: Engine, _: Workspace) -> float:
    return timed(lambda: engine.run("run", "--rm", "bench-busybox", "true"))


def run_none(engine: Engine, _: Workspace) -> float:
    return timed(lambda: engine.run("run", "--rm", "--network", "none", "bench-busybox", "true"))


def remove(engine: Engine, *names: str) -> None:
    """Remove running containers at once; Podman would wait ten seconds for each to stop."""
    at_once = ("-t", "0") if engine.name == "podman" else ()
    engine.run("rm", "-f", *at_once, *names)


def run_detached(engine: Engine, _: Workspace) -> float:
    name = fresh("bench")

    def start_and_remove() -> None:
        engine.run("run", "-d", "--name", name, "bench-busybox", "sleep", "1000")
        remove(engine, name)

    return timed(start_and_remove)


def exec_true(engine: Engine, _: Workspace) -> float:
    name = fresh("bench")
    engine.run("run", "-d", "--name", name, "bench-busybox", "sleep", "1000")
    try:
        return timed(lambda: engine.run("exec", name, "true"))
    finally:
        remove(engine, name)


def list_containers(engine: Engine, _: Workspace) -> float:
    return timed(lambda: engine.run("ps", "-q"))


def build_cached(engine: Engine, workspace: Workspace) -> float:
    context = str(workspace.path / "eight")
    engine.run_build("-q", "-t", "bench-eight", context)
    return timed(lambda: engine.run_build("-q", "-t", "bench-eight", context))


def build_uncached(engine: Engine, workspace: Workspace) -> float:
    context = str(workspace.path / "eight")
    return timed(lambda: engine.run_build("-q", "--no-cache", "-t", "bench-eight", context))


def build_parallel(engine: Engine, workspace: Workspace) -> float:
    context = str(workspace.path / "stages")
    return timed(lambda: engine.run_build("-q", "--no-cache", "-t", "bench-stages", context))


def build_context(engine: Engine, workspace: Workspace) -> float:
    context = workspace.path / "many"
    (context / "d0" / "0.txt").write_text(fresh("changed"))
    return timed(lambda: engine.run_build("-q", "-t", "bench-many", str(context)))


def fifty_containers(engine: Engine, _: Workspace) -> float:
    names = [fresh("bench") for _ in range(50)]

    def start(name: str) -> None:
        engine.run("run", "-d", "--name", name, "bench-busybox", "sleep", "1000")

    with ThreadPoolExecutor(8) as pool:
        seconds = timed(lambda: list(pool.map(start, names)))
    remove(engine, *names)
    return seconds


CASES = [
    Case(name="ps", what="`ps -q`", goal="≤ 40 ms own CLI", once=list_containers, rounds=20),
    Case(
        name="run-bridge",
        what="`run --rm IMAGE true`, bridge",
        goal="≤ 1/3 docker, ≤ 1/2 podman",
        once=run_bridge,
        rounds=20,
    ),
    Case(
        name="exec",
        what="`exec CONTAINER true`",
        goal="≤ docker with our CLI, ≤ 1/2 engine against engine",
        once=exec_true,
        rounds=20,
    ),
    Case(
        name="run-none",
        what="`run --rm --network none IMAGE true`",
        goal="",
        once=run_none,
        rounds=20,
    ),
    Case(
        name="run-detached",
        what="`run -d` + `rm -f`",
        goal="≤ 1/3 docker",
        once=run_detached,
    ),
    Case(
        name="build-cached",
        what="8 steps, all cached",
        goal="≤ 1/4 buildx; docker CLI: ≤ docker",
        once=build_cached,
        builds=True,
    ),
    Case(
        name="build-uncached",
        what="8 steps, --no-cache",
        goal="≤ 1/2 buildx",
        once=build_uncached,
        rounds=5,
        builds=True,
    ),
    Case(
        name="build-parallel",
        what="three stages of 1 s each",
        goal="≤ 1.4 s",
        once=build_parallel,
        rounds=3,
        builds=True,
    ),
    Case(
        name="build-context",
        what="COPY of 5,000 files, one changed",
        goal="≤ 1/2 buildx",
        once=build_context,
        rounds=5,
        builds=True,
    ),
    Case(
        name="fifty",
        what="50 containers, 8 at a time",
        goal="≤ 1/3 docker",
        once=fifty_containers,
        rounds=2,
    ),
    *images.CASES,
]
