"""Edge: which runtime made a container, and whether it lives, by what lies in its state directory.

Only the maker knows a container: crun keeps `status`, runc `state.json`. An earlier engine may have
had another runtime, and the program may be gone or broken by now: what runs is not taken for dead.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

from pogu.linux.cgroup import CGROUP_ROOT
from pogu.linux.process_stat import stat_fields

__all__ = ["find_program", "forget_by_hand", "living_process", "maker_of"]

_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT = {
    "crun": ("status", "pid", "process-start-time"),
    "runc": ("state.json", "init_process_pid", "init_process_start"),
}
_ENDED = frozenset("ZX")


def find_program(name: str) -> str | None:
    """Look along PATH and where system programs are."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":" + _SEARCH)


def maker_of(state: Path) -> str:
    """`crun`, `runc`; empty when neither has written there."""
    return next((name for name, (file, *_) in _KEPT.items() if (state / file).exists()), "")


def living_process(state: Path) -> int:
    """The container's first process, by the runtime's own file; 0 when it has ended."""
    name = maker_of(state)
    if not name:
        return 0
    file, pid_key, start_key = _KEPT[name]
    try:
        known = json.loads((state / file).read_bytes())
        pid, started = int(known[pid_key]), int(known[start_key])
        fields = stat_fields(pid)
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return pid if int(fields[19]) == started and fields[0] not in _ENDED else 0


def forget_by_hand(state: Path, groups: Path = CGROUP_ROOT) -> None:
    """What a runtime's `delete` does for a container that has ended. Idempotent."""
    for pattern in (f"pogu/{state.name}", f"*/pogu/{state.name}"):
        for group in groups.glob(pattern):
            for directory in (*group.glob("*/"), group):
                with contextlib.suppress(OSError):
                    directory.rmdir()
    shutil.rmtree(state, ignore_errors=True)
