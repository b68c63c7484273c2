"""Service: the tables `containers` (fixed at creation but for `update`), `container_states` and
`removed_containers` (the last that are gone, and how they ended).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from pogu.containers.model import ContainerRecord, ContainerState
from pogu.db import Database
from pogu.linux.blocking import in_thread

__all__ = ["RemovedContainer", "Rows"]

_MIGRATIONS = [
    """
    CREATE TABLE containers (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        body BLOB NOT NULL
    );
    CREATE TABLE container_states (
        id TEXT PRIMARY KEY REFERENCES containers (id) ON DELETE CASCADE,
        body BLOB NOT NULL
    )
    """,
    """
    CREATE TABLE removed_containers (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        name TEXT NOT NULL,
        body BLOB NOT NULL
    )
    """,
]
_REMOVED_KEPT = 64


class RemovedContainer(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a container that is gone: no arguments, no environment."""

    id: str
    name: str
    image_name: str
    program: str
    removed_at: str
    memory_bytes: int = 0
    state: ContainerState


class Rows:
    """Plain methods; every commit survives the death of the engine."""

    def __init__(self, db: Database) -> None:
        self._db = db
        db.migrate("containers", _MIGRATIONS)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Whatever is written inside, by others too, is committed as one or not at all."""
        with self._db.transaction():
            yield

    async def durable(self) -> None:
        """Return when every commit so far also survives a power cut."""
        await in_thread(self._db.sync)

    def load(self) -> Iterator[tuple[str, ContainerRecord, ContainerState]]:
        """Yield (name, record, state) of every container."""
        rows = self._db.query(
            "SELECT name, containers.body AS record, container_states.body AS state"
            " FROM containers JOIN container_states USING (id)"
        )
        records = msgspec.json.Decoder(ContainerRecord)
        states = msgspec.json.Decoder(ContainerState)
        for row in rows:
            yield row["name"], records.decode(row["record"]), states.decode(row["state"])

    def insert(self, name: str, record: ContainerRecord, state: ContainerState) -> None:
        with self._db.transaction() as tx:
            body = msgspec.json.encode(record)
            tx.execute("INSERT INTO containers VALUES (?, ?, ?)", (record.id, name, body))
            tx.execute(
                "INSERT INTO container_states VALUES (?, ?)",
                (record.id, msgspec.json.encode(state)),
            )

    def save_state(self, container_id: str, state: ContainerState) -> None:
        body = msgspec.json.encode(state)
        self._db.write(("UPDATE container_states SET body = ? WHERE id = ?", (body, container_id)))

    def save_record(self, record: ContainerRecord) -> None:
        """Replace what was fixed at creation: `update` alone may."""
        with self._db.transaction() as tx:
            tx.execute(
                "UPDATE containers SET body = ? WHERE id = ?",
                (msgspec.json.encode(record), record.id),
            )

    def rename(self, container_id: str, name: str) -> None:
        with self._db.transaction() as tx:
            tx.execute("UPDATE containers SET name = ? WHERE id = ?", (name, container_id))

    def delete(self, container_id: str, remembered: RemovedContainer) -> None:
        """Forget it but for how it ended; only the latest are remembered."""
        self._db.write(
            ("DELETE FROM containers WHERE id = ?", (container_id,)),
            (
                "INSERT INTO removed_containers (id, name, body) VALUES (?, ?, ?)",
                (container_id, remembered.name, msgspec.json.encode(remembered)),
            ),
            (
                "DELETE FROM removed_containers WHERE number <="
                " (SELECT max(number) FROM removed_containers) - ?",
                (_REMOVED_KEPT,),
            ),
        )

    def removed(self, name: str) -> RemovedContainer | None:
        """The latest one of that name, ID or beginning of an ID."""
        rows = self._db.query(
            "SELECT body FROM removed_containers WHERE name = ? OR substr(id, 1, ?) = ?"
            " ORDER BY number DESC LIMIT 1",
            (name, len(name), name),
        )
        found = [msgspec.json.decode(row["body"], type=RemovedContainer) for row in rows]
        return found[0] if found else None
