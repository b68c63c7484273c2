"""Edge: the machine as the checks see it: its files, programs, mounts and package manager."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pogu.linux.process import run

__all__ = ["Host", "Mounted"]

_PROGRAM_S = 10
_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INSTALL = {
    "debian": "apt-get install -y",
    "fedora": "dnf install -y",
    "arch": "pacman -S --needed --noconfirm",
    "suse": "zypper install -y",
    "alpine": "apk add",
}
_UPGRADE = {
    "debian": "apt-get update && apt-get full-upgrade -y && reboot",
    "fedora": "dnf upgrade -y --refresh && reboot",
    "arch": "pacman -Syu --noconfirm && reboot",
    "suse": "zypper dup -y && reboot",
    "alpine": "apk upgrade && reboot",
}
_FAMILIES = {name: name for name in _INSTALL} | {
    "ubuntu": "debian",
    "rhel": "fedora",
    "centos": "fedora",
    "opensuse": "suse",
    "sles": "suse",
}


async def _first_line(argv: Sequence[str]) -> str:
    done = await run(argv, timeout_s=_PROGRAM_S)
    return done.stdout.decode(errors="replace").partition("\n")[0].strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The machine as the checks see it; in tests a recorded tree under `prefix`.

    `library` raises OSError when there is no shared library of that name; `first_line` runs a
    program and returns the first line it prints, or raises EngineError.
    """

    prefix: Path = Path("/")
    search: str = field(default_factory=lambda: f"{os.environ.get('PATH', '')}:{_SEARCH}")
    statvfs: Callable[[Path], os.statvfs_result] = os.statvfs
    library: Callable[[str], object] = ctypes.CDLL
    first_line: Callable[[Sequence[str]], Awaitable[str]] = _first_line

    def at(self, path: str | Path) -> Path:
        """Return where `path` of this host really lies."""
        return self.prefix / str(path).lstrip("/")

    def read(self, path: str) -> str:
        """Return a small file's text; empty when there is none."""
        try:
            return self.at(path).read_text(errors="replace")
        except OSError:
            return ""

    def find(self, name: str, *directories: str) -> str | None:
        """Return the program's path: first in `directories`, then on PATH."""
        places = [*directories, *self.search.split(":")]
        if name.startswith("/"):
            name, places = name[1:], ["/"]
        for place in filter(None, places):
            if shutil.which(self.at(f"{place}/{name}")):
                return os.path.join(place, name)
        return None

    def status(self, name: str) -> str:
        """Return one line of /proc/self/status."""
        found = re.search(rf"^{name}:\s*(.*)$", self.read("/proc/self/status"), re.M)
        return found[1] if found else ""

    @property
    def family(self) -> str:
        """Whose package manager this is: debian, fedora, arch, suse, alpine, or nothing."""
        release = self.read("/etc/os-release")
        for key in ("ID", "ID_LIKE"):
            found = re.search(rf"^{key}=(.*)$", release, re.M)
            for word in re.findall(r"[a-z]+", found[1]) if found else []:
                if word in _FAMILIES:
                    return _FAMILIES[word]
        return ""

    def install(self, *packages: str) -> str:
        """Return the command that installs `packages`."""
        names = " ".join(packages)
        command = _INSTALL.get(self.family)
        return f"{command} {names}" if command else f"# install {names} by your package manager"

    @property
    def upgrade(self) -> str:
        """The command that brings a newer kernel."""
        return _UPGRADE.get(self.family, "# install a newer kernel, then reboot")

    def mounts(self) -> list[Mounted]:
        """Return what is mounted, in order."""
        found = []
        for line in self.read("/proc/self/mountinfo").splitlines():
            before, _, after = line.partition(" - ")
            words, rest = before.split(" "), after.split(" ")
            if len(words) < 6 or len(rest) < 3:
                continue
            point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), words[4])
            options = {*words[5].split(","), *rest[2].split(",")}
            found.append(
                Mounted(point=point, kind=rest[0], read_only=bool({"ro", "emergency_ro"} & options))
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """One line of mountinfo."""

    point: str
    kind: str
    read_only: bool

    def holds(self, path: str) -> bool:
        return path == self.point or path.startswith(self.point.rstrip("/") + "/")
