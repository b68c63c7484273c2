"""Service: the state database (SQLite, WAL), one file per storage root, one writer.

Each noun's package keeps its own SQL and its own numbered migrations and calls
`Database.migrate` with them once when it is constructed. A table has its identity columns plus
one JSON body.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pogu.crash_point import crash_point
from pogu.errors import DataLoss, EngineError, SystemFailure
from pogu.host_failure import host_failure

__all__ = ["Database"]

_RESERVE_BYTES = 1 << 20
"""What stop and remove may write once the disk is full: without it nobody could make room."""


_ROOM_BYTES = 8 * _RESERVE_BYTES
"""So much is free before the reserve is taken anew."""

_COPY = (
    "put a copy of it in its place; containers/, layers/ and volumes/ beside it"
    " hold the data and are left as they are"
)
_DISK_REFUSES = (
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
)

_FOR_COMMITS_BYTES = _RESERVE_BYTES * 3 // 4
"""Of the reserve: the log of commits has it at once, before a container's output takes it."""


def _keep_free(reserve: Path) -> None:
    """Idempotent; without room nothing happens."""
    if reserve.exists():
        return
    try:
        fd = os.open(reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return  # no inode is left
    try:
        os.posix_fallocate(fd, 0, _RESERVE_BYTES)
    except OSError:
        reserve.unlink()  # the disk is full already
    finally:
        os.close(fd)


class Database:
    """One connection, usable from every thread; transactions are serialised by a lock."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._path = path
        self._reserve = path.with_suffix(".reserve")
        self._reserve_gone = False
        self._log = path.with_name(f"{path.name}-wal")
        _keep_free(self._reserve)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)  # it holds the environment of containers: passwords
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute("PRAGMA foreign_keys=ON")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_version"
                " (component TEXT PRIMARY KEY, version INTEGER NOT NULL)"
            )
            self.is_new = not self._connection.execute("SELECT 1 FROM schema_version").fetchone()
        except sqlite3.DatabaseError as err:
            self._connection.close()
            raise self._failure(err) from err

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
        joins the outer one. Raises: SystemFailure when the disk refuses; DataLoss.
        """
        with self._lock:
            if self._depth:
                yield self._connection
                return
            if durable:
                self._connection.execute("PRAGMA synchronous=FULL")
            self._depth += 1
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                crash_point()
                self._connection.execute("COMMIT")
                crash_point()
                self._renew_reserve()
            except BaseException as err:
                if self._connection.in_transaction:  # SQLite itself has ended some that failed
                    self._connection.execute("ROLLBACK")
                if isinstance(err, sqlite3.DatabaseError):
                    raise self._failure(err) from err
                raise
            finally:
                self._depth -= 1
                if durable:
                    self._connection.execute("PRAGMA synchronous=NORMAL")

    def write(self, *statements: tuple[str, Sequence[object]]) -> None:
        """Commit these or nothing; on a full disk by what the reserve held.

        Raises: as `transaction`.
        """
        for last in (False, True):
            had_reserve = self._reserve.exists()
            try:
                with self.transaction() as tx:
                    for sql, parameters in statements:
                        tx.execute(sql, tuple(parameters))
            except SystemFailure:
                if last or self._depth or not had_reserve or self._reserve.exists():
                    raise
            else:
                return

    def _failure(self, err: sqlite3.DatabaseError) -> EngineError:
        """What SQLite could not do, in the words of what refused it."""
        kind = getattr(err, "sqlite_errorcode", 0) & 0xFF
        if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return DataLoss(f"cannot read the state database {self._path}: {err}", hint=_COPY)
        if kind == sqlite3.SQLITE_FULL:
            self._let_reserve_go()
            return SystemFailure(
                "write state.db: no space left on device",
                hint="a small reserve was let go: stop or remove something now (`pogu rm"
                " -f`, `pogu system prune`); `df -h` shows the disk",
            )
        if kind not in _DISK_REFUSES:
            raise err
        try:  # SQLite keeps the kernel's reason to itself
            os.utime(self._log)
        except FileNotFoundError:
            hint = "the engine must be stopped before its files are touched; `pogu engine restart`"
            return SystemFailure(f"state.db: its log {self._log} was removed", hint=hint)
        except OSError as refusal:
            if found := host_failure(refusal):
                return found
        return SystemFailure(
            f"write state.db: {err}", hint="`dmesg` shows what the disk said, `df -h` its space"
        )

    def _let_reserve_go(self) -> None:
        """Give most of it to the log; what lies behind its last commit SQLite passes over."""
        self._reserve.unlink(missing_ok=True)
        self._reserve_gone = True
        fd = os.open(self._log, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.posix_fallocate(fd, os.fstat(fd).st_size, _FOR_COMMITS_BYTES)
        except OSError:
            return  # it was let go before
        finally:
            os.close(fd)

    def _renew_reserve(self) -> None:
        """Take it again when there is room again."""
        if self._reserve_gone:
            space = os.statvfs(self._path.parent)
            if space.f_bavail * space.f_frsize > _ROOM_BYTES:
                _keep_free(self._reserve)
                self._reserve_gone = not self._reserve.exists()

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Undo at the end all that is written inside the block. Not inside a transaction.

        Everybody else waits meanwhile: what is in the block is quick.
        """
        with self._lock:
            assert not self._depth, "a rehearsal stands by itself"
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                self._connection.execute("ROLLBACK")

    def sync(self) -> None:
        """Make what was committed so far outlive a power cut too. Slow."""
        fd = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Return all rows of a SELECT."""
        with self._lock:
            try:
                return self._connection.execute(sql, tuple(parameters)).fetchall()
            except sqlite3.DatabaseError as err:
                raise self._failure(err) from err

    def close(self) -> None:
        """Close the connection; the WAL is folded into the file."""
        with self._lock:
            self._connection.close()
