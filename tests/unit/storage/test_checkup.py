"""Damage is found and named; nothing is changed by looking."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from node.base.errors import ExitStatus, Fatal
from node.runtime.clock import ManualClock
from node.storage import checkup, migrations
from node.storage.database import Database


@pytest.fixture
def data(tmp_path: Path) -> Path:
    Database(path=tmp_path / "startalk.db", clock=ManualClock()).abandon()
    return tmp_path


def change(data: Path, sql: str) -> None:
    conn = sqlite3.connect(data / "startalk.db")
    with conn:
        conn.execute(sql)
    conn.close()


def test_a_sound_database(data: Path) -> None:
    assert checkup.find_damage(data) == ()
    assert checkup.schema(data) == migrations.LATEST
    assert checkup.last_entry_ms(data) == 0
    assert checkup.verify_logs(data) == checkup.Logs(rooms=0, entries=0, faults=())


def test_looking_changes_nothing(data: Path) -> None:
    before = (data / "startalk.db").read_bytes()
    checkup.find_damage(data)
    checkup.verify_logs(data)
    assert (data / "startalk.db").read_bytes() == before


def test_it_works_beside_a_writer(data: Path) -> None:
    writer = sqlite3.connect(data / "startalk.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert checkup.find_damage(data) == ()
    writer.execute("ROLLBACK")
    writer.close()


def test_a_page_of_rubbish_is_found(data: Path) -> None:
    change(data, "CREATE TABLE big (value BLOB)")
    change(data, "INSERT INTO big SELECT randomblob(100000)")
    path = data / "startalk.db"
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 20] = b"\xa5" * (4096 * 17)
    path.write_bytes(content)
    assert checkup.find_damage(data)


@pytest.mark.parametrize(
    "content", [b"rubbish" * 1000, b"SQLite format 3\x00" + b"\xff" * 5000], ids=["text", "header"]
)
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "startalk.db").write_bytes(content)
    with pytest.raises(Fatal) as stopped:
        checkup.find_damage(tmp_path)
    assert stopped.value.status is ExitStatus.DATA_CORRUPT


def test_a_newer_schema_is_left_alone(data: Path) -> None:
    change(data, f"PRAGMA user_version = {migrations.LATEST + 1}")
    with pytest.raises(Fatal) as stopped:
        checkup.verify_logs(data)
    assert stopped.value.status is ExitStatus.DATA_TOO_NEW


def test_no_database(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="never been started"):
        checkup.find_damage(tmp_path)
    assert not list(tmp_path.iterdir())
