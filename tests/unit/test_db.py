"""The state database: migrations and transactions."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pogu.db import Database
from pogu.errors import DataLoss, SystemFailure

STEPS = ["CREATE TABLE a (x INTEGER)", "ALTER TABLE a ADD COLUMN y INTEGER; CREATE TABLE b (z)"]


@pytest.fixture
def db(tmp_path: Path) -> Database:
    database = Database(tmp_path / "state.db")
    database.migrate("test", STEPS)
    return database


def test_migrations_run_once_and_only_the_new_ones(db: Database) -> None:
    db.migrate("test", STEPS)
    db.migrate("test", [*STEPS, "INSERT INTO a VALUES (1, 2)"])
    db.migrate("test", [*STEPS, "INSERT INTO a VALUES (1, 2)"])
    assert [tuple(row) for row in db.query("SELECT * FROM a")] == [(1, 2)]
    db.close()


def test_a_failed_transaction_leaves_nothing(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.transaction() as tx:
        tx.execute("INSERT INTO a VALUES (1, 1)")
        raise ZeroDivisionError
    assert db.query("SELECT * FROM a") == []
    db.close()


def test_an_inner_transaction_belongs_to_the_outer_one(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.transaction(durable=True) as outer:
        outer.execute("INSERT INTO a VALUES (1, 1)")
        with db.transaction() as inner:
            inner.execute("INSERT INTO a VALUES (2, 2)")
        raise ZeroDivisionError
    assert db.query("SELECT * FROM a") == []
    db.close()


def test_what_was_committed_is_there_after_opening_again(tmp_path: Path) -> None:
    first = Database(tmp_path / "state.db")
    first.migrate("test", STEPS)
    with first.transaction(durable=True) as tx:
        tx.execute("INSERT INTO b VALUES ('kept')")
    second = Database(tmp_path / "state.db")
    assert second.query("SELECT z FROM b WHERE z = ?", ["kept"])[0]["z"] == "kept"
    first.close()
    second.close()


def test_a_sync_reaches_the_log_that_holds_the_commits(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    db.sync()
    assert synced == [str(tmp_path / "state.db-wal")]
    db.close()


def test_a_full_disk_lets_go_of_the_reserve_and_the_next_transaction_works(
    db: Database, tmp_path: Path
) -> None:
    reserve = tmp_path / "state.reserve"
    assert reserve.stat().st_blocks * 512 >= 1 << 20
    pages = db.query("PRAGMA page_count")[0][0]
    with pytest.raises(SystemFailure, match="no space left"), db.transaction() as tx:
        tx.execute(f"PRAGMA max_page_count = {pages}")
        tx.execute("INSERT INTO b VALUES (zeroblob(100000))")
    assert not reserve.exists()
    db.query("PRAGMA max_page_count = 1000000")
    with db.transaction() as tx:
        tx.execute("INSERT INTO b VALUES (zeroblob(100000))")
    assert db.query("SELECT length(z) FROM b")[0][0] == 100_000
    db.close()


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"something else " * 1000)
    with pytest.raises(DataLoss, match="cannot read the state database"):
        Database(path)
    assert path.read_bytes() == b"something else " * 1000


def test_only_its_owner_reads_it(db: Database, tmp_path: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("state.db*")} == {0o600}
    db.close()


def test_what_is_synced_can_be_read_from_the_log_alone(tmp_path: Path) -> None:
    db = Database(tmp_path / "state.db")
    db.migrate("x", ["CREATE TABLE x (a)"])
    with db.transaction() as tx:
        tx.execute("INSERT INTO x VALUES ('written')")
    db.sync()
    assert b"written" in (tmp_path / "state.db-wal").read_bytes()
    db.close()


def test_what_the_reserve_gives_to_the_log_is_no_commit(tmp_path: Path) -> None:
    """As after a kill: the files are copied while the database is open."""
    database = Database(tmp_path / "state.db")
    database.migrate("x", ["CREATE TABLE x (n INTEGER)"])
    for number in range(3):
        with database.transaction() as tx:
            tx.execute("INSERT INTO x VALUES (?)", (number,))
        database._let_reserve_go()
    assert (tmp_path / "state.db-wal").stat().st_size > 1 << 20
    (tmp_path / "copy").mkdir()
    for name in ("state.db", "state.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / "copy" / name)
    found = Database(tmp_path / "copy" / "state.db")
    assert [row["n"] for row in found.query("SELECT n FROM x ORDER BY n")] == [0, 1, 2]
    found.close()
    database.close()


def on_a_full_disk(db: Database) -> int:
    """Let SQLite find no room for more pages; return how to undo it."""
    pages = int(db.query("PRAGMA page_count")[0][0])
    db.query(f"PRAGMA max_page_count = {pages}")
    return 1_000_000


def test_the_reserve_comes_back_when_there_is_room(db: Database, tmp_path: Path) -> None:
    enough = on_a_full_disk(db)
    with pytest.raises(SystemFailure, match="no space left"):
        db.write(("INSERT INTO b VALUES (zeroblob(100000))", ()))
    assert not (tmp_path / "state.reserve").exists()
    db.query(f"PRAGMA max_page_count = {enough}")
    db.write(("INSERT INTO b VALUES (zeroblob(100000))", ()))
    assert (tmp_path / "state.reserve").exists()
    db.close()


def test_a_write_goes_on_by_what_the_reserve_held(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    enough, let_go = on_a_full_disk(db), db._let_reserve_go

    def make_room() -> None:
        let_go()
        db._connection.execute(f"PRAGMA max_page_count = {enough}")

    monkeypatch.setattr(db, "_let_reserve_go", make_room)
    db.write(("INSERT INTO b VALUES (zeroblob(100000))", ()))
    assert db.query("SELECT length(z) FROM b")[0][0] == 100_000
    db.close()


def test_a_page_that_is_damaged_is_said_as_a_loss_not_a_defect(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    db = Database(path)
    db.migrate("x", ["CREATE TABLE x (a)"])
    for _ in range(40):
        db.write(("INSERT INTO x VALUES (zeroblob(3000))", ()))
    db.close()
    with path.open("r+b") as file:
        for page in range(3, 30):
            file.seek(page * 4096)
            file.write(os.urandom(4096))
    with pytest.raises(DataLoss, match="state database"):
        Database(path).query("SELECT sum(length(a)) FROM x")
