"""What a container cannot do, asked from inside, with crun and with runc."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, an_engine, runtime_refusal

pytestmark = pytest.mark.root

PROBE = Path(__file__).with_name("syscall_probe.py")
PYTHON = ("-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro")
EPERM, ENOSYS = 1, 38


@pytest.fixture(scope="module", params=["crun", "runc"])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EngineProcess]:
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POGU_RUNTIME", request.param)
        refusal = runtime_refusal(tmp_path_factory.mktemp("probe"))
        if "no OCI runtime works on this host" in refusal:
            pytest.skip(f"{request.param} refuses this host: {refusal}")
        with an_engine(tmp_path_factory.mktemp("pogu")) as running:
            yield running


def sh(engine: EngineProcess, script: str, *options: str) -> str:
    return engine.ok("run", "--rm", *options, "busybox", "sh", "-c", script)


needs_python = pytest.mark.skipif(
    platform.machine() != "x86_64" or not os.access("/usr/bin/python3", os.X_OK),
    reason="the probe has x86_64's numbers and runs with the host's Python",
)


def asked(engine: EngineProcess, *options: str, calls: tuple[str, ...] = ()) -> dict[str, int]:
    """The errno of each system call of the probe; 0 where it worked."""
    mounts = (*PYTHON, "-v", f"{PROBE}:/probe.py:ro")
    command = ("busybox", "/usr/bin/python3", "-I", "/probe.py", *calls)
    pairs = (
        line.split("=") for line in engine.ok("run", "--rm", *mounts, *options, *command).split()
    )
    return {name: int(errno) for name, errno in pairs}


@needs_python
def test_system_calls_that_change_the_host_are_refused(engine: EngineProcess) -> None:
    said = asked(engine)
    assert (said.pop("getpid"), said.pop("clone3")) == (0, ENOSYS)
    assert len(said) > 25
    assert {name: errno for name, errno in said.items() if errno != EPERM} == {}


@needs_python
def test_without_seccomp_the_capabilities_still_hold(engine: EngineProcess) -> None:
    calls = ("sethostname", "unshare_mount", "unshare_net", "swapon")
    said = asked(engine, "--security-opt", "seccomp=unconfined", calls=calls)
    assert set(said.values()) == {EPERM}


@needs_python
def test_a_profile_of_the_user_decides_alone(engine: EngineProcess, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text(
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":'
        ' [{"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}'
    )
    option = ("--security-opt", f"seccomp={profile}")
    assert asked(engine, *option, calls=("getpid",)) == {"getpid": ENOSYS}


@needs_python
def test_a_capability_opens_its_system_calls(engine: EngineProcess) -> None:
    said = asked(engine, "--cap-add", "SYS_ADMIN", calls=("mount", "unshare_user", "reboot"))
    assert said["mount"] != EPERM
    assert said["unshare_user"] == 0
    assert said["reboot"] == EPERM


def test_paths_of_the_kernel_are_masked_and_read_only(engine: EngineProcess) -> None:
    script = """
        for f in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do
            [ -e $f ] && [ -n "$(head -c 1 $f 2>/dev/null | tr -d '\\0')" ] && echo read $f
        done
        for d in /proc/acpi /sys/firmware; do [ -n "$(ls $d 2>/dev/null)" ] && echo list $d; done
        for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sysrq-trigger \\
                 /proc/sys/vm/drop_caches /proc/irq/default_smp_affinity \\
                 /sys/kernel/mm/transparent_hugepage/enabled; do
            (echo 1 >$f) 2>/dev/null && echo wrote $f
        done; true"""
    assert sh(engine, script) == ""
    opened = sh(engine, "head -c 3 /proc/timer_list", "--security-opt", "systempaths=unconfined")
    assert opened == "Tim"


def test_raw_devices_cannot_be_opened_even_when_they_can_be_made(engine: EngineProcess) -> None:
    script = """
        mknod /disk b 7 0 && mknod /mem c 1 1 && mknod /kmsg c 1 11 && echo made
        for f in /disk /mem /kmsg; do (exec 3<$f) 2>/dev/null && echo opened $f; done; true"""
    assert sh(engine, script) == "made"


def test_a_container_sees_and_signals_its_own_processes_only(engine: EngineProcess) -> None:
    script = """
        ls -d /proc/[0-9]* | wc -l
        cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '[p]ogu.daemon'
        kill -0 4000000 2>&1 | grep -c 'No such process'; true"""
    count, seen, refused = sh(engine, script).split()
    assert int(count) <= 6
    assert (seen, refused) == ("0", "1")


def test_the_first_process_leads_nowhere_else(engine: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    places = (f"/proc/1/root{tmp_path}", f"/proc/1/cwd/../../../../..{tmp_path}")
    script = "; ".join(f"cat {place}/secret 2>/dev/null" for place in places)
    assert sh(engine, f"{script}; true") == ""


def test_a_release_agent_cannot_be_set(engine: EngineProcess) -> None:
    script = """
        mkdir -p /cg; mount -t cgroup -o memory cgroup /cg 2>/dev/null && echo mounted
        mount -t cgroup2 none /cg 2>/dev/null && echo mounted
        for f in $(find /sys/fs/cgroup -name release_agent -o -name notify_on_release \\
                   -o -name cgroup.procs -o -name devices.allow 2>/dev/null); do
            (echo 1 >$f) 2>/dev/null && echo wrote $f
        done; true"""
    assert sh(engine, script) == ""


def test_the_runtime_cannot_be_overwritten_from_inside(engine: EngineProcess) -> None:
    """CVE-2019-5736: through /proc/self/exe of the runtime that enters the container."""
    binary = Path(shutil.which(os.environ["POGU_RUNTIME"]) or "")
    before = hashlib.sha256(binary.read_bytes()).digest()
    attack = "for p in /proc/[0-9]*; do (echo x >$p/exe) 2>/dev/null && echo won >>/w; done"
    prepare = f"ln -s /proc/self/exe /evil; touch /w; while :; do {attack}; done"
    engine.ok("run", "-d", "--name", "attacker", "busybox", "sh", "-c", prepare)
    for _ in range(5):
        engine.call("exec", "attacker", "/evil")
        engine.call("exec", "attacker", "true")
    assert engine.ok("exec", "attacker", "cat", "/w") == ""
    engine.ok("rm", "-f", "attacker")
    engine.call("run", "--rm", "--entrypoint", "/proc/self/exe", "busybox", "--version")
    assert hashlib.sha256(binary.read_bytes()).digest() == before


def test_a_volume_at_a_link_stays_in_the_container(engine: EngineProcess, tmp_path: Path) -> None:
    context, outside = tmp_path / "context", tmp_path / "outside"
    for directory in (context, outside):
        directory.mkdir()
    (outside / "secret").write_text("secret\n")
    links = f"mkdir -p {outside} && ln -s {outside} /link && ln -s ../../../..{outside} /up"
    (context / "Dockerfile").write_text(f"FROM busybox\nRUN {links}\n")
    engine.ok("build", "-q", "-t", "linked", str(context))
    for place in ("/link", "/up", "/link/deeper"):
        mount = ("-v", f"atlink:{place}")
        engine.ok("run", "--rm", *mount, "linked", "sh", "-c", f"echo x > {place}/written")
    assert os.listdir(outside) == ["secret"]
    data = engine.root / "volumes" / "atlink" / "_data"
    assert sorted(os.listdir(data)) == ["written"]
    engine.ok("volume", "rm", "atlink")


def test_dots_in_a_destination_end_at_the_root(engine: EngineProcess) -> None:
    assert sh(engine, "ls /x", "-v", "/usr/share:/../../x/y/..:ro") != ""
    assert "destination can't be '/'" in engine.refused("run", "-v", "vol:/a/..", "busybox")


def test_a_user_of_the_image_and_more_groups(engine: EngineProcess) -> None:
    prepare = "echo app:x:77:88::/srv:/bin/sh >>/etc/passwd; echo disk:x:6: >>/etc/group"
    engine.ok("run", "--name", "users", "busybox", "sh", "-c", f"mkdir -p /etc; {prepare}")
    engine.ok("commit", "users", "users")
    engine.ok("rm", "users")
    options = ("--user", "app", "--group-add", "disk", "--group-add", "1234")
    said = engine.ok(
        "run", "--rm", *options, "users", "sh", "-c", "id -u; id -g; id -G; echo $HOME"
    )
    uid, gid, groups, home = said.split("\n")
    assert (uid, gid, home) == ("77", "88", "/srv")
    assert {"6", "88", "1234"} <= set(groups.split())
    refused = engine.refused("run", "--rm", "--group-add", "nope", "users", "true")
    assert "unable to find group nope" in refused


@pytest.mark.parametrize(
    ("options", "bounding"),
    [
        (("--cap-drop", "ALL"), 0),
        (("--cap-drop", "ALL", "--cap-add", "CAP_NET_BIND_SERVICE"), 1 << 10),
        (("--cap-drop", "all", "--cap-add", "net_bind_service"), 1 << 10),
        (("--cap-add", "ALL", "--cap-drop", "CAP_SYS_ADMIN"), None),
    ],
)
def test_capabilities_by_any_of_their_names(
    engine: EngineProcess, options: tuple[str, ...], bounding: int | None
) -> None:
    said = int(sh(engine, "grep CapBnd /proc/self/status | cut -f2", *options), 16)
    if bounding is None:
        assert said >> 12 & 1, "NET_ADMIN of ALL"
        assert not said >> 21 & 1, "SYS_ADMIN was dropped"
    else:
        assert said == bounding


def test_a_read_only_root_leaves_its_tmpfs(engine: EngineProcess) -> None:
    script = (
        "(: >/f) 2>/dev/null && echo root; (: >/tmp/f) && echo tmp; (: >/dev/shm/f) && echo shm"
    )
    said = sh(engine, script, "--read-only", "--tmpfs", "/tmp")
    assert said.split() == ["tmp", "shm"]


def test_namespaces_of_another_container_and_of_the_host(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "other", "--ipc", "shareable", "busybox", "sleep", "1000")
    joined = sh(
        engine,
        "grep -c sleep /proc/1/cmdline; readlink /proc/self/ns/ipc; readlink /proc/1/ns/ipc",
        *("--pid", "container:other", "--ipc", "container:other"),
    )
    sleeps, mine, others = joined.split()
    assert sleeps == "1"
    assert mine == others
    engine.ok("rm", "-f", "other")
    for kind, option in (
        ("pid", "--pid"),
        ("uts", "--uts"),
        ("ipc", "--ipc"),
        ("cgroup", "--cgroupns"),
    ):
        inside = sh(engine, f"readlink /proc/self/ns/{kind}", option, "host")
        assert inside == os.readlink(f"/proc/self/ns/{kind}"), kind


def test_a_privileged_container_has_what_the_host_has(engine: EngineProcess) -> None:
    script = "mkdir /m; mount -t tmpfs none /m && echo mounted; (: </dev/kmsg) && echo device;"
    script += (
        " (echo 1 >/proc/sys/net/ipv4/ip_forward) && echo writes; grep Seccomp: /proc/self/status"
    )
    said = sh(engine, script, "--privileged")
    assert said.split() == ["mounted", "device", "writes", "Seccomp:", "0"]
