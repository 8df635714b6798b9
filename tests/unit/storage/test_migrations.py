"""The schema goes forward, keeps a copy of what was, and refuses what is newer than the program."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from types import ModuleType

import pytest

from node.base import limits
from node.base.errors import ExitStatus, Fatal
from node.runtime.clock import ManualClock
from node.storage import migrations
from node.storage.database import Database


def make(path: Path) -> None:
    Database(path=path, clock=ManualClock()).abandon()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "startalk.db"
    make(path)
    return path


@pytest.fixture
def newer_program(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that knows one migration more than the one that made the database."""
    assert database.exists()
    module = ModuleType("node.storage.migrations.m9999_test")
    module.apply = lambda conn: conn.execute("CREATE TABLE later (x INTEGER) STRICT")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(migrations, "NAMES", (*migrations.NAMES, "m9999_test"))
    monkeypatch.setattr(migrations, "LATEST", migrations.LATEST + 1)


def test_a_fresh_database_has_the_latest_schema(database: Path) -> None:
    conn = sqlite3.connect(database)
    assert migrations.version(conn) == migrations.LATEST
    tables = conn.execute(
        "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
    ).fetchall()
    conn.close()
    assert all(strict for name, strict in tables if not name.startswith("sqlite_"))
    assert not list(database.parent.glob("*.backup"))
    assert database.stat().st_mode & 0o777 == 0o600


def test_a_newer_database_is_refused_and_left_alone(database: Path) -> None:
    conn = sqlite3.connect(database)
    conn.execute(f"PRAGMA user_version = {migrations.LATEST + 1}")
    conn.close()
    with pytest.raises(Fatal) as stopped:
        make(database)
    assert stopped.value.status is ExitStatus.DATA_TOO_NEW
    assert f"schema {migrations.LATEST + 1}" in stopped.value.text


@pytest.mark.usefixtures("newer_program")
def test_an_upgrade_keeps_a_copy(database: Path) -> None:
    old = migrations.LATEST - 1
    make(database)
    copy = database.with_name(f"startalk.db.v{old}.backup")
    for path, version, tables in ((database, old + 1, 1), (copy, old, 0)):
        conn = sqlite3.connect(path)
        assert migrations.version(conn) == version
        assert conn.execute("SELECT count(*) FROM sqlite_master WHERE name = 'later'").fetchone() == (tables,)
        conn.close()


@pytest.mark.usefixtures("newer_program")
def test_a_migration_that_fails_changes_nothing(database: Path) -> None:
    def fail(conn: sqlite3.Connection) -> None:
        conn.execute("CREATE TABLE half (x INTEGER) STRICT")
        raise ZeroDivisionError

    sys.modules["node.storage.migrations.m9999_test"].apply = fail  # type: ignore[attr-defined]
    with pytest.raises(ZeroDivisionError):
        make(database)
    conn = sqlite3.connect(database)
    assert migrations.version(conn) == migrations.LATEST - 1
    assert conn.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)
    conn.close()


def test_three_copies_are_kept(database: Path) -> None:
    conn = sqlite3.connect(database)
    for version in range(limits.BACKUPS_KEPT + 2):
        migrations.backup(conn, database, version)
    conn.close()
    assert len(list(database.parent.glob("*.backup"))) == limits.BACKUPS_KEPT


OLD_INDEXES = """
DROP INDEX entries_place;
CREATE UNIQUE INDEX entries_place ON entries (room, idx);
CREATE INDEX entries_content ON entries (room, idx, author) WHERE counts = 1;
DROP INDEX pending_room;
CREATE INDEX pending_room ON pending (room);
PRAGMA user_version = 5;
"""
LOOK_UPS = (
    ("SELECT log_hash FROM entries WHERE room = 1 AND idx = 2", "entries_place"),
    (
        "SELECT 1 FROM entries WHERE room = 1 AND counts = 1 AND idx > 2 AND idx <= 9 AND author <> 3",
        "COVERING INDEX entries_place",
    ),
    ("SELECT 1 FROM pending WHERE room = x'01' AND hub = x'02' AND kind = 'join'", "pending_room"),
    ("SELECT 1 FROM pending WHERE room = x'01' AND kind = 'decline'", "pending_room"),
)


@pytest.mark.parametrize("old", [False, True])
def test_fewer_indexes_answer_as_much(database: Path, *, old: bool) -> None:
    """A database from before `m0006_fewer_indexes` opens, with its log, and what is looked up often needs no scan."""
    conn = sqlite3.connect(database, isolation_level=None)
    conn.execute("INSERT INTO users (id, user) VALUES (3, 'alice')")
    conn.execute("INSERT INTO rooms (id, room, kind, hub, state, head_hash) VALUES (1, x'01', 'group', x'', x'', x'')")
    for idx in (1, 2):
        sql = """INSERT INTO entries (room, idx, epoch, at_ms, event_id, log_hash, event, kind, author)
                 VALUES (1, ?, 1, 0, ?, x'07', x'', 'text', 3)"""
        conn.execute(sql, (idx, bytes([idx])))
    if old:
        conn.executescript(OLD_INDEXES)
    conn.close()
    make(database)
    conn = sqlite3.connect(database)
    assert migrations.version(conn) == migrations.LATEST
    assert conn.execute(LOOK_UPS[0][0]).fetchone() == (b"\x07",)
    for sql, index in LOOK_UPS:
        (plan,) = conn.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
        assert index in plan[3]
    names = {
        name for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE tbl_name = 'entries' AND sql <> ''")
    }
    conn.close()
    assert "entries_content" not in names
