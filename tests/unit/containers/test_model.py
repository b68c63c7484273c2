"""The states of a container and what may follow what."""

from __future__ import annotations

import msgspec
import pytest

from pogu.containers.model import LEGAL, ContainerState, MountPoint, Status, parse_time_ns


def test_every_state_has_its_followers() -> None:
    assert set(LEGAL) == set(Status)
    assert all(status not in followers for status, followers in LEGAL.items())


def reachable(start: Status) -> set[Status]:
    found: set[Status] = set()
    ahead = [start]
    while ahead:
        fresh = LEGAL[ahead.pop()] - found
        found |= fresh
        ahead += fresh
    return found


@pytest.mark.parametrize("status", [one for one in Status if one is not Status.REMOVING])
def test_every_state_can_end_in_removal(status: Status) -> None:
    assert Status.REMOVING in reachable(status)


@pytest.mark.parametrize("status", [Status.REMOVING, Status.DEAD])
def test_nothing_comes_back_from_removal(status: Status) -> None:
    assert reachable(status) <= {Status.REMOVING, Status.DEAD}


def test_what_runs_is_not_removed() -> None:
    assert Status.REMOVING not in LEGAL[Status.RUNNING] | LEGAL[Status.PAUSED]


def test_a_mount_is_spelled_as_inspect_does() -> None:
    mount = MountPoint(type="bind", source="/s", destination="/d", rw=False)
    assert msgspec.to_builtins(mount) == {
        "Type": "bind",
        "Source": "/s",
        "Destination": "/d",
        "RW": False,
        "Name": "",
        "Driver": "",
        "Mode": "",
        "Propagation": "",
        "Layer": None,  # these two the view leaves out
        "Subpath": "",
    }


def test_a_state_of_an_older_engine_is_read() -> None:
    old = b'{"status": "exited", "exit_code": 3, "gone_field": 1}'
    state = msgspec.json.decode(old, type=ContainerState)
    assert (state.status, state.exit_code, state.restart_count) == (Status.EXITED, 3, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0001-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.000000002Z", 1_000_000_002),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T00:00:01Z", 1_000_000_000),
    ],
)
def test_times_are_read_back(text: str, expected: int) -> None:
    assert parse_time_ns(text) == expected
