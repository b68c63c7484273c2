"""Service: the containers in memory: by ID, by name, by what they use."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from pogu.containers.entry import Entry
from pogu.containers.links import parts_of_link
from pogu.errors import Conflict, InvalidParameter, NotFound

__all__ = ["Registry"]

_HEX = frozenset("0123456789abcdef")


class Registry:
    """Plain methods, event-loop thread only."""

    def __init__(self) -> None:
        self._names: dict[str, Entry] = {}
        self._entries: dict[str, Entry] = {}

    def __iter__(self) -> Iterator[Entry]:
        """Every container; the registry may change meanwhile."""
        return iter(list(self._entries.values()))

    def __contains__(self, entry: Entry) -> bool:
        return self._entries.get(entry.id) is entry

    def add(self, entry: Entry) -> None:
        self._entries[entry.id] = entry
        self._names[entry.name] = entry

    def forget(self, entry: Entry) -> None:
        """Idempotent."""
        self._entries.pop(entry.id, None)
        if self._names.get(entry.name) is entry:
            del self._names[entry.name]

    def is_taken(self, name: str) -> bool:
        return name in self._names

    def rename(self, entry: Entry, name: str) -> None:
        self._names.pop(entry.name, None)
        entry.name = name
        self._names[name] = entry

    def find(self, name: str) -> Entry:
        """By name, ID or unambiguous prefix. Raises: NotFound, InvalidParameter."""
        wanted = name.removeprefix("/")
        entry = self._entries.get(wanted) or self._names.get(wanted)
        if entry is not None:
            return entry
        if "/" in wanted and (entry := self._linked(wanted)) is not None:
            return entry
        found = []
        if wanted and _HEX.issuperset(wanted):
            found = [one for one in self._entries.values() if one.id.startswith(wanted)]
        if len(found) > 1:
            listed = ", ".join(f"{one.id[:12]} ({one.name})" for one in found[:8])
            raise InvalidParameter(
                f"Multiple IDs found with provided prefix: {wanted}: {listed}",
                hint="give more digits of the ID, or the name",
            )
        if not found:
            near = difflib.get_close_matches(wanted, self._names, 1, 0.6)
            hint = f"did you mean {near[0]}?" if near else "`pogu ps -a` lists all containers"
            raise NotFound(f"No such container: {name}", hint=hint)
        return found[0]

    def _linked(self, name: str) -> Entry | None:
        """What `name/alias` of a link leads to."""
        parent, _, alias = name.rpartition("/")
        owner = self._names.get(parent)
        for other, called in parts_of_link(owner.record.host_config) if owner else ():
            if called == alias:
                return self._entries.get(other)
        return None

    def check_free(self, name: str) -> None:
        """Raises: Conflict when the name is in use, naming its owner in Docker's words."""
        owner = self._names.get(name)
        if owner is not None:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container'
                f' "{owner.id}". You have to remove (or rename) that container to be able to'
                " reuse that name.",
                hint=f"pogu rm {'-f ' if owner.active else ''}{name}   (it is"
                f" {owner.state.status}, made from {owner.record.image_name})",
            )

    def volume_users(self) -> dict[str, set[str]]:
        """IDs of the running containers that mount each volume."""
        users: dict[str, set[str]] = {}
        for entry in self._entries.values():
            for mount in entry.record.mounts if entry.active else ():
                if mount.type == "volume":
                    users.setdefault(mount.name, set()).add(entry.id)
        return users

    def using_volume(self, name: str) -> list[str]:
        """IDs of the containers that mount a volume and do not take it along when they go."""
        return [
            entry.id
            for entry in self._entries.values()
            if not entry.state.removes_volumes
            and any(mount.type == "volume" and mount.name == name for mount in entry.record.mounts)
        ]
