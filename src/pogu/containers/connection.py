"""Service: a container's place in its network: endpoint, published ports, links to others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pogu.containers.entry import Entry
from pogu.containers.links import link_environment, link_names
from pogu.containers.model import ContainerRecord
from pogu.containers.ports import choices, ports_to_publish
from pogu.containers.validate import network_mode
from pogu.errors import Conflict, EngineError, NotFound
from pogu.model.container import ContainerConfig
from pogu.network.service import Endpoint, Networks

__all__ = ["Connections", "Link", "with_links"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Another container as it can be reached now, under that name."""

    alias: str
    container: Entry
    address: str

    def as_extra_host(self) -> str:
        """`names:address`."""
        one = self.container
        names = link_names(self.alias, hostname=one.record.config.hostname, name=one.name)
        return f"{names}:{self.address}"


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

    def links(self, entry: Entry) -> list[Link]:
        """Raises: Conflict in Docker's words when one does not run."""
        host = entry.record.host_config
        found = []
        for link in (host.links or ()) if network_mode(host) == "bridge" else ():
            other_id, _, alias = link.partition(":")
            try:
                other = self._find(other_id)
            except NotFound:
                continue  # removed since: the link went with it
            endpoint = self._networks.endpoint(other.id)
            if not other.active:
                raise Conflict(
                    f"Cannot link to a non running container: /{other.name} AS"
                    f" /{entry.name}/{alias}",
                    hint=f"start it first: pogu start {other.name}",
                )
            if endpoint is not None and endpoint.address:
                found.append(Link(alias=alias, container=other, address=endpoint.address))
        return found


def with_links(entry: Entry, links: list[Link]) -> ContainerConfig:
    """Return its config with the variables of its links, below its own ones."""
    config = entry.record.config
    env: tuple[str, ...] = ()
    for link in links:
        env += link_environment(
            link.container.record, owner=entry.name, alias=link.alias, address=link.address
        )
    return msgspec.structs.replace(config, env=env + (config.env or ())) if env else config
