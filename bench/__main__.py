"""`python -m bench`: run the cases in rounds, print medians and ratios to Pogu."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from pathlib import Path

from bench.cases import CASES, Case, Workspace
from bench.engines import Engine, find_engines
from bench.memory import engine_memory


def main() -> None:
    options = parse_arguments()
    engines = find_engines(
        pogu=options.pogu, docker=options.docker, buildx=options.buildx, podman=options.podman
    )
    if not engines:
        sys.exit("no engine answers; try: make install")
    workspace = Workspace(path=Path(options.workspace))
    workspace.prepare()
    print(f"engines: {', '.join(engine.name for engine in engines)}")
    print(f"machine: {platform.processor() or platform.machine()}, Linux {platform.release()}")
    print(f"OCI runtime of pogu: {runtime_of(engines[0])}\n")
    for engine in engines:
        if not engine.build_only:
            engine.run("import", str(workspace.busybox_tar), "bench-busybox")
    wanted = set(options.only.split(",")) if options.only else {case.name for case in CASES}
    results: dict[str, dict[str, float]] = {}
    print_header(engines)
    for case in CASES:
        if case.name in wanted:
            results[case.name] = measure(case, engines, workspace, options.rounds)
            print_row(case, engines, results[case.name])
    print()
    if not options.only:
        print(engine_memory(engines[0]))
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--pogu", default="pogu")
    parser.add_argument("--docker", default="docker", help="command of the docker peer")
    parser.add_argument("--buildx", default="", help="command of a docker with buildx")
    parser.add_argument("--podman", default="podman")
    parser.add_argument("--only", default="", help="names of cases, with commas")
    parser.add_argument("--rounds", type=int, default=0, help="instead of each case's own")
    parser.add_argument("--workspace", default="/tmp/pogu-bench")
    parser.add_argument("--json", default="", help="also write seconds to this file")
    return parser.parse_args()


def measure(
    case: Case, engines: list[Engine], workspace: Workspace, rounds: int
) -> dict[str, float]:
    """Return the median seconds of each engine; one warming round does not count."""
    fit = [engine for engine in engines if case.builds or not engine.build_only]
    seconds: dict[str, list[float]] = {engine.name: [] for engine in fit}
    for number in range((rounds or case.rounds) + 1):
        for engine in fit:
            took = case.once(engine, workspace)
            if number:
                seconds[engine.name].append(took)
    return {name: statistics.median(values) for name, values in seconds.items()}


def print_header(engines: list[Engine]) -> None:
    names = " | ".join(engine.name for engine in engines)
    print(f"| case | {names} | goal |")
    print("|---" * (len(engines) + 2) + "|")


def print_row(case: Case, engines: list[Engine], medians: dict[str, float]) -> None:
    """Milliseconds, and for a peer how many times Pogu's own CLI fits into its time."""
    base = medians[engines[0].name]
    cells = []
    for engine in engines:
        value = medians.get(engine.name)
        if value is None:
            cells.append("")
        elif engine is engines[0]:
            cells.append(f"{value * 1000:.0f} ms")
        else:
            cells.append(f"{value * 1000:.0f} ms ({value / base:.1f} x)")
    print(f"| {case.what} | {' | '.join(cells)} | {case.goal} |", flush=True)


def runtime_of(engine: Engine) -> str:
    return engine.run("info", "--format", "{{.DefaultRuntime}}", check=False).strip()


main()
