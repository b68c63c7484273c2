"""Service: as which blobs layers and images came in or went out; owns the tables `layer_blobs`,
`blob_origins` and `manifests`.

So that a layer goes back byte for byte, an existing blob is mounted instead of sent, and an image
keeps the digest by which others know it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from pogu.db import Database
from pogu.oci.digest import DiffId, Digest

__all__ = ["LayerBlob", "Provenance", "StoredManifest"]

_MIGRATIONS = [
    """
    CREATE TABLE layer_blobs (
        digest TEXT PRIMARY KEY,
        diff_id TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size_bytes INTEGER NOT NULL
    );
    CREATE INDEX layer_blobs_by_diff_id ON layer_blobs (diff_id);
    CREATE TABLE blob_origins (
        digest TEXT NOT NULL,
        repository TEXT NOT NULL,
        PRIMARY KEY (digest, repository)
    );
    CREATE TABLE manifests (
        digest TEXT PRIMARY KEY,
        image_id TEXT NOT NULL,
        media_type TEXT NOT NULL
    );
    CREATE INDEX manifests_by_image ON manifests (image_id)
    """,
    """
    ALTER TABLE layer_blobs ADD COLUMN packing TEXT NOT NULL DEFAULT '';
    ALTER TABLE manifests ADD COLUMN packing TEXT NOT NULL DEFAULT ''
    """,
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBlob:
    """One form of a layer: compressed or not; `packing` names the compression that somebody asked
    for, empty for what came from elsewhere or was packed without asking."""

    digest: Digest
    diff_id: DiffId
    media_type: str
    size_bytes: int
    packing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredManifest:
    """A manifest whose bytes lie in the blob store; `packing` as of a `LayerBlob`."""

    digest: Digest
    media_type: str
    packing: str = ""


class Provenance:
    """Plain methods on the state database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        db.migrate("provenance", _MIGRATIONS)

    def add_layer(self, blob: LayerBlob) -> None:
        """Idempotent; a form that is there without asking stays one."""
        with self._db.transaction() as tx:
            packing = _packing(tx, "layer_blobs", blob.digest, blob.packing)
            tx.execute(
                "INSERT OR REPLACE INTO layer_blobs VALUES (?, ?, ?, ?, ?)",
                (blob.digest, blob.diff_id, blob.media_type, blob.size_bytes, packing),
            )

    def layer(self, diff_id: DiffId) -> list[LayerBlob]:
        """Every known form of a layer."""
        rows = self._db.query("SELECT * FROM layer_blobs WHERE diff_id = ?", (diff_id,))
        return [_layer_blob(row) for row in rows]

    def layers(self) -> list[LayerBlob]:
        """Every known form of every layer."""
        return [_layer_blob(row) for row in self._db.query("SELECT * FROM layer_blobs")]

    def seen_at(self, digest: Digest, repository: str) -> None:
        """A blob is (or was) in that repository (with its domain)."""
        with self._db.transaction() as tx:
            tx.execute("INSERT OR IGNORE INTO blob_origins VALUES (?, ?)", (digest, repository))

    def origins(self, digest: Digest) -> list[str]:
        rows = self._db.query("SELECT repository FROM blob_origins WHERE digest = ?", (digest,))
        return [row["repository"] for row in rows]

    def add_manifest(
        self, digest: Digest, image_id: Digest, media_type: str, *, packing: str = ""
    ) -> None:
        """As `add_layer`; the latest stands first in `manifests`."""
        with self._db.transaction() as tx:
            packing = _packing(tx, "manifests", digest, packing)
            tx.execute(
                "INSERT OR REPLACE INTO manifests VALUES (?, ?, ?, ?)",
                (digest, image_id, media_type, packing),
            )

    def manifests(self, image_id: Digest) -> list[StoredManifest]:
        """The forms in which registries know an image, the latest first."""
        rows = self._db.query(
            "SELECT * FROM manifests WHERE image_id = ? ORDER BY rowid DESC", (image_id,)
        )
        return [
            StoredManifest(
                digest=row["digest"], media_type=row["media_type"], packing=row["packing"]
            )
            for row in rows
        ]

    def image_of(self, manifest: Digest) -> Digest | None:
        """The image that a manifest describes; it may be gone."""
        rows = self._db.query("SELECT image_id FROM manifests WHERE digest = ?", (manifest,))
        return Digest(rows[0]["image_id"]) if rows else None

    def recorded_layers(self) -> list[LayerBlob]:
        """Every form of every layer; its blob need not be here."""
        rows = self._db.query("SELECT * FROM layer_blobs")
        return [
            LayerBlob(
                digest=row["digest"],
                diff_id=row["diff_id"],
                media_type=row["media_type"],
                size_bytes=row["size_bytes"],
            )
            for row in rows
        ]

    def recorded_manifests(self) -> dict[Digest, Digest]:
        """Image by manifest."""
        rows = self._db.query("SELECT digest, image_id FROM manifests")
        return {Digest(row["digest"]): Digest(row["image_id"]) for row in rows}

    def forget_manifest(self, digest: Digest) -> None:
        """Its bytes are lost. Idempotent."""
        with self._db.transaction() as tx:
            tx.execute("DELETE FROM manifests WHERE digest = ?", (digest,))

    def forget_blobs(
        self, keep_layers: set[DiffId], keep_images: set[Digest], also: set[Digest]
    ) -> set[Digest]:
        """Drop what belongs to no layer and no image any more and is not one of `also`; return
        every blob that stays."""
        with self._db.transaction() as tx:
            for row in tx.execute("SELECT digest, diff_id FROM layer_blobs").fetchall():
                if row["diff_id"] not in keep_layers:
                    tx.execute("DELETE FROM layer_blobs WHERE digest = ?", (row["digest"],))
            for row in tx.execute("SELECT digest, image_id FROM manifests").fetchall():
                if row["image_id"] not in keep_images:
                    tx.execute("DELETE FROM manifests WHERE digest = ?", (row["digest"],))
            rows = tx.execute(
                "SELECT digest FROM layer_blobs UNION SELECT digest FROM manifests"
            ).fetchall()
            kept = also | {Digest(row["digest"]) for row in rows}
            for row in tx.execute("SELECT DISTINCT digest FROM blob_origins").fetchall():
                if row["digest"] not in kept:
                    tx.execute("DELETE FROM blob_origins WHERE digest = ?", (row["digest"],))
        return kept


def _packing(tx: sqlite3.Connection, table: str, digest: Digest, new: str) -> str:
    row = tx.execute(f"SELECT packing FROM {table} WHERE digest = ?", (digest,)).fetchone()
    return "" if row is not None and row["packing"] == "" else new


def _layer_blob(row: sqlite3.Row) -> LayerBlob:
    return LayerBlob(
        digest=row["digest"],
        diff_id=row["diff_id"],
        media_type=row["media_type"],
        size_bytes=row["size_bytes"],
        packing=row["packing"],
    )
