"""Service: a container's place in its network: endpoint, published ports."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from pogu.containers.entry import Entry
from pogu.containers.model import ContainerRecord
from pogu.containers.ports import choices, ports_to_publish
from pogu.containers.validate import network_mode
from pogu.errors import Conflict, EngineError
from pogu.network.service import Endpoint, Networks

__all__ = ["Connections"]


class Connections:
    """`find` raises NotFound."""

    def __init__(self, *, networks: Networks, find: Callable[[str], Entry]) -> None:
        self._networks = networks
        self._find = find

    async def connect(self, record: ContainerRecord, netns: Path | None) -> Endpoint | None:
        """Connect and publish; of a range of host ports the first free one is taken.

        None when the network is the host's, or another container's. `netns` is used where there
        is one already.
        """
        mode = network_mode(record.host_config)
        if mode == "host" or mode.startswith("container:"):
            return None
        wanted = ports_to_publish(record.config, record.host_config) if mode != "none" else []
        asked = (record.networking.endpoints_config or {}).get(mode)
        mac = record.config.mac_address or (asked.mac_address if asked else "")
        local = (asked.ipam_config or {}).get("LinkLocalIPs") if asked else None
        last_error: Conflict | None = None
        for ports in choices(wanted):
            try:
                return await self._networks.connect(
                    record.id,
                    network=mode,
                    ports=ports,
                    mac_address=mac,
                    link_local=[str(one) for one in local] if isinstance(local, list) else (),
                    netns=netns,
                )
            except Conflict as err:
                last_error = self._named(err)
        assert last_error is not None
        raise last_error

    def _named(self, error: Conflict) -> Conflict:
        """Networks know their owners by ID only: people know them by name."""
        for word in (error.hint or "").split():
            if len(word) == 12 and error.hint is not None:
                with contextlib.suppress(EngineError):
                    error.hint = error.hint.replace(word, f"{self._find(word).name} ({word})")
        return error
