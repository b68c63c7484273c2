"""Service: checks of the kernel and of what we may ask of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pogu.doctor.finding import ERROR, OK, WARNING, Finding
from pogu.doctor.host import Host
from pogu.linux import cgroup
from pogu.linux.systemd import is_first_process

__all__ = [
    "check_cgroups",
    "check_forwarding",
    "check_kernel",
    "check_overlay",
    "check_seccomp",
    "check_user",
]

_OLDEST_KERNEL = (5, 11)
_CAPABILITIES = {12: "CAP_NET_ADMIN", 21: "CAP_SYS_ADMIN"}


def check_user(host: Host) -> Finding:
    """Check that we are root, with the capabilities that namespaces and networks take."""
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


def check_kernel(host: Host) -> Finding:
    """Check that it is new enough."""
    release = host.read("/proc/sys/kernel/osrelease").strip()
    numbers = re.match(r"(\d+)\.(\d+)", release)
    if numbers and (int(numbers[1]), int(numbers[2])) >= _OLDEST_KERNEL:
        return Finding(check="kernel", level=OK, text=release)
    oldest = ".".join(map(str, _OLDEST_KERNEL))
    text = f"{release or 'version unknown'}; Pogu needs {oldest} or newer"
    level = ERROR if numbers else WARNING
    return Finding(check="kernel", level=level, text=text, mend=host.upgrade)


def check_seccomp(host: Host) -> Finding:
    """Check that the kernel filters system calls."""
    if host.status("Seccomp"):
        return Finding(check="seccomp", level=OK, text="the kernel filters system calls")
    return Finding(
        check="seccomp",
        level=ERROR,
        text="not in this kernel; without --security-opt seccomp=unconfined nothing starts",
        mend=host.upgrade,
    )


def check_cgroups(host: Host, driver: str) -> Finding:
    """Check that they are writable, that no limit lacks its controller, and that one alone makes
    them; `driver` is the configuration's.
    """
    setup = cgroup.detect(host.at("/sys/fs/cgroup"), systemd=is_first_process(host.prefix))
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
    if driver == "cgroupfs" and setup.is_systemds:
        text = f"{setup.mode}, which systemd owns: what cgroup_driver = {driver} makes it may undo"
        mend = "# take the key cgroup_driver out of the configuration"
        return Finding(check="cgroups", level=WARNING, text=text, mend=mend)
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


def check_overlay(host: Host) -> Finding:
    """Check that the kernel has overlayfs or can load it."""
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


def check_forwarding(host: Host) -> Finding:
    """Check that packets of containers get out."""
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
