"""Service: the tables `containers` (fixed at creation but for `update`) and `container_states`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from pogu.containers.model import ContainerRecord, ContainerState
from pogu.db import Database
from pogu.linux.blocking import in_thread

__all__ = ["Rows"]

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
    """
]


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
        with self._db.transaction() as tx:
            tx.execute(
                "UPDATE container_states SET body = ? WHERE id = ?",
                (msgspec.json.encode(state), container_id),
            )

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

    def delete(self, container_id: str) -> None:
        with self._db.transaction() as tx:
            tx.execute("DELETE FROM containers WHERE id = ?", (container_id,))
