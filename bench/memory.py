"""What an engine at rest keeps in memory, and what each running container adds."""

from __future__ import annotations

import json
import os
from pathlib import Path

from bench.engines import Engine
from bench.measure import fresh
from bench.workspace import Workspace

__all__ = ["engine_memory", "pull_memory"]

_GIGABYTE = 1 << 30
_PARTS = 4


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


def pull_memory(engine: Engine, workspace: Workspace) -> str:
    """Return a sentence with the engine's peak while it pulls 1 GiB that nothing compresses."""
    name = f"{workspace.registry.address}/bench/large:1"
    context = workspace.path / "large"
    context.mkdir(exist_ok=True)
    for number in range(_PARTS):
        with (context / f"{number}.bin").open("wb") as file:
            for _ in range(_GIGABYTE // _PARTS >> 20):
                file.write(os.urandom(1 << 20))
    copies = "".join(f"COPY {number}.bin /\n" for number in range(_PARTS))
    (context / "Dockerfile").write_text(f"FROM scratch\n{copies}")
    engine.run_build("-q", "-t", name, str(context))
    engine.run("push", "-q", name)
    engine.run("rmi", "-f", name)
    engine.run("builder", "prune", "-af")
    pid = json.loads(engine.run("engine", "status", "--json"))["Pid"]
    before = resident_kib(pid)
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
    engine.run("pull", "-q", name)
    peak = resident_kib(pid, peak=True)
    engine.run("rmi", "-f", name)
    for part in context.glob("*.bin"):
        part.unlink()
    return (
        f"memory: pull of 1 GiB in {_PARTS} layers, resident at most {peak / 1024:.0f} MiB,"
        f" {before / 1024:.0f} before (goal ≤ 150)"
    )


def resident_kib(pid: int, *, peak: bool = False) -> int:
    """Resident set size, now or its peak."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(wanted))


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
