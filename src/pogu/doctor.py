"""Service: what this host offers and lacks; each finding with the command that mends it.

Reads only, except that the runtime is tried with a real container. `python -m pogu.doctor` does it
without an engine and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import shlex
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pogu.config import Config, Paths, load_config
from pogu.errors import EngineError
from pogu.linux import cgroup
from pogu.linux.process import run

__all__ = ["Finding", "Host", "examine", "findings_json", "findings_text", "main"]

OK, WARNING, ERROR = "ok", "warning", "error"

_OLDEST_KERNEL = (5, 11)
_FEW_BYTES = 2 << 30
_FEW_PERCENT = 5
_NO_BYTES = 100 << 20
_PROBE_S = 60
_PROGRAM_S = 10
_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CAPABILITIES = {12: "CAP_NET_ADMIN", 21: "CAP_SYS_ADMIN"}
_NOT_UPPER = frozenset(
    {"overlay", "aufs", "ecryptfs", "nfs", "nfs4", "cifs", "smb3", "9p", "fuse", "fuseblk"}
    | {"vfat", "exfat", "ntfs", "ntfs3"}
)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`level` is ok, warning or error; `mend` is a command to paste, empty when ok."""

    check: str
    level: str
    text: str
    mend: str = ""


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
            found.append(Mounted(point=point, kind=rest[0], read_only="ro" in options))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """One line of mountinfo."""

    point: str
    kind: str
    read_only: bool

    def holds(self, path: str) -> bool:
        return path == self.point or path.startswith(self.point.rstrip("/") + "/")


async def examine(
    config: Config, probe_runtime: Callable[[], Awaitable[str]], *, host: Host | None = None
) -> list[Finding]:
    """Check kernel, overlay, cgroups, runtime (by a probe container), conmon, nftables, DNS
    helper, disk. `probe_runtime` returns the chosen runtime's name and version or raises.
    """
    host = host or Host()
    return [
        user := _user(host),
        _kernel(host),
        _seccomp(host),
        _cgroups(host),
        _overlay(host),
        _storage(host, config.paths.root),
        *_disk(host, config.paths.root),
        await _runtime(host, config, probe_runtime, may_try=user.level == OK),
        await _conmon(host),
        await _nftables(host),
        _dns_helper(host),
        _forwarding(host),
    ]


