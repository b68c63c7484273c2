"""What the cases work on: root file systems, build contexts, registries."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.registry import Registry

__all__ = ["Workspace"]


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
