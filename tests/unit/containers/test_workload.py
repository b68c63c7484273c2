"""A container's record becomes what the runtime runs."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from tests.builders import CONTAINER_ID, a_cgroup_setup, a_config, a_record

from pogu.containers import workload as workload_module
from pogu.containers.limits import resources_of
from pogu.containers.model import MountPoint
from pogu.containers.workload import apparmor_profile, container_workload
from pogu.errors import InvalidParameter
from pogu.linux.cgroup import CgroupSetup
from pogu.model.container import (
    ContainerConfig,
    DeviceMapping,
    HostConfig,
    ThrottleDevice,
    Ulimit,
    WeightDevice,
)
from pogu.runtime.control_group import CgroupDriver, control_group
from pogu.runtime.workload import BindMount, Device, Resources, Rlimit, UserIds, Workload

MIB = 1024 * 1024


def workload_of(
    *,
    host: HostConfig | None = None,
    config: ContainerConfig | None = None,
    mounts: tuple[MountPoint, ...] = (),
    network: str = "/run/netns/x",
    apparmor: str = "",
    driver: CgroupDriver = CgroupDriver.CGROUPFS,
) -> Workload:
    return container_workload(
        a_record(host=host, config=config, mounts=mounts),
        directory=Path("/c"),
        rootfs=Path("/c/rootfs"),
        user=UserIds(uid=5, home="/home/five"),
        network=network,
        hostname="web",
        cgroup=a_cgroup_setup(),
        driver=driver,
        namespace_of=lambda name, kind: f"/proc/{name}/ns/{kind}",
        apparmor=apparmor,
    )


# ---- limits ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (HostConfig(), Resources()),
        (
            HostConfig(memory=8 * MIB),
            Resources(memory_limit_bytes=8 * MIB, memory_swap_bytes=16 * MIB),
        ),
        (
            HostConfig(memory=8 * MIB, memory_swap=-1),
            Resources(memory_limit_bytes=8 * MIB, memory_swap_bytes=-1),
        ),
        (HostConfig(memory_swap=-1), Resources()),
        (
            HostConfig(nano_cpus=1_500_000_000),
            Resources(cpu_quota_us=150_000, cpu_period_us=100_000),
        ),
        (HostConfig(cpu_quota=5000), Resources(cpu_quota_us=5000)),
        (HostConfig(pids_limit=-1), Resources()),
        (HostConfig(pids_limit=9), Resources(pids_limit=9)),
        (HostConfig(device_cgroup_rules=("c 1:3 r",)), Resources(device_rules=("c 1:3 r",))),
    ],
)
def test_limits_follow_docker(host: HostConfig, expected: Resources) -> None:
    assert resources_of(host, a_cgroup_setup()) == (expected, [])


V1 = a_cgroup_setup("memory", "blkio", mode="v1", oom_kill_disable=True)


@pytest.mark.parametrize(
    ("host", "cgroup", "warning"),
    [
        (HostConfig(memory=8 * MIB), a_cgroup_setup("pids"), "memory limit"),
        (HostConfig(memory_reservation=8 * MIB), a_cgroup_setup("pids"), "memory limit"),
        (HostConfig(memory_swappiness=5), a_cgroup_setup(), "swappiness"),
        (HostConfig(oom_kill_disable=True), a_cgroup_setup(), "OomKillDisable"),
        (HostConfig(pids_limit=9), a_cgroup_setup("memory"), "PIDs limit"),
        (HostConfig(cpu_quota=5000), a_cgroup_setup("memory"), "CPU CFS"),
        (HostConfig(cpu_shares=5), a_cgroup_setup("memory"), "CPU shares"),
        (HostConfig(cpu_realtime_runtime=9), a_cgroup_setup(), "CPU real-time"),
        (
            HostConfig(blkio_device_read_bps=(ThrottleDevice(path="/dev/a", rate=9),)),
            a_cgroup_setup("memory"),
            "Block I/O BPS read limit discarded",
        ),
        (
            HostConfig(blkio_weight_device=(WeightDevice(path="/dev/a", weight=9),)),
            a_cgroup_setup("memory"),
            "Weight-device discarded",
        ),
        (HostConfig(cpuset_cpus="0"), a_cgroup_setup("memory"), "cpuset"),
        (HostConfig(blkio_weight=10), a_cgroup_setup("memory"), "Block I/O"),
        (HostConfig(blkio_weight=10), a_cgroup_setup("memory", "io", mode="v1"), "Block I/O"),
    ],
)
def test_what_the_kernel_lacks_is_left_out_with_a_warning(
    host: HostConfig, cgroup: CgroupSetup, warning: str
) -> None:
    limits, (said,) = resources_of(host, cgroup)
    assert limits == Resources()
    assert warning in said


def test_v1_has_what_v2_lacks() -> None:
    host = HostConfig(memory_swappiness=5, oom_kill_disable=True, blkio_weight=10)
    limits, warnings = resources_of(host, V1)
    assert warnings == []
    assert limits == Resources(memory_swappiness=5, oom_kill_disable=True, blkio_weight=10)


def test_rates_of_devices_are_in_the_specs_words() -> None:
    host = HostConfig(
        blkio_weight_device=(WeightDevice(path="/dev/a", weight=10),),
        blkio_device_read_bps=(ThrottleDevice(path="/dev/a", rate=1),),
        blkio_device_write_bps=(ThrottleDevice(path="/dev/a", rate=2),),
        blkio_device_read_iops=(ThrottleDevice(path="/dev/a", rate=3),),
        blkio_device_write_iops=(ThrottleDevice(path="/dev/b", rate=4),),
    )
    limits, warnings = resources_of(host, a_cgroup_setup())
    assert warnings == []
    assert [(one.kind, one.path, one.value) for one in limits.io_limits] == [
        ("weightDevice", "/dev/a", 10),
        ("throttleReadBpsDevice", "/dev/a", 1),
        ("throttleWriteBpsDevice", "/dev/a", 2),
        ("throttleReadIOPSDevice", "/dev/a", 3),
        ("throttleWriteIOPSDevice", "/dev/b", 4),
    ]


@pytest.mark.parametrize(("swap", "warnings"), [(0, 0), (9 * MIB, 1)])
def test_swap_that_is_not_counted_is_warned_about_only_when_asked_for(
    swap: int, warnings: int
) -> None:
    host = HostConfig(memory=8 * MIB, memory_swap=swap)
    limits, said = resources_of(host, a_cgroup_setup(swap_limit=False))
    assert limits == Resources(memory_limit_bytes=8 * MIB)
    assert len(said) == warnings


# ---- the workload ----------------------------------------------------------------------------


def test_a_plain_container_is_isolated() -> None:
    workload = workload_of()
    assert (workload.pid, workload.ipc, workload.uts, workload.cgroup) == ("new",) * 4
    assert workload.network == "/run/netns/x"
    assert workload.seccomp == "default"
    assert not workload.privileged
    assert workload.control_group == control_group(CgroupDriver.CGROUPFS, CONTAINER_ID)
    assert (workload.args, workload.cwd) == (("sleep", "1000"), "/")
    assert "HOME=/home/five" in workload.env
    assert "HOSTNAME=web" in workload.env


def test_its_control_group_is_by_the_engines_driver_below_its_parent() -> None:
    workload = workload_of(driver=CgroupDriver.SYSTEMD, host=HostConfig(cgroup_parent="db.slice"))
    assert workload.by_systemd
    assert workload.control_group == control_group(CgroupDriver.SYSTEMD, CONTAINER_ID, "db.slice")


@pytest.mark.parametrize(("given", "cwd"), [("/a/../b/", "/b"), ("/../..", "/"), ("", "/")])
def test_the_working_directory_is_absolute(given: str, cwd: str) -> None:
    assert workload_of(config=a_config(working_dir=given)).cwd == cwd


def test_namespaces_are_shared_as_asked() -> None:
    host = HostConfig(
        pid_mode="host", ipc_mode="container:other", uts_mode="host", cgroupns_mode="host"
    )
    workload = workload_of(host=host)
    assert (workload.pid, workload.ipc) == ("host", "/proc/other/ns/ipc")
    assert (workload.uts, workload.cgroup) == ("host", "host")


def test_own_files_are_mounted_unless_the_user_mounts_there() -> None:
    hosts = MountPoint(type="bind", source="/my/hosts", destination="/etc/hosts")
    places = {mount.destination: mount.source for mount in workload_of(mounts=(hosts,)).mounts}
    assert places == {
        "/etc/resolv.conf": "/c/resolv.conf",
        "/etc/hostname": "/c/hostname",
        "/etc/hosts": "/my/hosts",
    }


def test_a_mount_of_etc_lies_below_the_own_files() -> None:
    etc = MountPoint(type="bind", source="/my/etc", destination="/etc")
    assert workload_of(mounts=(etc,)).mounts[0].destination == "/etc"


def test_devices_have_dockers_defaults() -> None:
    host = HostConfig(
        devices=(
            DeviceMapping(path_on_host="/dev/a"),
            DeviceMapping(
                path_on_host="/dev/a", path_in_container="/dev/b", cgroup_permissions="r"
            ),
        )
    )
    assert workload_of(host=host).devices == (
        Device(path_on_host="/dev/a", path="/dev/a", permissions="rwm"),
        Device(path_on_host="/dev/a", path="/dev/b", permissions="r"),
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("no-new-privileges",), ("default", True, "pogu-default")),
        (("no-new-privileges:true",), ("default", True, "pogu-default")),
        (("no-new-privileges=false",), ("default", False, "pogu-default")),
        (("seccomp=unconfined", "apparmor:mine"), ("unconfined", False, "mine")),
        (('seccomp={"defaultAction":"a=b"}',), ('{"defaultAction":"a=b"}', False, "pogu-default")),
        (("label=disable",), ("default", False, "pogu-default")),
    ],
)
def test_security_options_are_read(
    options: tuple[str, ...], expected: tuple[str, bool, str]
) -> None:
    host = HostConfig(security_opt=options)
    workload = workload_of(host=host)
    found = workload.seccomp, workload.no_new_privileges, apparmor_profile(host)
    assert found == expected


def test_an_unknown_security_option_is_refused() -> None:
    with pytest.raises(InvalidParameter, match='invalid --security-opt 2: "what=ever"'):
        workload_of(host=HostConfig(security_opt=("what=ever",)))


def test_paths_of_the_kernel_can_be_laid_open() -> None:
    assert workload_of().masked_paths is None
    laid_open = workload_of(host=HostConfig(security_opt=("systempaths=unconfined",)))
    assert (laid_open.masked_paths, laid_open.readonly_paths) == ((), ())


@pytest.mark.parametrize(
    ("hard", "files"), [(resource.RLIM_INFINITY, 1 << 20), (1 << 30, 1 << 20), (4096, 4096)]
)
def test_open_files_are_as_many_as_the_engine_may_hand_on(
    monkeypatch: pytest.MonkeyPatch, hard: int, files: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, hard))
    assert workload_of().rlimits == (Rlimit(type="RLIMIT_NOFILE", soft=files, hard=files),)


def test_limits_of_the_user_win() -> None:
    host = HostConfig(
        ulimits=(Ulimit(name="nofile", soft=5, hard=6), Ulimit(name="core", soft=0, hard=-1))
    )
    assert workload_of(host=host).rlimits == (
        Rlimit(type="RLIMIT_NOFILE", soft=5, hard=6),
        Rlimit(type="RLIMIT_CORE", soft=0, hard=2**64 - 1),
    )


def test_low_ports_and_ping_are_free_in_an_own_network_only() -> None:
    assert workload_of().sysctls["net.ipv4.ip_unprivileged_port_start"] == "0"
    assert workload_of(network="host").sysctls == {}
    joined = HostConfig(network_mode="container:x", sysctls={"kernel.msgmax": "1"})
    assert workload_of(host=joined).sysctls == {"kernel.msgmax": "1"}


def test_an_init_program_is_put_before_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "catatonit"
    program.touch(mode=0o755)
    monkeypatch.setattr(workload_module, "_INIT", ("/no/such", str(program)))
    workload = workload_of(host=HostConfig(init=True))
    assert workload.args == ("/sbin/docker-init", "--", "sleep", "1000")
    options = ("bind", "rprivate", "ro")
    init = BindMount(destination="/sbin/docker-init", source=str(program), options=options)
    assert init in workload.mounts


def test_a_missing_init_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload_module, "_INIT", ())
    with pytest.raises(InvalidParameter, match="--init needs an init program"):
        workload_of(host=HostConfig(init=True))


@pytest.mark.parametrize(
    ("host", "profile"),
    [
        (HostConfig(), "pogu-default"),
        (HostConfig(privileged=True), "unconfined"),
        (HostConfig(privileged=True, security_opt=("apparmor=mine",)), "mine"),
        (HostConfig(security_opt=("apparmor:unconfined",)), "unconfined"),
    ],
)
def test_a_container_has_the_default_profile_unless_it_asks(host: HostConfig, profile: str) -> None:
    assert apparmor_profile(host) == profile


def test_the_runtime_is_told_of_a_profile_only_where_there_is_one() -> None:
    assert workload_of().apparmor_profile == ""
    assert workload_of(apparmor="mine").apparmor_profile == "mine"
    assert workload_of(apparmor="unconfined").apparmor_profile == ""
