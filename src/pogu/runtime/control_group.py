"""Format: where the control group of a container is to be, by either driver. Pure.

cgroupfs: the runtime makes directories, by default below /pogu. systemd: it asks systemd for a
scope, by default in system.slice (runtime-spec config-linux.md, "Cgroups Path"; systemd.scope(5)).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pogu.errors import InvalidParameter

__all__ = ["CgroupDriver", "ControlGroup", "check_parent", "control_group", "scope_properties"]

_PREFIX = "pogu"
_SLICE = "system.slice"
_SLICE_NAME = re.compile(r"[A-Za-z0-9:_.\\]+(-[A-Za-z0-9:_.\\]+)*\.slice")


class CgroupDriver(StrEnum):
    """Who makes control groups; Docker's words (`native.cgroupdriver`)."""

    CGROUPFS = "cgroupfs"
    SYSTEMD = "systemd"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlGroup:
    """`parent` is a directory or, with systemd, a slice; `name` the container's ID."""

    driver: CgroupDriver
    parent: str
    name: str

    @property
    def by_systemd(self) -> bool:
        return self.driver is CgroupDriver.SYSTEMD

    @property
    def spec_path(self) -> str:
        """`cgroupsPath` of the runtime spec; systemd's form is the runtimes' own convention."""
        if self.by_systemd:
            return f"{self.parent}:{_PREFIX}:{self.name}"
        return posixpath.join("/", self.parent, self.name)


def control_group(driver: CgroupDriver, name: str, parent: str = "") -> ControlGroup:
    """Place the group of `name`; `parent` empty = the driver's default.

    A parent that is no slice was asked for when the engine had the other driver: it still holds.
    """
    if driver is CgroupDriver.SYSTEMD and (not parent or _is_slice(parent)):
        return ControlGroup(driver=driver, parent=parent or _SLICE, name=name)
    return ControlGroup(driver=CgroupDriver.CGROUPFS, parent=parent or _PREFIX, name=name)


def check_parent(driver: CgroupDriver, parent: str) -> None:
    """Raises: InvalidParameter in Docker's words for a `--cgroup-parent` that systemd has not."""
    if driver is CgroupDriver.SYSTEMD and parent and not _is_slice(parent):
        raise InvalidParameter(
            'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"',
            hint="systemd makes the control groups here: a-b.slice lies in a.slice; the key"
            ' cgroup_driver = "cgroupfs" allows paths',
        )


def _is_slice(name: str) -> bool:
    return _SLICE_NAME.fullmatch(name) is not None


def scope_properties(group: ControlGroup, *, pids_limit: int, has_subgroup: bool) -> dict[str, str]:
    """Return annotations that set properties of the scope: what systemd would decide otherwise.

    Without TasksMax every scope is bounded by systemd's DefaultTasksMax, which nobody asked for. A
    runtime that has a group of its own below the scope bounds that one, and never updates this.
    """
    if not group.by_systemd:
        return {}
    properties: Mapping[str, str] = {"CollectMode": "'inactive-or-failed'"}
    if has_subgroup or pids_limit <= 0:
        properties = {**properties, "TasksMax": f"uint64 {2**64 - 1}"}
    return {f"org.systemd.property.{name}": value for name, value in properties.items()}
