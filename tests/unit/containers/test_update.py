"""What an update makes of the limits that a container has."""

from __future__ import annotations

import pytest
from tests.builders import a_host_config

from pogu.containers.update import changes_limits, updated
from pogu.errors import Conflict, InvalidParameter
from pogu.model.container import RestartPolicy, UpdateRequest

MIB = 1 << 20


def test_what_is_left_out_stays() -> None:
    host = a_host_config(memory=64 * MIB, cpu_shares=512, pids_limit=10, restart="always")
    changed = updated(host, UpdateRequest(memory=128 * MIB, cpuset_cpus="0"))
    assert (changed.memory, changed.cpu_shares, changed.pids_limit) == (128 * MIB, 512, 10)
    assert (changed.cpuset_cpus, changed.restart_policy.name) == ("0", "always")


def test_a_limit_of_processes_can_be_taken_away() -> None:
    changed = updated(a_host_config(pids_limit=10), UpdateRequest(pids_limit=-1))
    assert changed.pids_limit == -1


def test_memory_above_the_swap_limit_wants_both() -> None:
    host = a_host_config(memory=64 * MIB, memory_swap=80 * MIB)
    with pytest.raises(Conflict, match="update the memoryswap at the same time"):
        updated(host, UpdateRequest(memory=100 * MIB))
    both = updated(host, UpdateRequest(memory=100 * MIB, memory_swap=-1))
    assert (both.memory, both.memory_swap) == (100 * MIB, -1)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ({"cpu_period": 1000}, {"nano_cpus": 1}, "Nano CPUs .* CPU Period"),
        ({"cpu_quota": 1000}, {"nano_cpus": 1}, "Nano CPUs .* CPU Quota"),
        ({"nano_cpus": 1}, {"cpu_period": 1000}, "CPU Period .* NanoCPUs"),
        ({"nano_cpus": 1}, {"cpu_quota": 1000}, "CPU Quota .* NanoCPUs"),
    ],
)
def test_two_ways_to_limit_the_processor_contradict(
    old: dict[str, int], new: dict[str, int], words: str
) -> None:
    with pytest.raises(Conflict, match=words):
        updated(a_host_config(**old), UpdateRequest(**new))  # type: ignore[arg-type]


def test_a_container_that_removes_itself_gets_no_restart_policy() -> None:
    host = a_host_config(auto_remove=True)
    with pytest.raises(InvalidParameter, match="AutoRemove is enabled"):
        updated(host, UpdateRequest(restart_policy=RestartPolicy(name="always")))


def test_a_restart_policy_alone_is_nothing_for_the_kernel() -> None:
    policy = RestartPolicy(name="always")
    assert not changes_limits(UpdateRequest(restart_policy=policy))
    assert changes_limits(UpdateRequest(restart_policy=policy, memory=MIB))
    assert changes_limits(UpdateRequest(pids_limit=0))
