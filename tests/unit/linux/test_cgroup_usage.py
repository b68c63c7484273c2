"""Counters of control groups on recorded trees, v1, v2 and hybrid."""

from __future__ import annotations

from pathlib import Path

import pytest

from pogu.linux.cgroup_usage import (
    group_of,
    group_places,
    oom_kills,
    oom_kills_by_slice,
    own_groups,
    peak_and_limit,
    read_usage,
)

ID = "0123456789abcdef"


def a_group(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


V2 = {
    "cgroup.controllers": "cpu io memory pids\n",
    f"pogu/{ID}/cpu.stat": "usage_usec 3000\nuser_usec 2000\nsystem_usec 1000\n"
    "nr_periods 7\nnr_throttled 2\nthrottled_usec 50\n",
    f"pogu/{ID}/memory.current": "1048576\n",
    f"pogu/{ID}/memory.max": "max\n",
    f"pogu/{ID}/memory.stat": "anon 4096\ninactive_file 8192\n",
    f"pogu/{ID}/memory.events": "low 0\nmax 5\noom_kill 0\n",
    f"pogu/{ID}/pids.current": "3\n",
    f"pogu/{ID}/pids.max": "100\n",
    f"pogu/{ID}/io.stat": "8:0 rbytes=512 wbytes=1024 rios=1 wios=2 dbytes=0 dios=0\n254:1 \n",
}
V1 = {
    f"cpuacct/pogu/{ID}/cpuacct.usage": "3000000\n",
    f"cpuacct/pogu/{ID}/cpuacct.usage_percpu": "1000000 2000000 \n",
    f"cpuacct/pogu/{ID}/cpuacct.usage_all": "cpu user system\n0 1000 10\n1 2000 20\n",
    f"cpu/pogu/{ID}/cpu.stat": "nr_periods 7\nnr_throttled 2\nthrottled_time 50\n",
    f"memory/pogu/{ID}/memory.usage_in_bytes": "1048576\n",
    f"memory/pogu/{ID}/memory.max_usage_in_bytes": "2097152\n",
    f"memory/pogu/{ID}/memory.limit_in_bytes": "9223372036854771712\n",
    f"memory/pogu/{ID}/memory.failcnt": "4\n",
    f"memory/pogu/{ID}/memory.stat": "cache 1\ntotal_inactive_file 8192\n",
    f"pids/pogu/{ID}/pids.current": "3\n",
    f"pids/pogu/{ID}/pids.max": "max\n",
    f"blkio/pogu/{ID}/blkio.throttle.io_service_bytes_recursive": "8:0 Read 512\n"
    "8:0 Write 1024\nTotal 1536\n",
}
V1_MEMBERSHIP = "".join(
    f"{number}:{name}:/pogu/{ID}\n"
    for number, name in enumerate(("cpu", "cpuacct", "memory", "pids", "blkio"), 1)
)


def test_v2_is_read_with_microseconds_as_nanoseconds(tmp_path: Path) -> None:
    a_group(tmp_path, V2)
    usage = read_usage(group_places(f"0::/pogu/{ID}\n", ID, tmp_path))
    assert (usage.version, usage.cpu.total_ns, usage.cpu.kernel_ns) == (2, 3_000_000, 1_000_000)
    assert (usage.cpu.throttled_periods, usage.cpu.throttled_ns) == (2, 50_000)
    assert (usage.memory.usage_bytes, usage.memory.limit_bytes) == (1 << 20, 0)
    assert (usage.memory.failures, usage.memory.stats["inactive_file"]) == (5, 8192)
    assert (usage.pids, usage.pids_limit) == (3, 100)
    assert [(one.operation, one.value) for one in usage.io_bytes] == [
        ("read", 512),
        ("write", 1024),
    ]
    assert [one.value for one in usage.io_operations] == [1, 2]


def test_v1_is_read_from_each_controller(tmp_path: Path) -> None:
    a_group(tmp_path, V1)
    usage = read_usage(group_places(V1_MEMBERSHIP, ID, tmp_path))
    assert (usage.version, usage.cpu.total_ns) == (1, 3_000_000)
    assert (usage.cpu.user_ns, usage.cpu.kernel_ns) == (3000, 30)
    assert usage.cpu.per_cpu_ns == (1_000_000, 2_000_000)
    assert (usage.memory.limit_bytes, usage.memory.peak_bytes) == (0, 2 << 20)
    assert (usage.memory.failures, usage.pids, usage.pids_limit) == (4, 3, 0)
    assert [(one.operation, one.value) for one in usage.io_bytes] == [
        ("Read", 512),
        ("Write", 1024),
    ]


def test_a_hybrid_reads_v1_although_a_v2_group_exists(tmp_path: Path) -> None:
    a_group(tmp_path, V1 | {f"unified/pogu/{ID}/cgroup.procs": "1\n"})
    usage = read_usage(group_places(V1_MEMBERSHIP + f"0::/pogu/{ID}\n", ID, tmp_path))
    assert (usage.version, usage.memory.usage_bytes) == (1, 1 << 20)


def test_a_process_that_moved_below_its_container_still_counts_there(tmp_path: Path) -> None:
    a_group(tmp_path, V2)
    places = group_places(f"0::/pogu/{ID}/system.slice/sshd.service\n", ID, tmp_path)
    assert places[""] == tmp_path / "pogu" / ID
    scope = group_places(f"0::/system.slice/pogu-{ID}.scope/init\n", ID, tmp_path)
    assert scope[""] == tmp_path / f"system.slice/pogu-{ID}.scope"


def test_what_crun_makes_below_a_scope_is_where_its_limits_are(tmp_path: Path) -> None:
    group = f"/system.slice/pogu-{ID}.scope/container"
    for below in ("", "/init.scope", "/system.slice/sshd.service"):
        assert group_of(f"0::{group}{below}\n", ID) == group
    a_group(tmp_path, V2)
    assert group_places(f"0::{group}/init.scope\n", ID, tmp_path)[""] == tmp_path / group[1:]


def test_a_group_called_container_in_a_container_is_its_own(tmp_path: Path) -> None:
    assert group_of(f"0::/pogu/{ID}/container\n", ID) == f"/pogu/{ID}"


def test_the_group_is_that_of_the_hierarchies_that_have_one() -> None:
    assert group_of(f"5:name=x:/\n3:memory:/pogu/{ID}\n0::/\n", ID) == f"/pogu/{ID}"
    assert group_of("0::/user.slice/user-0.slice\n", ID) == ""


def test_a_membership_is_cut_back_to_the_containers_own_groups() -> None:
    inside = f"3:memory:/pogu/{ID}\n0::/system.slice/pogu-{ID}.scope/container/init.scope\n"
    whole = f"3:memory:/pogu/{ID}\n0::/system.slice/pogu-{ID}.scope/container\n"
    assert own_groups(inside, ID) == whole
    assert own_groups("0::/user.slice\n", ID) == "0::/user.slice\n"


def test_of_no_group_nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("oom_kill 7\n")
    (tmp_path / "memory.peak").write_text("4096\n")
    assert oom_kills("", tmp_path) is None
    assert peak_and_limit("", tmp_path) == (0, 0)


def test_controllers_mounted_together_are_found(tmp_path: Path) -> None:
    (tmp_path / "cpu,cpuacct").mkdir()
    places = group_places(f"4:cpu,cpuacct:/pogu/{ID}\n", ID, tmp_path)
    assert places["cpuacct"] == tmp_path / "cpu,cpuacct" / "pogu" / ID


def test_what_is_missing_counts_as_nothing(tmp_path: Path) -> None:
    usage = read_usage(group_places(V1_MEMBERSHIP, ID, tmp_path))
    assert (usage.cpu.total_ns, usage.memory.usage_bytes, usage.pids) == (0, 0, 0)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("memory/pogu/c1/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
        ("pogu/c1/memory.events", "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\n"),
    ],
)
def test_oom_kills_are_counted_on_v1_and_v2(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(text)
    assert oom_kills("/pogu/c1", tmp_path) == 2
    assert oom_kills("/pogu/c2", tmp_path) is None


def test_the_topmost_groups_tell_whether_any_below_has_more_kills(tmp_path: Path) -> None:
    a_group(tmp_path, {"system.slice/memory.events": "low 0\nmax 9\noom_kill 2\n"})
    paths = [f"/system.slice/pogu-{ID}.scope/container", "/system.slice/other", "/gone/x", ""]
    assert oom_kills_by_slice(paths, tmp_path) == {"system.slice": 2}
