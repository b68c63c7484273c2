"""Service: the state database (SQLite, WAL), one file per storage root, one writer.

Each noun's package keeps its own SQL and its own numbered migrations and calls
`Database.migrate` with them once when it is constructed. A table has its identity columns plus
one JSON body.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Database"]


class Database:
    """One connection, usable from every thread; transactions are serialised by a lock."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("PRAGMA foreign_keys=ON")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version"
            " (component TEXT PRIMARY KEY, version INTEGER NOT NULL)"
        )

    def migrate(self, component: str, steps: Sequence[str]) -> None:
        """Bring `component` to `len(steps)`; step n is a script that lifts it from n to n+1.

        Idempotent. Steps already published are never edited, only added to.
        """
        with self.transaction() as tx:
            row = tx.execute(
                "SELECT version FROM schema_version WHERE component = ?", (component,)
            ).fetchone()
            done = row["version"] if row else 0
            for step in steps[done:]:
                for statement in step.split(";"):
                    if statement.strip():
                        tx.execute(statement)
            tx.execute(
                "INSERT INTO schema_version VALUES (?, ?)"
                " ON CONFLICT (component) DO UPDATE SET version = excluded.version",
                (component, max(done, len(steps))),
            )

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Commit everything inside or nothing.

        A commit always survives the death of the engine; with `durable` it also survives a
        power cut (one fsync, some milliseconds: call it from a thread). A nested transaction
        joins the outer one.
        """
        with self._lock:
            if self._depth:
                yield self._connection
                return
            if durable:
                self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            else:
                self._connection.execute("COMMIT")
            finally:
                self._depth -= 1
                if durable:
                    self._connection.execute("PRAGMA synchronous=NORMAL")

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Return all rows of a SELECT."""
        with self._lock:
            return self._connection.execute(sql, tuple(parameters)).fetchall()

    def close(self) -> None:
        """Close the connection; the WAL is folded into the file."""
        with self._lock:
            self._connection.close()
