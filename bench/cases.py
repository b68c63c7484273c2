"""What is measured. A case prepares once, then times one call per round and engine."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.engines import Engine

__all__ = ["CASES", "Case", "Workspace"]

_NUMBERS = itertools.count()


def fresh(prefix: str) -> str:
    """Return a name that no earlier call returned."""
    return f"{prefix}-{os.getpid()}-{next(_NUMBERS)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Where the inputs lie: visible to every engine, a chrooted one included."""

    path: Path

    @property
    def busybox_tar(self) -> Path:
        return self.path / "busybox.tar"

    @property
    def debian_tar(self) -> Path:
        return self.path / "debian.tar"

    def prepare(self) -> None:
        """Make the two root file systems and the build contexts. Idempotent."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._make_busybox()
        if not self.debian_tar.exists():
            command = ["mmdebstrap", "--variant=minbase", "--include=ca-certificates"]
            subprocess.run([*command, "bookworm", str(self.debian_tar)], check=True)
        self._make_contexts()

    def _make_busybox(self) -> None:
        if self.busybox_tar.exists():
            return
        root = self.path / "busybox"
        for name in ("bin", "proc", "sys", "dev", "tmp", "etc", "root"):
            (root / name).mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/busybox", root / "bin/busybox")
        applets = subprocess.run(
            ["/bin/busybox", "--list"], capture_output=True, text=True, check=True
        ).stdout.split()
        for applet in applets:
            if applet != "busybox" and not (root / "bin" / applet).is_symlink():
                (root / "bin" / applet).symlink_to("busybox")
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\n")
        subprocess.run(["tar", "-C", str(root), "-cf", str(self.busybox_tar), "."], check=True)

    def _make_contexts(self) -> None:
        eight = self.path / "eight"
        (eight / "src").mkdir(parents=True, exist_ok=True)
        (eight / "package.json").write_text('{"name": "bench"}\n')
        for number in range(20):
            (eight / "src" / f"{number}.js").write_text(f"console.log({number})\n" * 50)
        (eight / "Dockerfile").write_text(
            "FROM bench-busybox\nENV MODE=production\nWORKDIR /app\nCOPY package.json .\n"
            "RUN echo installing > installed\nCOPY . .\nRUN echo built > built\n"
            'CMD ["true"]\n'
        )
        stages = self.path / "stages"
        stages.mkdir(exist_ok=True)
        (stages / "Dockerfile").write_text(
            "".join(f"FROM bench-busybox AS s{n}\nRUN sleep 1 && echo {n} > /{n}\n" for n in "123")
            + "FROM bench-busybox\nCOPY --from=s1 /1 /\nCOPY --from=s2 /2 /\nCOPY --from=s3 /3 /\n"
        )
        many = self.path / "many"
        for number in range(5000):
            directory = many / f"d{number // 100}"
            if number % 100 == 0:
                directory.mkdir(parents=True, exist_ok=True)
            file = directory / f"{number}.txt"
            if not file.exists():
                file.write_text(f"file {number}\n" * 20)
        (many / "Dockerfile").write_text("FROM bench-busybox\nCOPY . /data\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`once` returns the seconds that count; `goal` is told beside the figures."""

    name: str
    what: str
    goal: str
    once: Callable[[Engine, Workspace], float]
    rounds: int = 10
    builds: bool = False
    """A build case also runs on engines that only build; the others never do."""


def timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


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


def import_tar(engine: Engine, workspace: Workspace) -> float:
    engine.run("rmi", "-f", "bench-debian", check=False)
    return timed(lambda: engine.run("import", str(workspace.debian_tar), "bench-debian"))


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
        name="import",
        what="import of a 180 MB tar, 9.5k files",
        goal="≤ 1/4 docker, ≤ 1/2 podman",
        once=import_tar,
        rounds=3,
    ),
    Case(
        name="fifty",
        what="50 containers, 8 at a time",
        goal="≤ 1/3 docker",
        once=fifty_containers,
        rounds=2,
    ),
]
