"""Edge: AppArmor: whether this host has it, what is loaded, and the profile of containers.

The profile `pogu-default` says what Docker's does: everything but mounts, the host's settings under
/proc and /sys, and tracing of what is not the container's. The kernel keeps it until it reboots, or
until somebody unloads it: so it is looked for at each start, and loaded when it is not there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pogu.errors import EngineError, SystemFailure
from pogu.linux.process import run

__all__ = ["DEFAULT_PROFILE", "UNCONFINED", "AppArmor", "detect_apparmor", "profile_text"]

DEFAULT_PROFILE = "pogu-default"
UNCONFINED = "unconfined"

_INSIDE = "container"
"""Set by LXC, systemd-nspawn and the like."""
_PARSERS = (Path("sbin/apparmor_parser"), Path("usr/sbin/apparmor_parser"))

_RULES = """\
  network,
  capability,
  file,
  umount,

  # The host stops a container by signals; the processes of one send each other what they like.
  signal (receive) peer=unconfined,
  signal (receive) peer=runc,
  signal (receive) peer=crun,
  signal (send,receive) peer={name},
  ptrace (trace,read,tracedby,readby) peer={name},

  deny mount,

  # Of /proc only the processes' own directories and sys/kernel/shm* may be written.
  deny @{{PROC}}/* w,
  deny @{{PROC}}/{{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}}/** w,
  deny @{{PROC}}/sys/[^k]** w,
  deny @{{PROC}}/sys/kernel/{{?,??,[^s][^h][^m]**}} w,
  deny @{{PROC}}/sysrq-trigger rwklx,
  deny @{{PROC}}/kcore rwklx,

  # Of /sys only the control groups.
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppArmor:
    """What a host has; `root` is where its file system starts (a recorded one in tests)."""

    enabled: bool
    parser: Path
    root: Path = Path("/")

    def loaded(self) -> frozenset[str]:
        """The names of the profiles that the kernel has."""
        try:
            lines = (self.root / "sys/kernel/security/apparmor/profiles").read_text().splitlines()
        except OSError:
            return frozenset()
        return frozenset(line.rpartition(" (")[0] for line in lines)

    def has(self, name: str) -> bool:
        """True when a process may be given that profile."""
        return name == UNCONFINED or name in self.loaded()

    async def load_default(self) -> None:
        """Make sure that the kernel has our profile. Idempotent.

        Raises: SystemFailure in Docker's words.
        """
        if self.has(DEFAULT_PROFILE):
            return
        includes = self.root / "etc/apparmor.d"
        text = profile_text(
            DEFAULT_PROFILE,
            tunables=(includes / "tunables/global").exists(),
            abstractions=(includes / "abstractions/base").exists(),
        )
        try:
            await run([str(self.parser), "-Kr"], stdin=text.encode(), timeout_s=60)
        except EngineError as err:
            raise SystemFailure(
                f"AppArmor enabled on system but the {DEFAULT_PROFILE} profile could not be loaded:"
                f" {err.message}",
                hint="`--security-opt apparmor=unconfined` runs a container without a profile",
            ) from err


def detect_apparmor(root: Path = Path("/"), *, container: str | None = None) -> AppArmor:
    """Read the tree at `root`. As for Docker, it is there when the kernel has it switched on, its
    parser is installed, and we are not in a container ourselves (`$container`).
    """
    container = os.environ.get(_INSIDE, "") if container is None else container
    parser = next((root / one for one in _PARSERS if (root / one).exists()), None)
    try:
        switched_on = (root / "sys/module/apparmor/parameters/enabled").read_text().startswith("Y")
    except OSError:
        switched_on = False
    seen = (root / "sys/kernel/security/apparmor").is_dir()
    return AppArmor(
        enabled=bool(switched_on and seen and parser and not container),
        parser=parser or _PARSERS[0],
        root=root,
    )


def profile_text(name: str, *, tunables: bool = True, abstractions: bool = True) -> str:
    """Return the profile; the two say whether the host has AppArmor's own files of that kind."""
    head = "#include <tunables/global>" if tunables else "@{PROC}=/proc/"
    base = "  #include <abstractions/base>\n\n" if abstractions else ""
    flags = "attach_disconnected,mediate_deleted"
    rules = _RULES.format(name=name)
    return f"{head}\n\nprofile {name} flags=({flags}) {{\n{base}{rules}}}\n"
