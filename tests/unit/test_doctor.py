"""What the doctor finds on recorded hosts, and what it tells to do about it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pogu.config import Config, Paths
from pogu.doctor import Finding, Host, examine, findings_json, findings_text
from pogu.doctor.__main__ import main
from pogu.errors import CommandFailed, SystemFailure

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n'
SELF = "Uid:\t1000\t0\t0\t0\nCapEff:\t000001ffffffffff\nSeccomp:\t0\nSeccomp_filters:\t0\n"
ROOT_MOUNT = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard"
PROGRAMS = (
    "usr/bin/conmon",
    "usr/bin/crun",
    "usr/sbin/runc",
    "usr/sbin/nft",
    "usr/lib/podman/aardvark-dns",
)
V2 = {"sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory hugetlb pids rdma misc"}
V1 = {
    f"sys/fs/cgroup/{name}/cgroup.clone_children": "0"
    for name in ("blkio", "cpu,cpuacct", "cpuset", "devices", "freezer", "memory", "pids")
}
HYBRID = V1 | {"sys/fs/cgroup/unified/cgroup.controllers": ""}
CONFIG = Config(paths=Paths(root=Path("/var/lib/pogu")))
VERSIONS = {
    "conmon": "conmon version 2.1.6",
    "nft": "nftables v1.0.6 (Lester Gooch #5)",
}


def space(*, free: int = 50 << 30, size: int = 100 << 30, inodes: int = 90) -> os.statvfs_result:
    """Return what statvfs says; `inodes` is the percentage that is free, -1 = not counted."""
    block = 4096
    files = (0, 0, 0) if inodes < 0 else (1000, inodes * 10, inodes * 10)
    blocks = (size // block, free // block, free // block)
    return os.statvfs_result((block, block, *blocks, *files, 0, 255))


async def version_of(argv: Sequence[str]) -> str:
    return VERSIONS[os.path.basename(argv[0])]


def a_host(
    tree: Path,
    files: Mapping[str, str | None] | None = None,
    *,
    cgroups: Mapping[str, str] = V2,
    missing: Sequence[str] = (),
    mounts: Sequence[str] = (),
) -> Host:
    """Record a healthy Debian host under `tree`, then change `files` (None = not there)."""
    recorded: dict[str, str | None] = {
        "etc/os-release": DEBIAN,
        "proc/sys/kernel/osrelease": "6.1.0-13-amd64\n",
        "proc/filesystems": "nodev\tsysfs\n\text4\nnodev\toverlay\n",
        "proc/self/status": SELF,
        "proc/self/mountinfo": "\n".join([ROOT_MOUNT, *mounts]),
        "proc/sys/net/ipv4/ip_forward": "1\n",
        "var/lib/": "",
        **cgroups,
        **(files or {}),
    }
    for name, text in recorded.items():
        path = tree / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        elif text is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for program in PROGRAMS:
        if os.path.basename(program) not in missing:
            path = tree / program
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o755)
    return Host(
        prefix=tree,
        search="/usr/sbin:/usr/bin",
        statvfs=lambda _: space(),
        library=str,
        first_line=version_of,
    )


async def works() -> str:
    return "crun 1.8.1"


async def found(host: Host, check: str, config: Config = CONFIG) -> Finding:
    findings = await examine(config, works, host=host)
    return next(each for each in findings if each.check == check)


async def test_a_healthy_host_has_nothing_to_mend(tmp_path: Path) -> None:
    findings = await examine(CONFIG, works, host=a_host(tmp_path))
    assert {each.level for each in findings} == {"ok"}
    assert {each.mend for each in findings} == {""}
    texts = {each.check: each.text for each in findings}
    assert texts == {
        "user": "root",
        "kernel": "6.1.0-13-amd64",
        "seccomp": "the kernel filters system calls",
        "cgroups": "v2: cpu cpuset hugetlb io memory misc pids rdma",
        "overlay": "the kernel has overlayfs",
        "storage": "/var/lib/pogu is on ext4 (/)",
        "disk": "53.7 GB of 107.4 GB free",
        "inodes": "90 % free",
        "runtime": "crun 1.8.1",
        "conmon": "2.1.6 (/usr/bin/conmon)",
        "nftables": "v1.0.6 (Lester Gooch #5)",
        "dns": "/usr/lib/podman/aardvark-dns",
        "forwarding": "on",
        "policy": "no /etc/pogu/policy.json: every image is accepted",
    }


async def test_an_empty_host_has_findings_and_no_crash(tmp_path: Path) -> None:
    async def no_program(argv: Sequence[str]) -> str:
        raise SystemFailure(f"{argv[0]}: program not found")

    host = replace(a_host(tmp_path / "other"), prefix=tmp_path / "none", first_line=no_program)
    findings = await examine(CONFIG, works, host=host)
    assert all(each.mend for each in findings if each.level != "ok")
    assert {each.check for each in findings if each.level == "error"} == {
        "user",
        "seccomp",
        "cgroups",
        "overlay",
        "runtime",
        "conmon",
    }


@pytest.mark.parametrize(
    ("release", "level"),
    [("5.10.0-26-amd64", "error"), ("5.11.0", "ok"), ("4.18.0-el8", "error"), ("odd", "warning")],
)
async def test_the_kernel_must_be_new_enough(release: str, level: str, tmp_path: Path) -> None:
    host = a_host(tmp_path, {"proc/sys/kernel/osrelease": release})
    assert (await found(host, "kernel")).level == level


@pytest.mark.parametrize(("cgroups", "mode"), [(V2, "v2"), (V1, "v1"), (HYBRID, "hybrid")])
async def test_every_kind_of_cgroups_is_known(
    cgroups: Mapping[str, str], mode: str, tmp_path: Path
) -> None:
    finding = await found(a_host(tmp_path, cgroups=cgroups), "cgroups")
    assert finding.level == "ok"
    assert finding.text.startswith(f"{mode}: ")


@pytest.mark.parametrize(("driver", "level"), [("", "ok"), ("cgroupfs", "warning")])
async def test_directories_in_the_tree_of_systemd_are_warned_of(
    driver: str, level: str, tmp_path: Path
) -> None:
    host = a_host(tmp_path, {"proc/1/comm": "systemd\n", "run/systemd/system/": ""})
    finding = await found(host, "cgroups", replace(CONFIG, cgroup_driver=driver))
    assert (finding.level, "cgroup_driver" in finding.mend) == (level, level != "ok")


async def test_without_cgroups_it_says_how_to_mount_them(tmp_path: Path) -> None:
    finding = await found(a_host(tmp_path, cgroups={}), "cgroups")
    assert (finding.level, finding.mend) == ("error", "mount -t cgroup2 cgroup2 /sys/fs/cgroup")


async def test_read_only_cgroups_are_an_error(tmp_path: Path) -> None:
    line = "40 23 0:38 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw"
    finding = await found(a_host(tmp_path, mounts=[line]), "cgroups")
    assert (finding.level, finding.mend) == ("error", "mount -o remount,rw /sys/fs/cgroup")


@pytest.mark.parametrize(
    ("files", "mend"),
    [
        ({"boot/firmware/cmdline.txt": "x"}, "sed -i '1s/$/ cgroup_enable=memory/' /boot/firmware"),
        ({}, "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&cgroup_enable=memory /' /etc/default/grub"),
        ({"etc/os-release": "ID=fedora"}, "grubby --update-kernel=ALL --args=cgroup_enable=memory"),
    ],
)
async def test_a_disabled_memory_controller_is_enabled_at_boot(
    files: Mapping[str, str], mend: str, tmp_path: Path
) -> None:
    cgroups = {"sys/fs/cgroup/cgroup.controllers": "cpuset cpu io pids"}
    finding = await found(a_host(tmp_path, files, cgroups=cgroups), "cgroups")
    assert (finding.level, finding.text[:18]) == ("warning", "v2, without memory")
    assert finding.mend.startswith(mend)


async def test_a_v1_controller_that_is_not_mounted_is_mounted(tmp_path: Path) -> None:
    cgroups = {name: text for name, text in HYBRID.items() if "pids" not in name}
    table = "#subsys_name\thierarchy\tnum_cgroups\tenabled\npids\t0\t1\t1\n"
    finding = await found(a_host(tmp_path, {"proc/cgroups": table}, cgroups=cgroups), "cgroups")
    assert finding.level == "warning"
    assert finding.mend.endswith("mount -t cgroup -o pids cgroup /sys/fs/cgroup/pids")


async def test_an_overlay_module_is_loaded(tmp_path: Path) -> None:
    files = {
        "proc/filesystems": "\text4\n",
        "lib/modules/6.1.0-13-amd64/kernel/fs/overlayfs/overlay.ko": "",
    }
    finding = await found(a_host(tmp_path, files), "overlay")
    assert (finding.level, finding.mend[:16]) == ("warning", "modprobe overlay")


async def test_no_overlay_is_an_error(tmp_path: Path) -> None:
    finding = await found(a_host(tmp_path, {"proc/filesystems": "\text4\n"}), "overlay")
    assert (finding.level, finding.mend) == ("error", "modprobe overlay")


@pytest.mark.parametrize(
    ("mount", "level", "mend"),
    [
        ("50 27 0:50 / / rw - overlay overlay rw,lowerdir=/a", "error", "mount -o loop"),
        ("50 27 0:50 / /var/lib rw - nfs4 server:/x rw", "error", "mount -o loop"),
        ("50 27 0:50 / /var/lib rw - fuse.sshfs x rw", "error", "mount -o loop"),
        ("50 27 0:50 / /var rw - tmpfs tmpfs rw", "warning", "mount /dev/YOUR-DISK /var/lib/pogu"),
        ("50 27 8:1 / /var ro - xfs /dev/sda1 rw", "error", "mount -o remount,rw /var"),
        ("50 27 8:1 / /var rw - xfs /dev/sda1 rw", "ok", ""),
        ("50 27 8:1 / /var/lib/po rw - nfs x rw", "ok", ""),
        ("50 27 8:1 / /var/li\\040b rw - nfs x rw", "ok", ""),
    ],
)
async def test_the_storage_root_must_carry_an_upper_layer(
    mount: str, level: str, mend: str, tmp_path: Path
) -> None:
    finding = await found(a_host(tmp_path, mounts=[mount]), "storage")
    assert finding.level == level
    assert mend in finding.mend


async def test_a_mount_point_may_have_spaces(tmp_path: Path) -> None:
    host = a_host(tmp_path, mounts=["50 27 8:1 / /my\\040data rw - nfs server:/x rw"])
    config = Config(paths=Paths(root=Path("/my data/pogu")))
    finding = await found(host, "storage", config)
    assert "(/my data)" in finding.text
    assert "'/my data/pogu'" in finding.mend


@pytest.mark.parametrize(
    ("left", "level"),
    [
        (space(), "ok"),
        (space(free=1 << 30, size=10 << 30), "warning"),
        (space(free=4 << 30, size=100 << 30), "warning"),
        (space(free=10 << 20), "error"),
    ],
)
async def test_little_space_is_said(left: os.statvfs_result, level: str, tmp_path: Path) -> None:
    host = replace(a_host(tmp_path), statvfs=lambda _: left)
    finding = await found(host, "disk")
    assert (finding.level, finding.mend) == (level, "" if level == "ok" else "pogu system prune")


@pytest.mark.parametrize(("inodes", "level"), [(50, "ok"), (3, "warning"), (0, "error")])
async def test_few_inodes_are_said(inodes: int, level: str, tmp_path: Path) -> None:
    host = replace(a_host(tmp_path), statvfs=lambda _: space(inodes=inodes))
    assert (await found(host, "inodes")).level == level


async def test_a_file_system_without_inode_numbers_has_no_such_finding(tmp_path: Path) -> None:
    host = replace(a_host(tmp_path), statvfs=lambda _: space(inodes=-1))
    findings = await examine(CONFIG, works, host=host)
    assert "inodes" not in {each.check for each in findings}


async def test_space_is_asked_of_the_nearest_directory_that_exists(tmp_path: Path) -> None:
    asked: list[Path] = []

    def statvfs(path: Path) -> os.statvfs_result:
        asked.append(path)
        return space()

    await examine(CONFIG, works, host=replace(a_host(tmp_path), statvfs=statvfs))
    assert asked == [tmp_path / "var" / "lib"]


@pytest.mark.parametrize(
    ("program", "check", "level"),
    [("conmon", "conmon", "error"), ("aardvark-dns", "dns", "warning")],
)
@pytest.mark.parametrize(
    ("release", "command"),
    [
        (DEBIAN, "apt-get install -y"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "apt-get install -y"),
        ("ID=fedora\n", "dnf install -y"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install -y"),
        ("ID=arch\n", "pacman -S --needed --noconfirm"),
        ('ID="opensuse-leap"\n', "zypper install -y"),
        ("ID=alpine\n", "apk add"),
    ],
)
async def test_a_missing_program_is_installed_in_the_systems_way(
    program: str, check: str, level: str, release: str, command: str, tmp_path: Path
) -> None:
    host = a_host(tmp_path, {"etc/os-release": release}, missing=[program])
    finding = await found(host, check)
    assert (finding.level, finding.mend) == (level, f"{command} {program}")


async def test_an_unknown_system_gets_a_comment(tmp_path: Path) -> None:
    host = a_host(tmp_path, {"etc/os-release": "ID=other"}, missing=["conmon"])
    assert (await found(host, "conmon")).mend == "# install conmon by your package manager"


async def test_a_conmon_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    async def fails(argv: Sequence[str]) -> str:
        raise CommandFailed(argv, 127, "no libglib\nat all")

    finding = await found(replace(a_host(tmp_path), first_line=fails), "conmon")
    assert finding.level == "error"
    assert finding.text.endswith("failed with exit code 127: no libglib at all")


async def test_no_libnftables_is_a_warning(tmp_path: Path) -> None:
    def missing(name: str) -> object:
        raise OSError(f"{name}: cannot open shared object file")

    finding = await found(replace(a_host(tmp_path), library=missing), "nftables")
    assert (finding.level, finding.mend) == ("warning", "apt-get install -y nftables")


async def test_the_program_nft_is_not_needed(tmp_path: Path) -> None:
    assert (await found(a_host(tmp_path, missing=["nft"]), "nftables")).level == "ok"


@pytest.mark.parametrize(
    ("missing", "mend"),
    [
        (["crun", "runc"], "apt-get install -y crun runc"),
        (["runc"], "apt-get install -y runc"),
        ([], "apt-get install -y crun runc"),
    ],
)
async def test_a_runtime_that_does_not_work_is_an_error(
    missing: list[str], mend: str, tmp_path: Path
) -> None:
    async def fails() -> str:
        raise SystemFailure("no OCI runtime works on this host: crun: bad\ncgroups")

    findings = await examine(CONFIG, fails, host=a_host(tmp_path, missing=missing))
    finding = next(each for each in findings if each.check == "runtime")
    assert (finding.level, finding.mend) == ("error", mend)
    wanted = "crun and runc not found" if len(missing) == 2 else "crun: bad cgroups"
    assert wanted in finding.text


async def test_the_configured_runtime_is_named_when_it_is_missing(tmp_path: Path) -> None:
    finding = await found(a_host(tmp_path), "runtime", Config(runtime="/opt/youki"))
    assert (finding.level, finding.text) == ("error", "/opt/youki not found")
    assert finding.mend == "apt-get install -y youki"


async def test_a_probe_that_hangs_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs() -> str:
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr("pogu.doctor.programs._PROBE_S", 0)
    findings = await examine(CONFIG, hangs, host=a_host(tmp_path))
    assert next(each for each in findings if each.check == "runtime").level == "error"


async def test_without_root_the_runtime_is_not_tried(tmp_path: Path) -> None:
    host = a_host(tmp_path, {"proc/self/status": "Uid:\t0\t1000\t0\t0\nSeccomp:\t2\n"})
    findings = {each.check: each for each in await examine(CONFIG, works, host=host)}
    assert findings["user"].text == "uid 1000; the engine needs root"
    assert (findings["user"].level, findings["runtime"].level) == ("error", "warning")


async def test_root_in_a_plain_container_is_told_what_it_lacks(tmp_path: Path) -> None:
    status = "Uid:\t0\t0\t0\t0\nCapEff:\t00000000a80425fb\nSeccomp:\t2\n"
    finding = await found(a_host(tmp_path, {"proc/self/status": status}), "user")
    assert "root without CAP_NET_ADMIN, CAP_SYS_ADMIN" in finding.text


async def test_a_kernel_without_seccomp_is_an_error(tmp_path: Path) -> None:
    status = SELF.partition("Seccomp")[0]
    assert (await found(a_host(tmp_path, {"proc/self/status": status}), "seccomp")).level == "error"


@pytest.mark.parametrize(
    ("value", "mounts", "level"),
    [
        ("1", [], "ok"),
        ("0", [], "ok"),
        ("0", ["60 22 0:21 /sys /proc/sys ro - proc proc rw"], "warning"),
        ("1", ["60 22 0:21 /sys /proc/sys ro - proc proc rw"], "ok"),
    ],
)
async def test_forwarding_must_be_on_or_the_engine_able_to_turn_it_on(
    value: str, mounts: list[str], level: str, tmp_path: Path
) -> None:
    host = a_host(tmp_path, {"proc/sys/net/ipv4/ip_forward": value}, mounts=mounts)
    assert (await found(host, "forwarding")).level == level


@pytest.mark.parametrize(
    ("content", "level", "text"),
    [
        ('{"default": [{"type": "reject"}]}', "ok", "/etc/pogu/policy.json: 1 rules"),
        ("{", "error", "invalid policy in /etc/pogu/policy.json: line 1, column 2"),
        (
            '{"default": [{"type": "sigstoreSigned", "keyPath": "/etc/pogu/cosign.pub"}]}',
            "error",
            "cannot read the key /etc/pogu/cosign.pub: No such file or directory",
        ),
    ],
)
async def test_a_policy_that_cannot_be_used_is_an_error(
    content: str, level: str, text: str, tmp_path: Path
) -> None:
    finding = await found(a_host(tmp_path, {"etc/pogu/policy.json": content}), "policy")
    assert finding.level == level
    assert finding.text.startswith(text)
    assert finding.mend == ("" if level == "ok" else "${EDITOR:-vi} /etc/pogu/policy.json")


def test_findings_as_json() -> None:
    finding = Finding(check="conmon", level="error", text="not found", mend="apk add conmon")
    assert findings_json([finding]) == [
        {"Check": "conmon", "Level": "error", "Text": "not found", "Mend": "apk add conmon"}
    ]


def test_findings_as_text() -> None:
    findings = [
        Finding(check="kernel", level="ok", text="6.1.0"),
        Finding(check="conmon", level="error", text="not found", mend="apk add conmon"),
    ]
    assert findings_text(findings).splitlines() == [
        "ok       kernel      6.1.0",
        "error    conmon      not found",
        "                     -> apk add conmon",
    ]


@pytest.fixture
def unconfigured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide this machine's own configuration."""
    for name in [name for name in os.environ if name.startswith("POGU_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("pogu.config.load.SYSTEM_FILE", tmp_path / "none.toml")


@pytest.mark.usefixtures("unconfigured")
@pytest.mark.parametrize(("level", "code"), [("ok", 0), ("warning", 0), ("error", 1)])
def test_main_ends_with_1_only_for_an_error(
    level: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fake(config: Config, probe: object) -> list[Finding]:
        return [Finding(check="root", level=level, text=str(config.paths.root))]

    monkeypatch.setattr("pogu.doctor.__main__.examine", fake)
    assert main(["--json", "--root", "/data", "--run-root", "/run/data"]) == code
    assert json.loads(capsys.readouterr().out)[0]["Text"] == "/data"


@pytest.mark.usefixtures("unconfigured")
def test_main_tells_a_wrong_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", "/"]) == 1
    assert capsys.readouterr().err.startswith("Error: --root must be the absolute path")
