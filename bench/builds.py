"""Cases of builds: on every engine, and on those that only build."""

from __future__ import annotations

from collections.abc import Callable

from bench.engines import Engine
from bench.measure import Case, fresh, timed
from bench.workspace import Workspace

__all__ = ["CASES"]


def build(context: str, *flags: str) -> Callable[[Engine, Workspace], float]:
    def once(engine: Engine, workspace: Workspace) -> float:
        words = ("-q", *flags, "-t", f"bench-{context}", str(workspace.path / context))
        return timed(lambda: engine.run_build(*words))

    return once


def build_cached(engine: Engine, workspace: Workspace) -> float:
    """The first time may have to build; only the second counts."""
    again = build("eight")
    again(engine, workspace)
    return again(engine, workspace)


def build_changed(engine: Engine, workspace: Workspace) -> float:
    (workspace.path / "many" / "d0" / "0.txt").write_text(fresh("changed"))
    return build("many")(engine, workspace)


CASES = [
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
        once=build("eight", "--no-cache"),
        rounds=5,
        builds=True,
    ),
    Case(
        name="build-parallel",
        what="three stages of 1 s each",
        goal="≤ 1.4 s",
        once=build("stages", "--no-cache"),
        rounds=3,
        builds=True,
    ),
    Case(
        name="build-context",
        what="COPY of 5,000 files, one changed",
        goal="≤ 1/2 buildx",
        once=build_changed,
        rounds=5,
        builds=True,
    ),
]
