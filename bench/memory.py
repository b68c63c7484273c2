"""What an engine at rest keeps in memory, and what each running container adds."""

from __future__ import annotations

from pathlib import Path

from bench.cases import fresh
from bench.engines import Engine

__all__ = ["engine_memory"]


def engine_memory(engine: Engine, containers: int = 20) -> str:
    """Return a sentence with the resident memory of Pogu's engine and its growth."""
    rest = resident_kib("pogu.daemon")
    names = [fresh("bench") for _ in range(containers)]
    before = resident_kib("pogu.daemon") + resident_kib("conmon")
    for name in names:
        engine.run("run", "-d", "--name", name, "bench-busybox", "sleep", "1000")
    after = resident_kib("pogu.daemon") + resident_kib("conmon")
    engine.run("rm", "-f", *names)
    each = (after - before) / containers
    return (
        f"memory: engine at rest {rest / 1024:.0f} MiB (goal ≤ 80), "
        f"each running container {each / 1024:.1f} MiB more with its conmon (goal ≤ 3)"
    )


def resident_kib(word: str) -> int:
    """Sum Pss (shared pages divided among their users) over processes whose argv has `word`."""
    total = 0
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            argv = (directory / "cmdline").read_bytes().split(b"\0")
            if not any(
                part == word.encode() or part.endswith(b"/" + word.encode()) for part in argv[:4]
            ):
                continue
            rollup = (directory / "smaps_rollup").read_text()
        except OSError:
            continue
        total += next(
            int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")
        )
    return total
