"""Service: new limits and a new restart policy for a container, at once when it runs."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from pogu.containers.entry import Entry
from pogu.containers.limit_rules import kernel_memory_warnings
from pogu.containers.limits import resources_of
from pogu.containers.model import Status
from pogu.containers.rows import Rows
from pogu.containers.states import States
from pogu.containers.update import changes_limits, updated
from pogu.containers.validate import check_changeable
from pogu.errors import Conflict, EngineError
from pogu.linux.cgroup import CgroupSetup
from pogu.model.container import HostConfig, UpdateRequest
from pogu.runtime.oci_runtime import OciRuntime
from pogu.runtime.workload import Resources

__all__ = ["Updates"]


class Updates:
    """What may follow what is `update.py`'s."""

    def __init__(
        self, *, states: States, rows: Rows, runtime: OciRuntime, cgroup: CgroupSetup
    ) -> None:
        self._states = states
        self._rows = rows
        self._runtime = runtime
        self._cgroup = cgroup

    async def update(self, entry: Entry, asked: UpdateRequest) -> list[str]:
        """Return warnings. Raises: InvalidParameter, Conflict; then nothing has changed."""
        host = updated(entry.record.host_config, asked)
        warnings = check_changeable(host) + kernel_memory_warnings(asked.kernel_memory)
        limits = None
        if changes_limits(asked):
            limits, more = resources_of(host, self._cgroup)
            warnings += more
            if asked.pids_limit is not None and not limits.pids_limit:
                limits = replace(limits, pids_limit=-1)
        await self._apply(entry, host, limits)
        await self._rows.durable()
        return warnings

    async def _apply(self, entry: Entry, host: HostConfig, limits: Resources | None) -> None:
        """The row comes last: what the kernel refuses is not on record."""
        async with entry.lock:
            if entry.removed or entry.state.status in (Status.REMOVING, Status.DEAD):
                raise Conflict('Container is marked for removal and cannot be "update".')
            if limits is not None and entry.active:
                await self._set(entry, limits)
            entry.record = msgspec.structs.replace(entry.record, host_config=host)
            self._rows.save_record(entry.record)
        self._states.publish(entry, "update")

    async def _set(self, entry: Entry, limits: Resources) -> None:
        try:
            await self._runtime.update(entry.id, limits)
        except EngineError as err:
            raise type(err)(
                f"Cannot update container {entry.id}: {err.message}", hint=err.hint
            ) from err
