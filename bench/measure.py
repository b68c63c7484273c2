"""What a case is, what it works on, and how it is timed."""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.engines import Engine
from bench.registry import Registry

__all__ = ["Case", "Workspace", "fresh", "measure", "timed"]

_NUMBERS = itertools.count()


def fresh(prefix: str) -> str:
    """Return a name that no earlier call returned."""
    return f"{prefix}-{os.getpid()}-{next(_NUMBERS)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Where the inputs lie: visible to every engine, a chrooted one included."""

    path: Path
    registry: Registry
    """What is pulled from."""
    push_registry: Registry
    """What is pushed to; empty each time."""

    @classmethod
    def at(cls, path: Path) -> Workspace:
        return cls(
            path=path,
            registry=Registry(path / "registry"),
            push_registry=Registry(path / "push-registry"),
        )

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
    before: Callable[[Engine, Workspace], None] | None = None
    """Done by every engine before a round, not timed."""
    settle_s: float = 0
    """After that, so long nothing happens, and all that was written is on disk."""
    by_any_client: bool = True
    """False where a second client would find on the engine what the first has just brought."""
    warm: bool = True
    """One more round comes first, which does not count."""

    def fits(self, engine: Engine) -> bool:
        if engine.build_only:
            return self.builds
        return self.by_any_client or not engine.second_client


def timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measure(
    case: Case, engines: list[Engine], workspace: Workspace, *, rounds: int, settle: bool
) -> dict[str, float]:
    """Return the median seconds of each engine. In a round every engine has its turn."""
    fit = [engine for engine in engines if case.fits(engine)]
    seconds: dict[str, list[float]] = {engine.name: [] for engine in fit}
    for number in range((rounds or case.rounds) + case.warm):
        if case.before is not None:
            for engine in fit:
                case.before(engine, workspace)
        if case.settle_s and settle:
            os.sync()
            time.sleep(case.settle_s)
        for engine in fit:
            took = case.once(engine, workspace)
            if number or not case.warm:
                seconds[engine.name].append(took)
    return {name: statistics.median(values) for name, values in seconds.items()}
