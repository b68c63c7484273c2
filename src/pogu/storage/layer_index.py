"""Service: which layers there are; owns the table `layers` and a copy of it in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from pathlib import Path

from pogu.db import Database
from pogu.errors import NotFound
from pogu.oci.digest import ChainId
from pogu.storage.layer import Layer

__all__ = ["LayerIndex"]

_MIGRATIONS = [
    """
    CREATE TABLE layers (
        chain_id TEXT PRIMARY KEY,
        diff_id TEXT NOT NULL,
        parent TEXT REFERENCES layers (chain_id),
        short_id TEXT NOT NULL UNIQUE,
        size_bytes INTEGER NOT NULL
    );
    CREATE INDEX layers_by_parent ON layers (parent)
    """,
    "ALTER TABLE layers ADD COLUMN tar_bytes INTEGER",
]


class LayerIndex:
    """Reads from any thread; who writes holds the lock of `LayerStore`."""

    def __init__(self, db: Database, directory: Path) -> None:
        self._db = db
        self._directory = directory
        db.migrate("layers", _MIGRATIONS)
        self._layers = {
            layer.chain_id: layer
            for layer in (self._from_row(row) for row in db.query("SELECT * FROM layers"))
        }

    def _from_row(self, row: sqlite3.Row) -> Layer:
        return Layer(
            chain_id=row["chain_id"],
            diff_id=row["diff_id"],
            parent=row["parent"],
            short_id=row["short_id"],
            path=self._directory / row["short_id"] / "diff",
            size_bytes=row["size_bytes"],
            tar_bytes=row["tar_bytes"],
        )

    def find(self, chain_id: ChainId) -> Layer | None:
        return self._layers.get(chain_id)

    def get(self, chain_id: ChainId) -> Layer:
        """Return the layer. Raises: NotFound."""
        try:
            return self._layers[chain_id]
        except KeyError as err:
            raise NotFound(f"layer {chain_id} not found") from err

    def chain(self, top: ChainId | None) -> list[Layer]:
        """Return the layers from the bottom to `top`; empty for None (scratch)."""
        layers = []
        while top is not None:
            layer = self.get(top)
            layers.append(layer)
            top = layer.parent
        return layers[::-1]

    def all(self) -> list[Layer]:
        return list(self._layers.values())

    def short_ids(self) -> set[str]:
        """The names of their directories."""
        return {layer.short_id for layer in self._layers.values()}

    def insert(self, layer: Layer) -> None:
        """Durable."""
        with self._db.transaction(durable=True) as tx:
            tx.execute(
                "INSERT INTO layers VALUES (?, ?, ?, ?, ?, ?)",
                (
                    layer.chain_id,
                    layer.diff_id,
                    layer.parent,
                    layer.short_id,
                    layer.size_bytes,
                    layer.tar_bytes,
                ),
            )
        self._layers[layer.chain_id] = layer

    def delete(self, chain_ids: Iterable[ChainId]) -> None:
        """Each before its parent."""
        doomed = list(chain_ids)
        with self._db.transaction() as tx:
            for one in doomed:
                tx.execute("DELETE FROM layers WHERE chain_id = ?", (one,))
        for one in doomed:
            self._layers.pop(one, None)

    def delete_lost(self, present: Collection[str]) -> None:
        """Forget layers whose directory is not `present`, with all that stand on them: before
        images are read, so that those of them are known to be broken."""
        lost = {layer.chain_id for layer in self._layers.values() if layer.short_id not in present}
        if lost:
            self.delete(reversed(list(self._with_children(lost))))

    def _with_children(self, roots: Iterable[ChainId]) -> dict[ChainId, None]:
        found: dict[ChainId, None] = {}
        front = list(roots)
        while front:
            for one in front:
                found.pop(one, None)
                found[one] = None
            above = set(front)
            front = [layer.chain_id for layer in self._layers.values() if layer.parent in above]
        return found
