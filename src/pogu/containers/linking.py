"""Service: links between containers of the default network: who has which, and what it is told.

A link is part of the record of the container that has it; the other one's address stands in its
hosts file, which is changed in place because it is mounted.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pogu.containers.entry import Entry
from pogu.containers.links import link_environment, link_names, parts_of_link
from pogu.containers.registry import Registry
from pogu.containers.rows import Rows
from pogu.containers.validate import network_mode
from pogu.errors import Conflict, InvalidParameter, NotFound
from pogu.model.container import ContainerConfig
from pogu.network.files import with_address
from pogu.network.service import Networks

__all__ = ["Link", "Links", "with_links"]


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


class Links:
    """`<root>/containers/<id>/hosts` of those that run; the rest is in the rows."""

    def __init__(
        self, *, registry: Registry, rows: Rows, networks: Networks, containers: Path
    ) -> None:
        self._registry = registry
        self._rows = rows
        self._networks = networks
        self._containers = containers

    def shown(self, entry: Entry) -> list[str]:
        """`/other:/name/alias`, as inspect shows them; those of removed ones are left out."""
        found = []
        for other, alias in parts_of_link(entry.record.host_config):
            with contextlib.suppress(NotFound):
                found.append(f"/{self._registry.find(other).name}:/{entry.name}/{alias}")
        return found

    def names(self) -> dict[str, list[str]]:
        """`name/alias` of every link, by the ID of the container that it leads to."""
        found: dict[str, list[str]] = {}
        for entry in self._registry:
            for other, alias in parts_of_link(entry.record.host_config):
                found.setdefault(other, []).append(f"{entry.name}/{alias}")
        return found

    def of(self, entry: Entry) -> list[Link]:
        """What a container that starts is told of. Raises: Conflict in Docker's words."""
        host = entry.record.host_config
        found = []
        for other_id, alias in parts_of_link(host) if network_mode(host) == "bridge" else ():
            try:
                other = self._registry.find(other_id)
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

    def follow(self, entry: Entry, address: str) -> None:
        """Tell the running containers that have a link to `entry` its address of this run."""
        for one in self._registry:
            for other, alias in parts_of_link(one.record.host_config) if one.active else ():
                if other == entry.id:
                    self._tell(one, alias, address)

    async def remove(self, name: str) -> None:
        """Remove the link `name/alias`; its other end stays as it is. Durable.

        Raises: NotFound; InvalidParameter in Docker's words for a name that is no link's.
        """
        other = self._registry.find(name)
        parent, _, alias = name.strip("/").rpartition("/")
        if not parent:
            raise InvalidParameter(
                "Conflict, cannot remove the default link name of the container",
                hint=f"--link takes CONTAINER/ALIAS; without it `rm` removes {name} itself",
            )
        entry = self._registry.find(parent)
        async with entry.lock:
            host = entry.record.host_config
            left = tuple(one for one in host.links or () if one != f"{other.id}:{alias}") or None
            host = msgspec.structs.replace(host, links=left)
            entry.record = msgspec.structs.replace(entry.record, host_config=host)
            self._rows.save_record(entry.record)
            if entry.active:
                self._tell(entry, alias, "")
        await self._rows.durable()

    def _tell(self, entry: Entry, alias: str, address: str) -> None:
        """What the container itself wrote into the file stays there."""
        path = self._containers / entry.id / "hosts"
        with contextlib.suppress(OSError), path.open("r+", errors="surrogateescape") as file:
            before = file.read()
            after = with_address(before, alias, address)
            if after != before:
                file.seek(0)
                file.write(after)
                file.truncate()


def with_links(entry: Entry, links: list[Link]) -> ContainerConfig:
    """Return its config with the variables of its links, below its own ones."""
    config = entry.record.config
    env: tuple[str, ...] = ()
    for link in links:
        env += link_environment(
            link.container.record, owner=entry.name, alias=link.alias, address=link.address
        )
    return msgspec.structs.replace(config, env=env + (config.env or ())) if env else config
