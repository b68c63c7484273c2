"""Thousands of short lives on one engine: afterwards the host has what it had before.

`make soak` (or `python -m tests.soak [cycles]`, as root). Prints a table; exit code 1 when
something grew. What a warm-up makes once (thread pools, caches) is no growth: the first
count follows it.
"""

from __future__ import annotations

import io
import os
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.census import census
from tests.engine_process import EngineProcess, an_engine, eventually

__all__ = ["main"]

_CYCLES = 1000
_WARM_UP = 60
_AT_ONCE = 3
_ALLOWED = {"engine: memory (PSS, KiB)": 8 << 10, "engine: threads": 16}
"""What there may be more: caches that are bounded, a pool of at most 16 threads."""


def main() -> int:
    """Run the cycles and print what was there before and after."""
    cycles = int(sys.argv[1]) if len(sys.argv) > 1 else _CYCLES
    with (
        tempfile.TemporaryDirectory(prefix="pogu-soak-") as name,
        an_engine(Path(name)) as engine,
    ):
        return _soak(engine, Path(name), cycles)


def _soak(engine: EngineProcess, directory: Path, cycles: int) -> int:
    engine.ok("run", "-d", "--name", "resident", "busybox", "sleep", "999999")
    (directory / "Dockerfile").write_text("FROM busybox\nRUN echo built > /built\n")
    (directory / "file").write_text("copied\n")
    _live(engine, directory, range(_WARM_UP))
    before = _count(engine)
    began = time.monotonic()
    _live(engine, directory, range(_WARM_UP, _WARM_UP + cycles))
    seconds = time.monotonic() - began
    after = _count(engine)
    print(
        f"{cycles} cycles in {seconds:.0f} s, {_AT_ONCE} at a time, after {_WARM_UP} to warm up\n"
    )
    return _print(before, after)


def _print(before: dict[str, int], after: dict[str, int]) -> int:
    print("| what | before | after |\n|---|---|---|")
    grown = []
    for what, count in before.items():
        print(f"| {what} | {count} | {after[what]} |")
        allowed = _ALLOWED.get(what, 0)
        if after[what] > count + allowed:
            grown.append(what)
    print(f"\ngrew: {', '.join(grown) or 'nothing'}")
    return 1 if grown else 0


def _count(engine: EngineProcess) -> dict[str, int]:
    """Count at rest: what is taken away in the background is gone by then."""
    eventually(lambda: not census(engine)["unfinished"], what="tmp/ is empty")
    eventually(lambda: len(census(engine)["links"]) == 1, what="old links are gone")
    pid = engine.pid
    eventually(lambda: len(_children(pid)) == 1, what="only the resident's monitor is left")
    counts = {noun: len(names) for noun, names in census(engine).items()}
    eventually(lambda: not _sockets_of_clients(pid), within_s=5, what="clients are gone")
    return counts | {
        "processes of the engine": len(_children(pid)),
        "engine: descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "engine: threads": len(os.listdir(f"/proc/{pid}/task")),
        "engine: memory (PSS, KiB)": _pss_kib(pid),
    }


def _sockets_of_clients(pid: int) -> list[str]:
    """Connections on the engine's socket that its peer has left but it has not closed yet."""
    return [
        line
        for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()
        if line.endswith("pogu.sock") and line.split()[5] == "03"
    ]


def _children(pid: int) -> list[str]:
    found: list[str] = []
    for task in os.listdir(f"/proc/{pid}/task"):
        found += Path(f"/proc/{pid}/task/{task}/children").read_text().split()
    return found


def _pss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def _live(engine: EngineProcess, directory: Path, numbers: range) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(lambda number: _one_life(engine, directory, number), numbers):
            pass


def _one_life(engine: EngineProcess, directory: Path, number: int) -> None:
    """Even numbers are short; the others have everything done to them."""
    name = f"soak-{number}"
    if number % 20 == 0:
        engine.ok("build", "-q", "-t", "soak", str(directory))
    if number % 2 == 0:
        assert engine.ok("run", "--rm", "--name", name, "busybox", "echo", name) == name
        return
    say = f"echo {name}; exec sleep 999"
    options = ("-p", "127.0.0.1:0:80", "-v", "/data", "--restart", "unless-stopped")
    engine.ok("run", "-d", "--name", name, *options, "busybox", "sh", "-c", say)
    assert engine.ok("exec", name, "echo", "inside") == "inside"
    engine.ok("cp", str(directory / "file"), f"{name}:/file")
    copied = engine.popen("cp", f"{name}:/file", "-").communicate(timeout=60)[0]
    with tarfile.open(fileobj=io.BytesIO(copied)) as tar:
        assert tar.getnames() == ["file"]
    eventually(lambda: engine.ok("logs", name) == name)
    attached = engine.popen("attach", "--no-stdin", name)
    engine.ok("pause", name)
    engine.ok("unpause", name)
    engine.ok("stop", "-t", "0", name)
    attached.communicate(timeout=60)
    engine.ok("start", name)
    engine.ok("rm", "-f", "-v", name)


if __name__ == "__main__":
    sys.exit(main())
