"""The wait before a process changes its control group: where it is begun, where there is none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.builders import a_cgroup_setup

from pogu.linux.cgroup_move import GroupMoves, own_group

OWN = "10:memory:/a\n6:freezer:/host.slice/pogu\n1:cpu,cpuacct:/\n0::/b\n"


def moves(tree: Path, begin: Callable[[Callable[[], None]], None], mode: str = "v1") -> GroupMoves:
    own = tree / "own"
    own.write_text(OWN)
    return GroupMoves(a_cgroup_setup(mode=mode), root=tree, own=own, begin=begin)


def test_our_group_is_found_among_the_hierarchies() -> None:
    assert own_group(OWN) == "host.slice/pogu"
    assert own_group("6:devices,freezer:/\n") == ""
    assert own_group("0::/only/v2\n") is None


@pytest.mark.parametrize("mode", ["v1", "hybrid"])
def test_this_process_is_moved_to_where_it_is(tmp_path: Path, mode: str) -> None:
    procs = tmp_path / "freezer/host.slice/pogu/cgroup.procs"
    procs.parent.mkdir(parents=True)
    procs.touch()
    moves(tmp_path, lambda wait: wait(), mode).expect()
    assert procs.read_text() == "0"


def test_on_v2_nothing_waits(tmp_path: Path) -> None:
    begun: list[Callable[[], None]] = []
    moves(tmp_path, begun.append, "v2").expect()
    assert begun == []


def test_a_group_that_cannot_be_seen_is_no_error(tmp_path: Path) -> None:
    again = moves(tmp_path, lambda wait: wait())
    again.expect()
    again.expect()
    assert not (tmp_path / "freezer").exists()


def test_one_wait_serves_all_who_expect_it(tmp_path: Path) -> None:
    begun: list[Callable[[], None]] = []
    several = moves(tmp_path, begun.append)
    several.expect()
    several.expect()
    assert len(begun) == 1
    begun[0]()
    several.expect()
    assert len(begun) == 2


def test_one_thread_keeps_the_wait_for_all_and_ends_with_the_last(tmp_path: Path) -> None:
    begun: list[Callable[[], None]] = []
    pauses: list[float] = []
    kept = GroupMoves(
        a_cgroup_setup(mode="v1"),
        root=tmp_path,
        own=tmp_path / "own",
        begin=begun.append,
        pause=pauses.append,
    )
    with kept.expected(), kept.expected():
        pass
    (keep,) = begun
    keep()
    assert pauses == []
    with kept.expected():
        assert len(begun) == 2


def test_a_move_goes_on_until_the_last_block_ends(tmp_path: Path) -> None:
    begun: list[Callable[[], None]] = []
    ends = contextlib.ExitStack()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            ends.close()

    kept = GroupMoves(
        a_cgroup_setup(mode="v1"),
        root=tmp_path,
        own=tmp_path / "own",
        begin=begun.append,
        pause=pause,
    )
    ends.enter_context(kept.expected())
    begun[0]()
    assert len(pauses) == 3


def test_nothing_is_expected_on_v2(tmp_path: Path) -> None:
    begun: list[Callable[[], None]] = []
    with moves(tmp_path, begun.append, "v2").expected():
        assert begun == []