def findings_json(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """Return the findings as the API and `--json` send them."""
    return [
        {"Check": each.check, "Level": each.level, "Text": each.text, "Mend": each.mend}
        for each in findings
    ]


def findings_text(findings: Sequence[Finding]) -> str:
    """Return the findings as a table for people, each command on a line of its own."""
    lines = []
    for each in findings:
        lines.append(f"{each.level:<9}{each.check:<12}{each.text}")
        if each.mend:
            lines.append(f"{'':21}-> {each.mend}")
    return "\n".join(lines)


def _user(host: Host) -> Finding:
    _real, effective, *_ = *host.status("Uid").split(), "", ""
    if effective != "0":
        text = f"uid {effective or 'unknown'}; the engine needs root"
        return Finding(check="user", level=ERROR, text=text, mend="sudo pogu doctor")
    held = int(host.status("CapEff") or "0", 16)
    lacking = [name for bit, name in _CAPABILITIES.items() if not held >> bit & 1]
    if lacking:
        return Finding(
            check="user",
            level=ERROR,
            text=f"root without {', '.join(lacking)}: this is a container with few privileges",
            mend="# start this container with --privileged",
        )
    return Finding(check="user", level=OK, text="root")


def _kernel(host: Host) -> Finding:
    release = host.read("/proc/sys/kernel/osrelease").strip()
    numbers = re.match(r"(\d+)\.(\d+)", release)
    if numbers and (int(numbers[1]), int(numbers[2])) >= _OLDEST_KERNEL:
        return Finding(check="kernel", level=OK, text=release)
    oldest = ".".join(map(str, _OLDEST_KERNEL))
    text = f"{release or 'version unknown'}; Pogu needs {oldest} or newer"
    level = ERROR if numbers else WARNING
    return Finding(check="kernel", level=level, text=text, mend=host.upgrade)


def _seccomp(host: Host) -> Finding:
    if host.status("Seccomp"):
        return Finding(check="seccomp", level=OK, text="the kernel filters system calls")
    return Finding(
        check="seccomp",
        level=ERROR,
        text="not in this kernel; without --security-opt seccomp=unconfined nothing starts",
        mend=host.upgrade,
    )


def _cgroups(host: Host) -> Finding:
    setup = cgroup.detect(host.at("/sys/fs/cgroup"), run=host.at("/run"))
    if setup.mode == "none":
        mend = "mount -t cgroup2 cgroup2 /sys/fs/cgroup"
        return Finding(check="cgroups", level=ERROR, text="none is mounted", mend=mend)
    for mounted in host.mounts():
        if mounted.kind in ("cgroup", "cgroup2") and mounted.read_only:
            mend = f"mount -o remount,rw {mounted.point}"
            text = f"{mounted.point} is read-only"
            return Finding(check="cgroups", level=ERROR, text=text, mend=mend)
    wanted = {"cpu", "cpuset", "memory", "pids", "io" if setup.mode == "v2" else "blkio"}
    lacking = sorted(wanted - setup.controllers)
    if lacking:
        return Finding(
            check="cgroups",
            level=WARNING,
            text=f"{setup.mode}, without {', '.join(lacking)}: such limits have no effect",
            mend=_enable(host, setup.mode, lacking),
        )
    text = f"{setup.mode}: {' '.join(sorted(setup.controllers))}"
    return Finding(check="cgroups", level=OK, text=text)


def _enable(host: Host, mode: str, controllers: Sequence[str]) -> str:
    """Return how to get controllers: mount them, or boot with them, or another kernel."""
    known = re.findall(r"^(\w+)\t\d+\t\d+\t1$", host.read("/proc/cgroups"), re.M)
    if mode != "v2" and set(controllers) <= set(known):
        return " && ".join(
            f"mkdir -p /sys/fs/cgroup/{name} && mount -t cgroup -o {name} cgroup"
            f" /sys/fs/cgroup/{name}"
            for name in controllers
        )
    if "memory" not in controllers:
        return host.upgrade
    word = "cgroup_enable=memory"
    if host.at("/boot/firmware/cmdline.txt").exists():  # Raspberry Pi
        return f"sed -i '1s/$/ {word}/' /boot/firmware/cmdline.txt && reboot"
    if host.family == "fedora":
        return f"grubby --update-kernel=ALL --args={word} && reboot"
    grub = "/etc/default/grub"
    configure = "update-grub" if host.family == "debian" else "grub-mkconfig -o /boot/grub/grub.cfg"
    return f"sed -i 's/^GRUB_CMDLINE_LINUX=\"/&{word} /' {grub} && {configure} && reboot"


def _overlay(host: Host) -> Finding:
    if "overlay" in host.read("/proc/filesystems").split():
        return Finding(check="overlay", level=OK, text="the kernel has overlayfs")
    release = host.read("/proc/sys/kernel/osrelease").strip()
    modules = host.at(f"/lib/modules/{release}/kernel/fs/overlayfs")
    if modules.is_dir():
        return Finding(
            check="overlay",
            level=WARNING,
            text="a module that is not loaded",
            mend="modprobe overlay && echo overlay > /etc/modules-load.d/pogu.conf",
        )
    text = "the kernel does not offer overlayfs"
    return Finding(check="overlay", level=ERROR, text=text, mend="modprobe overlay")


def _storage(host: Host, root: Path) -> Finding:
    """Whether the storage root's file system can be an overlay's upper layer."""
    base = os.path.realpath(host.prefix).rstrip("/")
    path = os.path.realpath(host.at(root)).removeprefix(base) or "/"
    on = [mounted for mounted in host.mounts() if mounted.holds(path)]
    if not on:
        return Finding(check="storage", level=OK, text=f"{root}: file system unknown")
    mounted = max(reversed(on), key=lambda each: len(each.point))
    where = f"{root} is on {mounted.kind} ({mounted.point})"
    quoted = shlex.quote(str(root))
    if mounted.kind.partition(".")[0] in _NOT_UPPER:
        image = shlex.quote(f"{root}.img")
        mend = (
            f"mkdir -p {quoted} && truncate -s 20G {image} && mkfs.ext4 -q {image}"
            f" && mount -o loop {image} {quoted}"
        )
        text = f"{where}, which overlayfs cannot write to"
        return Finding(check="storage", level=ERROR, text=text, mend=mend)
    if mounted.read_only:
        mend = f"mount -o remount,rw {shlex.quote(mounted.point)}"
        return Finding(check="storage", level=ERROR, text=f"{where}, read-only", mend=mend)
    if mounted.kind in ("tmpfs", "ramfs"):
        mend = f"mount /dev/YOUR-DISK {quoted}"
        text = f"{where}: images and volumes are lost at the next boot"
        return Finding(check="storage", level=WARNING, text=text, mend=mend)
    return Finding(check="storage", level=OK, text=where)


def _disk(host: Host, root: Path) -> list[Finding]:
    """Free bytes and inodes where the root is or will be."""
    there = host.at(root)
    while not os.path.exists(there) and there != there.parent:
        there = there.parent
    try:
        space = host.statvfs(there)
    except OSError as err:
        text = f"{root}: {err.strerror}"
        mend = f"ls -ld {shlex.quote(str(root))}"
        return [Finding(check="disk", level=ERROR, text=text, mend=mend)]
    free, size = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize
    text = f"{free / 1e9:.1f} GB of {size / 1e9:.1f} GB free"
    few = free < _FEW_BYTES or free * 100 < size * _FEW_PERCENT
    level = ERROR if free < _NO_BYTES else WARNING if few else OK
    found = [_space("disk", level, text)]
    if space.f_files:
        percent = 100 * space.f_favail // space.f_files
        level = ERROR if not space.f_favail else WARNING if percent < _FEW_PERCENT else OK
        found.append(_space("inodes", level, f"{percent} % free"))
    return found


def _space(check: str, level: str, text: str) -> Finding:
    mend = "" if level == OK else "pogu system prune"
    return Finding(check=check, level=level, text=text, mend=mend)


async def _runtime(
    host: Host, config: Config, probe: Callable[[], Awaitable[str]], *, may_try: bool
) -> Finding:
    names = [config.runtime] if config.runtime else ["crun", "runc"]
    present = [name for name in names if host.find(name)]
    lacking = [os.path.basename(name) for name in names if name not in present]
    mend = host.install(*(lacking or [os.path.basename(name) for name in names]))
    if not present:
        text = f"{' and '.join(names)} not found"
        return Finding(check="runtime", level=ERROR, text=text, mend=mend)
    if not may_try:
        text = f"{' '.join(present)}; not tried, which needs root"
        return Finding(check="runtime", level=WARNING, text=text, mend="sudo pogu doctor")
    try:
        async with asyncio.timeout(_PROBE_S):
            return Finding(check="runtime", level=OK, text=await probe())
    except TimeoutError:
        text = f"a probe container did not end within {_PROBE_S} s"
    except EngineError as err:
        text = err.message
    except OSError as err:
        text = str(err)
    return Finding(check="runtime", level=ERROR, text=" ".join(text.split()), mend=mend)


async def _conmon(host: Host) -> Finding:
    mend = host.install("conmon")
    found = host.find("conmon", "/usr/libexec/podman", "/usr/local/bin", "/usr/bin")
    if found is None:
        return Finding(check="conmon", level=ERROR, text="not found", mend=mend)
    try:
        said = await host.first_line([found, "--version"])
    except EngineError as err:
        text = " ".join(err.message.split())
        return Finding(check="conmon", level=ERROR, text=text, mend=mend)
    return Finding(check="conmon", level=OK, text=f"{said.rpartition(' ')[2]} ({found})")


async def _nftables(host: Host) -> Finding:
    """The engine uses the library; the program tells the version, and is there to look with."""
    mend = host.install("nftables")
    try:
        host.library("libnftables.so.1")
    except OSError:
        text = "no libnftables.so.1: containers reach nothing outside; ports go by the engine"
        return Finding(check="nftables", level=WARNING, text=text, mend=mend)
    program = host.find("nft")
    if program is None:
        return Finding(check="nftables", level=OK, text="libnftables (without the program nft)")
    try:
        said = await host.first_line([program, "--version"])
    except EngineError as err:
        text = " ".join(err.message.split())
        return Finding(check="nftables", level=WARNING, text=text, mend=mend)
    return Finding(check="nftables", level=OK, text=said.removeprefix("nftables ").strip())


def _dns_helper(host: Host) -> Finding:
    found = host.find("aardvark-dns", "/usr/lib/podman", "/usr/libexec/podman")
    if found:
        return Finding(check="dns", level=OK, text=found)
    return Finding(
        check="dns",
        level=WARNING,
        text="no aardvark-dns: containers do not find each other by name",
        mend=host.install("aardvark-dns"),
    )


def _forwarding(host: Host) -> Finding:
    value = host.read("/proc/sys/net/ipv4/ip_forward").strip()
    filtered = host.read("/proc/sys/net/bridge/bridge-nf-call-iptables").strip() == "1"
    also = "; iptables sees what crosses bridges" if filtered else ""
    if value == "1":
        return Finding(check="forwarding", level=OK, text=f"on{also}")
    if value == "0" and not any(
        mounted.read_only and mounted.holds("/proc/sys/net") for mounted in host.mounts()
    ):
        text = f"off; the engine turns it on with the first network{also}"
        return Finding(check="forwarding", level=OK, text=text)
    return Finding(
        check="forwarding",
        level=WARNING,
        text="off, and /proc/sys is read-only: containers reach nothing outside",
        mend="sysctl -w net.ipv4.ip_forward=1",
    )


async def _try_runtime(config: Config) -> str:
    """Probe in a directory that is removed again."""
    from tempfile import TemporaryDirectory

    from pogu.runtime.probe import choose_runtime

    with TemporaryDirectory(prefix="pogu-doctor-") as scratch:
        paths = Paths(root=Path(scratch, "root"), run_root=Path(scratch, "run"))
        paths.create()
        runtime = await choose_runtime(replace(config, paths=paths))
        return f"{runtime.name} {await runtime.version()}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print what is found; return 1 when something is an error."""
    import argparse
    import json

    parser = argparse.ArgumentParser(prog="pogu.doctor", description="Check this host for Pogu.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--root", type=Path, help="directory of images and containers")
    parser.add_argument("--run-root", type=Path, help="directory of the socket")
    words = parser.parse_args(argv)
    try:
        config = load_config(root=words.root, run_root=words.run_root)
    except EngineError as err:
        print(f"Error: {err.message}" + (f"\n{err.hint}" if err.hint else ""), file=sys.stderr)
        return 1
    findings = asyncio.run(examine(config, lambda: _try_runtime(config)))
    print(json.dumps(findings_json(findings), indent=2) if words.json else findings_text(findings))
    return int(any(each.level == ERROR for each in findings))


if __name__ == "__main__":
    sys.exit(main())
