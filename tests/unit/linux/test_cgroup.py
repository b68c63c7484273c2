"""Control groups on recorded trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from pogu.linux.cgroup import CgroupSetup, detect

V2 = {
    "cgroup.controllers": "cpuset cpu io memory hugetlb pids rdma misc\n",
    "cgroup.subtree_control": "cpu io memory pids\n",
    "system.slice/memory.swap.max": "max\n",
}
V1 = {
    f"{name}/cgroup.clone_children": "0\n"
    for name in ("blkio", "cpu,cpuacct", "cpuset", "devices", "memory", "pids", "systemd")
} | {"memory/memory.oom_control": "oom_kill_disable 0\n"}
HYBRID = V1 | {"unified/cgroup.controllers": "\n", "unified/cgroup.procs": "1\n"}


def a_tree(root: Path, files: dict[str, str]) -> Path:
    tree = root / "cgroup"
    tree.mkdir()
    for name, text in files.items():
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text(text)
    return tree


def detected(root: Path, files: dict[str, str], *, systemd: bool = False) -> CgroupSetup:
    return detect(a_tree(root, files), systemd=systemd)


def test_pure_v2_under_systemd(tmp_path: Path) -> None:
    setup = detected(tmp_path, V2, systemd=True)
    assert (setup.mode, setup.version, setup.is_systemds) == ("v2", "2", True)
    assert {"cpu", "cpuset", "io", "memory", "pids"} <= setup.controllers
    assert setup.swap_limit
    assert not setup.oom_kill_disable


def test_pure_v2_without_systemd(tmp_path: Path) -> None:
    setup = detected(tmp_path, V2)
    assert (setup.mode, setup.is_systemds) == ("v2", False)


def test_v2_without_the_memory_controller(tmp_path: Path) -> None:
    setup = detected(tmp_path, {"cgroup.controllers": "cpu pids\n"})
    assert setup.controllers == {"cpu", "pids"}
    assert not setup.swap_limit


def test_v1_takes_shared_hierarchies_apart(tmp_path: Path) -> None:
    setup = detected(tmp_path, V1)
    assert (setup.mode, setup.version, setup.is_systemds) == ("v1", "1", False)
    assert {"blkio", "cpu", "cpuacct", "cpuset", "memory", "pids"} <= setup.controllers
    assert setup.oom_kill_disable


@pytest.mark.parametrize("accounted", [True, False])
def test_v1_limits_swap_only_when_it_is_accounted(tmp_path: Path, accounted: bool) -> None:
    files = {"memory/memory.memsw.limit_in_bytes": "0\n"} if accounted else {}
    assert detected(tmp_path, V1 | files).swap_limit is accounted


def test_hybrid_has_v1_controllers_beside_the_unified_tree(tmp_path: Path) -> None:
    setup = detected(tmp_path, HYBRID, systemd=True)
    assert (setup.mode, setup.version, setup.is_systemds) == ("hybrid", "1", False)
    assert "memory" in setup.controllers
    assert "unified" not in setup.controllers


def test_a_host_without_control_groups(tmp_path: Path) -> None:
    assert detected(tmp_path, {}).mode == "none"
    absent = detect(tmp_path / "absent", systemd=False)
    assert (absent.mode, absent.controllers) == ("none", frozenset())


def test_v1_says_which_limits_of_block_devices_it_has(tmp_path: Path) -> None:
    files = V1 | {"blkio/blkio.throttle.read_bps_device": "", "blkio/blkio.bfq.weight": "100\n"}
    setup = detected(tmp_path, files)
    assert (setup.io_throttle, setup.io_weight, setup.io_weight_device) == (True, False, False)


def test_v2_limits_block_devices_where_it_has_the_controller(tmp_path: Path) -> None:
    setup = detected(tmp_path, V2)
    assert setup.io_throttle
    assert setup.io_weight
    assert not setup.realtime
