"""Service: results of steps; owns the table `build_cache`.

A record's key is made of everything that goes into the step. Beside the result stands what went in,
readable, and the place in which build it was: so the next miss at that place can say why.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from pogu.db import Database
from pogu.oci.digest import ChainId

__all__ = ["BuildCache", "CacheEntry", "CacheRecord", "StepInputs", "miss_reason"]

_MIGRATIONS = [
    """
    CREATE TABLE build_cache (
        key TEXT PRIMARY KEY,
        place TEXT NOT NULL,
        top_layer TEXT,
        created TEXT NOT NULL,
        empty INTEGER NOT NULL,
        inputs BLOB NOT NULL,
        used INTEGER NOT NULL
    );
    CREATE INDEX build_cache_by_place ON build_cache (place, used)
    """
]


class StepInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a step depends on, in words."""

    parent: str
    base: str
    text: str
    args: dict[str, str] = {}
    files: dict[str, str] = {}

    def key(self) -> str:
        """The cache key: equal inputs, equal key."""
        hashed = hashlib.sha256(f"{self.parent}\n{self.text}\n".encode())
        for kind, values in (("arg", self.args), ("file", self.files)):
            for name in sorted(values):
                line = f"{kind} {name}={values[name]}\n"
                hashed.update(line.encode("utf-8", "surrogateescape"))
        return hashed.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRecord:
    """A step's result: the layer on top after it, and when it was made."""

    top_layer: ChainId | None
    created: str
    empty: bool
    packed_inputs: bytes = field(repr=False, default=b"")

    def inputs(self) -> StepInputs:
        """What went in. Decoded when asked for: only a miss needs it."""
        return msgspec.msgpack.decode(zlib.decompress(self.packed_inputs), type=StepInputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """One record as `system df` lists it."""

    key: str
    top_layer: ChainId | None
    created: str
    used_ns: int
    text: str
    empty: bool = False
    """The step changed only the config: `top_layer` is that of the step before it."""

    @property
    def short_key(self) -> str:
        """What people are shown."""
        return self.key[:25]


class BuildCache:
    """Plain methods on the state database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        db.migrate("build_cache", _MIGRATIONS)

    def find(self, key: str) -> CacheRecord | None:
        rows = self._db.query("SELECT * FROM build_cache WHERE key = ?", (key,))
        return self._record(rows[0]) if rows else None

    def latest_at(self, place: str) -> CacheRecord | None:
        """The newest record of the same place in the same build."""
        rows = self._db.query(
            "SELECT * FROM build_cache WHERE place = ? ORDER BY used DESC LIMIT 1", (place,)
        )
        return self._record(rows[0]) if rows else None

    def _record(self, row: sqlite3.Row) -> CacheRecord:
        return CacheRecord(
            top_layer=row["top_layer"],
            created=str(row["created"]),
            empty=bool(row["empty"]),
            packed_inputs=row["inputs"],
        )

    def add(self, place: str, inputs: StepInputs, record: CacheRecord, *, now_ns: int) -> None:
        packed = zlib.compress(msgspec.msgpack.encode(inputs), 1)
        with self._db.transaction() as tx:
            tx.execute(
                "INSERT OR REPLACE INTO build_cache VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    inputs.key(),
                    place,
                    record.top_layer,
                    record.created,
                    record.empty,
                    packed,
                    now_ns,
                ),
            )

    def records(self) -> list[CacheEntry]:
        """Every record, last used first; without what went in."""
        rows = self._db.query(
            "SELECT key, top_layer, created, used, inputs, empty FROM build_cache"
            " ORDER BY used DESC"
        )
        decoder = msgspec.msgpack.Decoder(StepInputs)
        return [
            CacheEntry(
                key=row["key"],
                top_layer=row["top_layer"],
                created=row["created"],
                used_ns=row["used"],
                text=decoder.decode(zlib.decompress(row["inputs"])).text.partition("\n")[0],
                empty=bool(row["empty"]),
            )
            for row in rows
        ]

    def forget(self, *keys: str) -> None:
        """Idempotent."""
        with self._db.transaction() as tx:
            tx.executemany("DELETE FROM build_cache WHERE key = ?", [(key,) for key in keys])

    def layers(self) -> set[ChainId]:
        """Every layer that a record names."""
        rows = self._db.query(
            "SELECT DISTINCT top_layer FROM build_cache WHERE top_layer IS NOT NULL"
        )
        return {row["top_layer"] for row in rows}


def miss_reason(now: StepInputs, before: StepInputs | None) -> str:
    """Say what differs from the last time that this place was built."""
    if before is None:
        return "not built before"
    if before.text != now.text:
        return f"instruction changed (was: {_shortened(before.text)})"
    for name in sorted(now.args.keys() | before.args.keys()):
        if now.args.get(name) != before.args.get(name):
            return f"build arg {name} changed"
    files = _file_changes(now.files, before.files)
    if files:
        return files
    if before.base != now.base:
        return f"base image changed ({before.base} → {now.base})"
    if before.parent != now.parent:
        return "a step before it changed"
    return "its cached layer was removed"


def _file_changes(now: Mapping[str, str], before: Mapping[str, str]) -> str:
    changed = [name for name in sorted(now) if name in before and now[name] != before[name]]
    added = sorted(now.keys() - before.keys())
    removed = sorted(before.keys() - now.keys())
    words = [
        *(f"file {name} changed" for name in changed),
        *(f"file {name} added" for name in added),
        *(f"file {name} removed" for name in removed),
    ]
    if not words:
        return ""
    more = f" and {len(words) - 1} more" if len(words) > 1 else ""
    return words[0] + more


def _shortened(text: str, length: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
