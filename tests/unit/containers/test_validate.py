"""What a create request may not say, in Docker's words."""

from __future__ import annotations

import os

import msgspec
import pytest
from tests.builders import a_host_config, a_request

from pogu.containers.validate import check_name, check_request, network_mode
from pogu.errors import InvalidParameter
from pogu.model.container import (
    HealthConfig,
    HostConfig,
    LogConfig,
    PortBinding,
    Ulimit,
)

MIB = 1024 * 1024


def a_ulimit(name: str, soft: int, hard: int) -> HostConfig:
    return HostConfig(ulimits=(Ulimit(name=name, soft=soft, hard=hard),))


@pytest.mark.parametrize("name", ["ab", "/web", "web_1.a-b", "0a"])
def test_a_name_may_be(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "a", "/", "-ab", "_ab", "a b", "ab/c", "ä1", "ab\n", "//ab"])
def test_a_name_may_not_be(name: str) -> None:
    with pytest.raises(InvalidParameter, match="Invalid container name"):
        check_name(name)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("", "bridge"), ("default", "bridge"), ("host", "host"), ("container:x", "container:x")],
)
def test_the_default_network_is_the_bridge(mode: str, expected: str) -> None:
    assert network_mode(HostConfig(network_mode=mode)) == expected


def test_a_plain_request_passes_without_warnings() -> None:
    assert check_request(a_request()) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"env": ("",)}, "invalid environment variable"),
        ({"env": ("=x",)}, "invalid environment variable: =x"),
        ({"working_dir": "srv"}, "needs to be an absolute path"),
        ({"stop_signal": "NOPE"}, "Invalid signal"),
        ({"hostname": "h" * 64}, "invalid hostname"),
        ({"exposed_ports": {"http": {}}}, "invalid port specification"),
        ({"healthcheck": HealthConfig(interval=999_999)}, "Interval in Healthcheck"),
        ({"healthcheck": HealthConfig(start_period=-1)}, "StartPeriod in Healthcheck"),
        ({"healthcheck": HealthConfig(retries=-1)}, "Retries in Healthcheck"),
    ],
)
def test_a_wrong_config_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        check_request(a_request(**fields))


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (HostConfig(pid_mode="x"), "invalid PID mode: x"),
        (HostConfig(pid_mode="container:"), "invalid PID mode"),
        (HostConfig(ipc_mode="x"), "invalid IPC mode: x"),
        (HostConfig(uts_mode="container:x"), "invalid UTS mode"),
        (HostConfig(cgroupns_mode="x"), "invalid cgroup namespace mode"),
        (HostConfig(userns_mode="x"), "invalid user namespace mode"),
        (HostConfig(network_mode="container:"), "container:<name"),
        (HostConfig(network_mode="host", links=("a:b",)), "can't be used with links"),
        (HostConfig(network_mode="container:x", dns=("1.1.1.1",)), "dns and the network mode"),
        (HostConfig(network_mode="container:x", publish_all_ports=True), "port publishing"),
        (HostConfig(memory=6 * MIB - 1), "Minimum memory limit allowed is 6MB"),
        (HostConfig(memory=-1), "Minimum memory limit allowed is 6MB"),
        (HostConfig(memory_swap=MIB), "always set the Memory limit"),
        (HostConfig(memory=8 * MIB, memory_swap=7 * MIB), "larger than memory limit"),
        (HostConfig(memory_swappiness=101), "valid memory swappiness range is 0-100"),
        (HostConfig(memory_reservation=1), "Minimum memory reservation allowed is 6MB"),
        (HostConfig(memory=8 * MIB, memory_reservation=9 * MIB), "less than memory reservation"),
        (HostConfig(nano_cpus=1, cpu_period=1), "Nano CPUs and CPU Period"),
        (HostConfig(nano_cpus=1, cpu_quota=1), "Nano CPUs and CPU Quota"),
        (HostConfig(nano_cpus=-1), "Range of CPUs is from 0.01"),
        (HostConfig(nano_cpus=10**15), f"only {os.cpu_count()} CPUs available"),
        (HostConfig(cpu_shares=-1), "invalid CPU shares"),
        (HostConfig(cpu_period=999), "CPU cfs period"),
        (HostConfig(cpu_quota=999), "CPU cfs quota"),
        (HostConfig(cpuset_cpus="a"), "Invalid value a for cpuset cpus"),
        (HostConfig(cpuset_mems="0-"), "Invalid value 0- for cpuset mems"),
        (HostConfig(blkio_weight=9), "Range of blkio weight"),
        (HostConfig(oom_score_adj=1001), "range for oom score adj"),
        (HostConfig(shm_size=-1), "SHM size"),
        (a_ulimit("nofiles", 1, 1), "invalid ulimit type: nofiles"),
        (a_ulimit("nofile", 2, 1), "soft limit must be less than or equal to hard limit: 2 > 1"),
        (a_ulimit("nofile", -1, 1), "soft limit must be less"),
        (a_host_config(restart="sometimes"), "unknown policy 'sometimes'"),
        (a_host_config(restart="always", retries=3), "only be used with 'on-failure'"),
        (a_host_config(restart="on-failure", retries=-1), "cannot be negative"),
        (a_host_config(restart="always", auto_remove=True), "can't create 'AutoRemove'"),
        (HostConfig(log_config=LogConfig(type="syslog")), "no log driver named 'syslog'"),
        (HostConfig(runtime="runsc"), "unknown or invalid runtime name: runsc"),
        (HostConfig(volume_driver="nfs"), 'plugin "nfs" not found'),
    ],
)
def test_a_wrong_host_config_is_refused(host: HostConfig, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        check_request(a_request(host))


@pytest.mark.parametrize(
    "host",
    [
        HostConfig(pid_mode="container:x", ipc_mode="shareable", uts_mode="host"),
        HostConfig(memory=8 * MIB, memory_swap=-1, memory_swappiness=-1),
        HostConfig(cpu_quota=-1, cpuset_cpus="0,0-0"),
        a_ulimit("nofile", -1, -1),
        a_ulimit("core", 0, -1),
        a_host_config(restart="on-failure", retries=3),
        a_host_config(restart="no", auto_remove=True),
        HostConfig(log_config=LogConfig(type="none"), runtime="io.containerd.runc.v2"),
    ],
)
def test_what_docker_takes_is_taken(host: HostConfig) -> None:
    assert check_request(a_request(host)) == []


@pytest.mark.parametrize(
    ("fields", "name"), [({"hostname": "h"}, "hostname"), ({"mac_address": "m"}, "mac-address")]
)
def test_a_joined_network_brings_its_own_names(fields: dict[str, object], name: str) -> None:
    host = HostConfig(network_mode="container:x")
    with pytest.raises(InvalidParameter, match=f"conflicting options: {name}"):
        check_request(a_request(host, **fields))


def test_the_hosts_name_cannot_be_changed() -> None:
    with pytest.raises(InvalidParameter, match="hostname and the UTS mode"):
        check_request(a_request(HostConfig(uts_mode="host"), hostname="h"))


@pytest.mark.parametrize(
    ("host", "warning"),
    [
        (
            HostConfig(network_mode="host", port_bindings={"80": (PortBinding(),)}),
            "Published ports are discarded",
        ),
        (HostConfig(oom_kill_disable=True), "OOM killer is disabled"),
        (HostConfig(kernel_memory=1), "Specifying a kernel memory limit"),
    ],
)
def test_what_has_no_effect_is_warned_about(host: HostConfig, warning: str) -> None:
    (said,) = check_request(a_request(host))
    assert said.startswith(warning)


@pytest.mark.parametrize(
    ("name", "host", "words"),
    [
        ("kernel.core_pattern", HostConfig(), "is not allowed"),
        ("vm.swappiness", HostConfig(), "is not allowed"),
        ("net.core.somaxconn", HostConfig(network_mode="host"), "host network namespace"),
        ("kernel.shmmax", HostConfig(ipc_mode="host"), "hosts ipc namespace"),
        ("kernel.domainname", HostConfig(uts_mode="host"), "hosts uts namespace"),
    ],
)
def test_a_sysctl_of_the_host_is_refused(name: str, host: HostConfig, words: str) -> None:
    host = msgspec.structs.replace(host, sysctls={name: "1"})
    with pytest.raises(InvalidParameter, match=words):
        check_request(a_request(host))


@pytest.mark.parametrize("name", ["net.core.somaxconn", "fs.mqueue.msg_max", "kernel.sem"])
def test_a_sysctl_of_the_container_is_let_through(name: str) -> None:
    assert check_request(a_request(HostConfig(sysctls={name: "1"}))) == []


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (HostConfig(privileged=True), "privileged mode is incompatible with user namespaces"),
        (HostConfig(network_mode="host"), "cannot share the host's network namespace when user"),
        (HostConfig(pid_mode="host"), "cannot share the host PID namespace when user namespaces"),
    ],
)
def test_a_user_namespace_cannot_share_the_hosts(host: HostConfig, said: str) -> None:
    check_request(a_request(host_config=host))
    with pytest.raises(InvalidParameter, match=said):
        check_request(a_request(host_config=host), remapped=True)
