"""The runtime spec's config.json, with Docker's defaults."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.builders import a_workload

from pogu.errors import InvalidParameter
from pogu.linux.idmap import IdMapping, IdRange
from pogu.runtime.capabilities import ALL_CAPABILITIES, DEFAULT_CAPABILITIES, capability_set
from pogu.runtime.device import stat_device
from pogu.runtime.spec import runtime_config
from pogu.runtime.workload import BindMount, Device, Resources, Rlimit, UserIds


def config_of(**fields: object) -> Any:
    return json.loads(runtime_config(a_workload(**fields)))


def mount_at(destination: str, **fields: object) -> Any:
    mounts = config_of(**fields)["mounts"]
    return next((mount for mount in mounts if mount["destination"] == destination), None)


# ---- capabilities ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        ([], [], {*DEFAULT_CAPABILITIES}),
        (["NET_ADMIN"], [], {*DEFAULT_CAPABILITIES, "CAP_NET_ADMIN"}),
        (["cap_net_admin"], ["ALL"], {"CAP_NET_ADMIN"}),
        ([], ["chown", "CAP_KILL"], {*DEFAULT_CAPABILITIES} - {"CAP_CHOWN", "CAP_KILL"}),
        (["ALL"], [], {*ALL_CAPABILITIES}),
        (["all"], ["SYS_ADMIN"], {*ALL_CAPABILITIES} - {"CAP_SYS_ADMIN"}),
        (["ALL"], ["ALL"], {*ALL_CAPABILITIES}),
        (["CHOWN"], ["CHOWN"], {*DEFAULT_CAPABILITIES}),
        ([], ["ALL"], set()),
    ],
)
def test_capabilities_follow_docker(add: list[str], drop: list[str], expected: set[str]) -> None:
    assert set(capability_set(add, drop, privileged=False)) == expected


def test_docker_gives_fourteen_capabilities() -> None:
    assert len(DEFAULT_CAPABILITIES) == 14
    assert set(DEFAULT_CAPABILITIES) <= set(ALL_CAPABILITIES)


def test_privileged_has_all_that_the_engine_has() -> None:
    bounding = {"CAP_CHOWN", "CAP_SYS_ADMIN"}
    found = capability_set([], ["ALL"], privileged=True, bounding=bounding)
    assert set(found) == bounding


@pytest.mark.parametrize(("add", "drop"), [(["NET_ADMN"], []), ([], ["NET_ADMN"])])
def test_an_unknown_capability_names_its_neighbour(add: list[str], drop: list[str]) -> None:
    with pytest.raises(InvalidParameter, match='unknown capability: "CAP_NET_ADMN"') as caught:
        capability_set(add, drop, privileged=False)
    assert caught.value.hint == "did you mean NET_ADMIN?"


def test_root_has_its_capabilities_in_effect_and_others_only_in_the_bounding_set() -> None:
    roots = config_of()["process"]["capabilities"]
    assert roots["effective"] == roots["permitted"] == roots["bounding"] != []
    others = config_of(user=UserIds(uid=1000))["process"]["capabilities"]
    assert (others["effective"], others["permitted"]) == ([], [])
    assert others["bounding"] == roots["bounding"]
    assert "ambient" not in others
    assert "inheritable" not in others


# ---- process ---------------------------------------------------------------------------------


def test_the_process_is_as_asked() -> None:
    process = config_of(
        args=("sh", "-c", "exit"),
        env=("A=b",),
        cwd="/srv",
        user=UserIds(uid=1, gid=2, additional_gids=(3, 4)),
        no_new_privileges=True,
        oom_score_adj=-5,
        rlimits=(Rlimit(type="RLIMIT_CORE", soft=1, hard=2),),
    )["process"]
    assert (process["args"], process["env"], process["cwd"]) == (
        ["sh", "-c", "exit"],
        ["A=b"],
        "/srv",
    )
    assert process["user"] == {"uid": 1, "gid": 2, "additionalGids": [3, 4], "umask": 0o022}
    assert (process["noNewPrivileges"], process["oomScoreAdj"]) == (True, -5)
    assert process["rlimits"] == [{"type": "RLIMIT_CORE", "soft": 1, "hard": 2}]


@pytest.mark.parametrize(
    ("terminal", "size", "expected"),
    [
        (True, (24, 80), {"height": 24, "width": 80}),
        (True, (0, 0), None),
        (False, (24, 80), None),
    ],
)
def test_a_terminal_has_a_size_when_it_is_known(
    terminal: bool, size: tuple[int, int], expected: object
) -> None:
    process = config_of(terminal=terminal, console_size=size)["process"]
    assert process.get("consoleSize") == expected


@pytest.mark.parametrize("pair", ["ä=ö", 'q="\n', "x=" + "y" * 9999])
def test_variables_survive_json(pair: str) -> None:
    assert config_of(env=(pair,))["process"]["env"] == [pair]


# ---- mounts ----------------------------------------------------------------------------------


def test_the_default_mounts_are_dockers() -> None:
    assert [mount["destination"] for mount in config_of()["mounts"]] == [
        *("/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"),
    ]
    assert "ro" in mount_at("/sys")["options"]
    assert "ro" in mount_at("/sys/fs/cgroup")["options"]
    assert "size=67108864" in mount_at("/dev/shm")["options"]


def test_privileged_may_write_to_sys() -> None:
    assert "rw" in mount_at("/sys", privileged=True)["options"]
    assert "rw" in mount_at("/sys/fs/cgroup", privileged=True)["options"]


def test_the_size_of_shm_can_be_chosen() -> None:
    assert "size=1234" in mount_at("/dev/shm", shm_size_bytes=1234)["options"]


def test_an_own_mount_takes_the_place_of_a_default() -> None:
    own = BindMount(destination="/dev/shm", source="/x")
    shm = [m for m in config_of(mounts=(own,))["mounts"] if m["destination"] == "/dev/shm"]
    assert [mount["source"] for mount in shm] == ["/x"]


def test_the_hosts_ipc_comes_with_its_files() -> None:
    assert mount_at("/dev/shm", ipc="host")["source"] == "/dev/shm"
    assert mount_at("/dev/mqueue", ipc="host")["type"] == "mqueue"


@pytest.mark.parametrize(
    ("option", "expected"),
    [("rprivate", None), ("rshared", "shared"), ("shared", "shared"), ("rslave", "slave")],
)
def test_propagation_of_a_mount_reaches_the_root(option: str, expected: str | None) -> None:
    mount = BindMount(destination="/m", source="/m", options=("rbind", option))
    assert config_of(mounts=(mount,))["linux"].get("rootfsPropagation") == expected


# ---- isolation -------------------------------------------------------------------------------


def test_every_namespace_is_new_by_default() -> None:
    kinds = [space["type"] for space in config_of()["linux"]["namespaces"]]
    assert sorted(kinds) == ["cgroup", "ipc", "mount", "network", "pid", "uts"]


def test_a_namespace_is_joined_by_its_path_or_shared_with_the_host() -> None:
    linux = config_of(network="/run/netns/x", pid="host", cgroup="host")["linux"]
    spaces = {space["type"]: space.get("path") for space in linux["namespaces"]}
    assert spaces == {"mount": None, "ipc": None, "uts": None, "network": "/run/netns/x"}


def test_the_hosts_name_is_left_alone_in_its_own_namespace() -> None:
    assert config_of(hostname="h", domainname="d", uts="host")["hostname"] == ""
    assert "domainname" not in config_of(hostname="h", domainname="d", uts="host")
    assert config_of(hostname="h", domainname="d")["domainname"] == "d"


def test_paths_of_the_kernel_are_hidden_except_from_the_privileged() -> None:
    linux = config_of()["linux"]
    assert {"/proc/kcore", "/proc/keys", "/sys/firmware"} <= set(linux["maskedPaths"])
    assert {"/proc/sys", "/proc/sysrq-trigger"} <= set(linux["readonlyPaths"])
    bare = config_of(privileged=True)["linux"]
    assert (bare["maskedPaths"], bare["readonlyPaths"]) == ([], [])
    chosen = config_of(masked_paths=("/a",), readonly_paths=())["linux"]
    assert (chosen["maskedPaths"], chosen["readonlyPaths"]) == (["/a"], [])


def test_seccomp_is_on_except_where_it_is_put_off() -> None:
    assert config_of()["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert "seccomp" not in config_of(seccomp="unconfined")["linux"]
    assert "seccomp" not in config_of(privileged=True)["linux"]


# ---- limits ----------------------------------------------------------------------------------


def test_without_limits_only_devices_are_said() -> None:
    assert set(config_of()["linux"]["resources"]) == {"devices"}


def test_limits_are_said_in_the_specs_words() -> None:
    limits = Resources(
        memory_limit_bytes=100,
        memory_swap_bytes=-1,
        memory_reservation_bytes=50,
        memory_swappiness=0,
        oom_kill_disable=True,
        cpu_shares=512,
        cpu_quota_us=50_000,
        cpu_period_us=100_000,
        cpuset_cpus="0-1",
        cpuset_mems="0",
        pids_limit=7,
        blkio_weight=300,
    )
    said = config_of(resources=limits)["linux"]["resources"]
    memory = {"limit": 100, "swap": -1, "reservation": 50, "swappiness": 0}
    assert said["memory"] == {**memory, "disableOOMKiller": True}
    cpu = {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0-1", "mems": "0"}
    assert said["cpu"] == cpu
    assert (said["pids"], said["blockIO"]) == ({"limit": 7}, {"weight": 300})


# ---- devices ---------------------------------------------------------------------------------


def test_devices_are_denied_except_the_harmless() -> None:
    rules = config_of()["linux"]["resources"]["devices"]
    assert rules[0] == {"allow": False, "access": "rwm"}
    assert {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"} in rules
    assert all(rule["access"] == "m" for rule in rules[1:] if "major" not in rule)


def test_a_device_gets_a_node_and_a_rule() -> None:
    null = Device(path_on_host="/dev/null", path="/dev/mine", permissions="r")
    linux = config_of(devices=(null,))["linux"]
    assert [(node["path"], node["major"]) for node in linux["devices"]] == [("/dev/mine", 1)]
    assert linux["resources"]["devices"][-1] == {
        "allow": True,
        "type": "c",
        "major": 1,
        "minor": 3,
        "access": "r",
    }


def test_the_privileged_have_every_device() -> None:
    assert config_of(privileged=True)["linux"]["resources"]["devices"] == [
        {"allow": True, "access": "rwm"}
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("c 1:3 rwm", {"type": "c", "major": 1, "minor": 3, "access": "rwm"}),
        ("b 8:* r", {"type": "b", "major": 8, "access": "r"}),
        ("a *:* rwm", {"type": "a", "access": "rwm"}),
    ],
)
def test_a_device_rule_is_parsed(text: str, expected: dict[str, object]) -> None:
    limits = Resources(device_rules=(text,))
    rules = config_of(resources=limits)["linux"]["resources"]["devices"]
    assert rules[-1] == {"allow": True, **expected}


@pytest.mark.parametrize(
    "text", ["", "c", "c 1:3", "c x:3 rwm", "ab 1:3 r", "c 1:3 x", "c 1:3 r w", "c -1:3 r"]
)
def test_a_wrong_device_rule_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid device cgroup rule format"):
        config_of(resources=Resources(device_rules=(text,)))


@pytest.mark.parametrize(
    ("path", "message"), [("/no/such", "no such file or directory"), ("/", "not a device node")]
)
def test_what_is_no_device_is_refused(path: str, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        stat_device(path)


# ---- user namespace --------------------------------------------------------------------------


def test_a_user_namespace_is_joined_and_its_mapping_named() -> None:
    ranges = (IdRange(0, 100_000, 65_536),)
    linux = config_of(user_namespace="/proc/7/ns/user", id_mapping=IdMapping(ranges, ranges))[
        "linux"
    ]
    assert {"type": "user", "path": "/proc/7/ns/user"} in linux["namespaces"]
    expected = [{"containerID": 0, "hostID": 100_000, "size": 65_536}]
    assert linux["uidMappings"] == linux["gidMappings"] == expected


def test_the_hosts_queues_are_not_mounted_from_another_user_namespace() -> None:
    assert mount_at("/dev/mqueue", ipc="host")
    assert mount_at("/dev/mqueue", ipc="host", user_namespace="/proc/7/ns/user") is None
