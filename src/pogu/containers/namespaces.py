"""Service: the namespaces of other containers, for those that share them (`container:NAME`)."""

from __future__ import annotations

import os
from collections.abc import Callable

from pogu.containers.entry import Entry
from pogu.containers.model import ContainerRecord
from pogu.containers.validate import network_mode
from pogu.errors import Conflict
from pogu.linux.idmap import IdMapping
from pogu.linux.userns import mapping_of_process

__all__ = ["Namespaces"]


class Namespaces:
    """`find` raises NotFound."""

    def __init__(self, find: Callable[[str], Entry]) -> None:
        self._find = find

    def path_of(self, name: str, kind: str) -> str:
        """Return the file of a running container's namespace. Raises: Conflict."""
        entry = self._find(name)
        if not entry.active:
            words = {"net": "network"}.get(kind, kind.upper())
            raise Conflict(
                f"cannot join {words} of a non running container: {entry.id}",
                hint=f"start it first: pogu start {entry.name}",
            )
        return f"/proc/{entry.state.pid}/ns/{kind}"

    def joined_network(self, record: ContainerRecord) -> str | None:
        """Return the network namespace that is joined, for `--network container:…`."""
        mode = network_mode(record.host_config)
        if not mode.startswith("container:"):
            return None
        return self.path_of(mode.removeprefix("container:"), "net")

    def joined_user(self, record: ContainerRecord, mapping: IdMapping) -> str:
        """Who shares a namespace of another container shares its user namespace: others may not
        enter. Empty when it shares none. Raises: Conflict when that has other IDs.
        """
        host = record.host_config
        modes = (network_mode(host), host.pid_mode, host.ipc_mode)
        names = [mode.partition(":")[2] for mode in modes if mode.startswith("container:")]
        found = {}
        for name in names:
            path = self.path_of(name, "user")
            found[os.stat(path).st_ino] = path
            if len(found) > 1 or mapping_of_process(self._find(name).state.pid) != mapping:
                raise Conflict(
                    f"cannot join container {self._find(name).name}: it has another user namespace",
                    hint="--userns=host joins any; --userns=remap those that are remapped too",
                )
        return next(iter(found.values()), "")
