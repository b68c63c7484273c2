"""`python -m bench`: run the cases in rounds, print medians and ratios to Pogu."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path

from bench import images
from bench.cases import CASES
from bench.engines import Engine, find_engines
from bench.measure import Case, measure
from bench.memory import engine_memory, pull_memory
from bench.workspace import Workspace


def main() -> None:
    options = parse_arguments()
    engines = find_engines(
        pogu=options.pogu, docker=options.docker, buildx=options.buildx, podman=options.podman
    )
    if not engines:
        sys.exit("no engine answers; try: make install")
    workspace = Workspace.at(Path(options.workspace))
    workspace.prepare()
    print(f"engines: {', '.join(engine.name for engine in engines)}")
    print(f"machine: {platform.processor() or platform.machine()}, Linux {platform.release()}")
    print(f"OCI runtime of pogu: {runtime_of(engines[0])}\n")
    for engine in engines:
        if not engine.build_only:
            engine.run("import", str(workspace.busybox_tar), "bench-busybox")
    wanted = set(options.only.split(",")) if options.only else {case.name for case in CASES}
    if any(name.startswith("pull") for name in wanted):
        images.prepare_pulls(engines[0], workspace)
    results: dict[str, dict[str, float]] = {}
    print_header(engines)
    for case in CASES:
        if case.name in wanted:
            results[case.name] = measure(
                case, engines, workspace, rounds=options.rounds, settle=not options.no_settle
            )
            print_row(case, engines, results[case.name])
    print()
    if not options.only:
        print(engine_memory(engines[0]))
    if not options.only or "pull-memory" in wanted:
        print(pull_memory(engines[0], workspace))
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
    parser.add_argument(
        "--no-settle", action="store_true", help="do not wait after removals (see images.py)"
    )
    parser.add_argument("--workspace", default="/tmp/pogu-bench")
    parser.add_argument("--json", default="", help="also write the figures to this file")
    return parser.parse_args()


def print_header(engines: list[Engine]) -> None:
    names = " | ".join(engine.name for engine in engines)
    print(f"| case | {names} | goal |")
    print("|---" * (len(engines) + 2) + "|")


def print_row(case: Case, engines: list[Engine], medians: dict[str, float]) -> None:
    """The figures, and for a peer how many times Pogu's own CLI fits into its."""
    base = medians[engines[0].name]
    cells = []
    for engine in engines:
        value = medians.get(engine.name)
        if value is None:
            cells.append("")
        elif engine is engines[0]:
            cells.append(shown(value, case.unit))
        else:
            cells.append(f"{shown(value, case.unit)} ({value / base:.1f} x)")
    print(f"| {case.what} | {' | '.join(cells)} | {case.goal} |", flush=True)


def shown(value: float, unit: str) -> str:
    if unit == "%":
        return f"{value * 100:.1f} %"
    return f"{value * 1000:.1f} ms" if value < 0.01 else f"{value * 1000:.0f} ms"


def runtime_of(engine: Engine) -> str:
    return engine.run("info", "--format", "{{.DefaultRuntime}}", check=False).strip()


main()
