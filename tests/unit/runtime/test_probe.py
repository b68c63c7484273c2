"""Which driver of control groups a host gets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.builders import a_cgroup_setup

from pogu.errors import SystemFailure
from pogu.runtime.control_group import CgroupDriver
from pogu.runtime.probe import possible_drivers

CGROUPFS, SYSTEMD = CgroupDriver.CGROUPFS, CgroupDriver.SYSTEMD
SETUP = replace(a_cgroup_setup(), mode="v2", systemd=True)


def test_where_systemd_owns_the_tree_it_is_asked_first() -> None:
    assert possible_drivers("", SETUP) == (SYSTEMD, CGROUPFS)


@pytest.mark.parametrize(("mode", "systemd"), [("v2", False), ("v1", True), ("hybrid", True)])
def test_elsewhere_directories_are_made(mode: str, systemd: bool) -> None:
    assert possible_drivers("", replace(SETUP, mode=mode, systemd=systemd)) == (CGROUPFS,)


@pytest.mark.parametrize("wanted", ["cgroupfs", "systemd"])
def test_what_the_configuration_says_is_the_only_one(wanted: str) -> None:
    assert possible_drivers(wanted, SETUP) == (CgroupDriver(wanted),)
    assert possible_drivers(wanted, replace(SETUP, mode="hybrid")) == (CgroupDriver(wanted),)


def test_systemd_is_refused_where_it_does_not_run() -> None:
    with pytest.raises(SystemFailure, match="systemd does not run on this host") as refused:
        possible_drivers("systemd", replace(SETUP, systemd=False))
    assert "cgroupfs" in (refused.value.hint or "")
