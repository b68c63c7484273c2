"""Where control groups are to be, by either driver."""

from __future__ import annotations

import pytest
from tests.builders import CONTAINER_ID

from pogu.errors import InvalidParameter
from pogu.runtime.control_group import (
    CgroupDriver,
    check_parent,
    control_group,
    scope_properties,
)

CGROUPFS, SYSTEMD = CgroupDriver.CGROUPFS, CgroupDriver.SYSTEMD
UNLIMITED = "uint64 18446744073709551615"


@pytest.mark.parametrize(
    ("driver", "parent", "expected"),
    [
        (CGROUPFS, "", f"/pogu/{CONTAINER_ID}"),
        (CGROUPFS, "batch/night", f"/batch/night/{CONTAINER_ID}"),
        (CGROUPFS, "/batch", f"/batch/{CONTAINER_ID}"),
        (CGROUPFS, "batch.slice", f"/batch.slice/{CONTAINER_ID}"),
        (SYSTEMD, "", f"system.slice:pogu:{CONTAINER_ID}"),
        (SYSTEMD, "batch.slice", f"batch.slice:pogu:{CONTAINER_ID}"),
        (SYSTEMD, "batch-night.slice", f"batch-night.slice:pogu:{CONTAINER_ID}"),
    ],
)
def test_the_runtime_is_told_a_path_or_a_slice(
    driver: CgroupDriver, parent: str, expected: str
) -> None:
    group = control_group(driver, CONTAINER_ID, parent)
    assert group.spec_path == expected
    assert group.by_systemd is (driver is SYSTEMD)


def test_a_path_that_was_asked_for_under_the_other_driver_still_holds() -> None:
    group = control_group(SYSTEMD, CONTAINER_ID, "/batch")
    assert (group.driver, group.spec_path) == (CGROUPFS, f"/batch/{CONTAINER_ID}")


@pytest.mark.parametrize(
    "parent",
    [
        "batch",
        "/batch",
        "/batch.slice",
        "a/b.slice",
        ".slice",
        "-a.slice",
        "a--b.slice",
        "a-.slice",
    ],
)
def test_systemd_takes_slices_only(parent: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        check_parent(SYSTEMD, parent)
    assert refused.value.message == (
        'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"'
    )
    check_parent(CGROUPFS, parent)


@pytest.mark.parametrize(
    "parent", ["", "batch.slice", "user-1000.slice", "a-b-c.slice", "x_1.slice"]
)
def test_names_of_slices_are_taken(parent: str) -> None:
    check_parent(SYSTEMD, parent)


def test_a_scope_is_collected_and_bounded_by_what_was_asked_for_alone() -> None:
    group = control_group(SYSTEMD, CONTAINER_ID)
    properties = scope_properties(group, pids_limit=0, has_subgroup=False)
    assert properties == {
        "org.systemd.property.CollectMode": "'inactive-or-failed'",
        "org.systemd.property.TasksMax": UNLIMITED,
    }


@pytest.mark.parametrize(("has_subgroup", "is_free"), [(True, True), (False, False)])
def test_a_limit_of_processes_is_the_runtimes_to_set(has_subgroup: bool, is_free: bool) -> None:
    group = control_group(SYSTEMD, CONTAINER_ID)
    properties = scope_properties(group, pids_limit=5, has_subgroup=has_subgroup)
    assert ("org.systemd.property.TasksMax" in properties) is is_free


def test_directories_have_no_properties() -> None:
    group = control_group(CGROUPFS, CONTAINER_ID)
    assert scope_properties(group, pids_limit=0, has_subgroup=True) == {}
