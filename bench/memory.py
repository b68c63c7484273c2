"""What an engine at rest keeps in memory, and what each running container adds."""

from __future__ import annotations

import json
from pathlib import Path

from bench.cases import fresh
from bench.engines import Engine

__all__ = ["engine_memory"]


def engine_memory(engine: Engine, containers: int = 20) -> str:
    """Return a sentence with the resident memory of Pogu's engine and its growth."""
    pid = json.loads(engine.run("engine", "status", "--json"))["Pid"]
    rest = pss_kib(pid)
    names = [fresh("bench") for _ in range(containers)]
    before = rest + monitors_kib()
    for name in names:
        engine.run("run", "-d", "--name", name, "bench-busybox", "sleep", "1000")
    after = pss_kib(pid) + monitors_kib()
    engine.run("rm", "-f", *names)
    each = (after - before) / containers
    return (
        f"memory: engine at rest {rest / 1024:.0f} MiB (goal ≤ 80), "
        f"each running container {each / 1024:.1f} MiB more with its conmon (goal ≤ 3)"
    )


def pss_kib(pid: int | str) -> int:
    """Proportional set size: shared pages are divided among their users. 0 when it has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Pss:"), 0)


def monitors_kib() -> int:
    """Sum over every conmon."""
    total = 0
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            argv = (directory / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if argv[0].endswith(b"conmon"):
            total += pss_kib(directory.name)
    return total
