"""Edge: which control groups this host has: v2, v1, or a hybrid of both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pogu.linux.systemd import is_first_process

__all__ = ["CgroupSetup", "detect"]

CGROUP_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupSetup:
    """`mode` is v2, v1, hybrid or none; `controllers` those that can limit something. v1 kernels
    differ in the rest; that they have `blkio.bfq.weight` does not help, crun writes the old name.
    """

    mode: str
    controllers: frozenset[str]
    swap_limit: bool
    oom_kill_disable: bool
    systemd: bool
    io_weight: bool = True
    io_weight_device: bool = True
    io_throttle: bool = True
    realtime: bool = False

    @property
    def version(self) -> str:
        """What `info` calls CgroupVersion."""
        return "2" if self.mode == "v2" else "1"

    @property
    def is_systemds(self) -> bool:
        """True where systemd owns the whole tree, so that nobody else should write into it."""
        return self.mode == "v2" and self.systemd


def detect(root: Path = CGROUP_ROOT, *, systemd: bool | None = None) -> CgroupSetup:
    """Read the tree at `root` (a recorded one in tests); `systemd` None = find out."""
    systemd = is_first_process() if systemd is None else systemd
    unified = root / "cgroup.controllers"
    if unified.exists():
        controllers = frozenset(unified.read_text().split())
        return CgroupSetup(
            mode="v2",
            controllers=controllers,
            swap_limit=any(root.glob("*/memory.swap.max")) or "memory" in controllers,
            oom_kill_disable=False,
            systemd=systemd,
        )
    names = {path.name for path in root.iterdir() if path.is_dir()} if root.is_dir() else set()
    v1 = {name for name in names if any(root.joinpath(name).glob("cgroup.clone_children"))}
    controllers = frozenset(part for name in v1 for part in name.split(","))
    blkio = root / "blkio"
    hybrid = (root / "unified" / "cgroup.controllers").exists()
    return CgroupSetup(
        mode=("hybrid" if hybrid else "v1") if v1 else "none",
        controllers=controllers,
        swap_limit=(root / "memory" / "memory.memsw.limit_in_bytes").exists(),
        oom_kill_disable=(root / "memory" / "memory.oom_control").exists(),
        systemd=systemd,
        io_weight=(blkio / "blkio.weight").exists(),
        io_weight_device=(blkio / "blkio.weight_device").exists(),
        io_throttle=(blkio / "blkio.throttle.read_bps_device").exists(),
        realtime=(root / "cpu" / "cpu.rt_runtime_us").exists(),
    )
