"""Damage is found and named; nothing is changed by looking."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from node.base.errors import ExitStatus, Fatal
from node.base.ids import ClientId
from node.core.content import Body, Create, Recall, Text, encode_body
from node.main import open_services
from node.runtime.clock import ManualClock
from node.runtime.config import Config
from node.runtime.entropy import SeededEntropy
from node.services.accounts import NewPerson
from node.services.post import Post
from node.services.sessions import Origin
from node.storage import checkup, migrations
from node.storage.database import Database
from node.storage.log import Appended


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


class TestLogs:
    """Logs that a node has really written."""

    @pytest.fixture
    async def data(self, tmp_path: Path) -> Path:
        """Alice created a room, said three things in it and took the last one back."""
        config = Config(data=str(tmp_path), password_cost="small")
        services = open_services(config, clock=ManualClock(), entropy=SeededEntropy("logs"))
        token = await services.invites.owner_invite()
        assert token is not None
        newcomer = NewPerson(local="alice", password="four plain words", token=token)
        alice = (await services.accounts.register(newcomer, Origin(address=""))).actor

        async def post(room: bytes, kind: str, body: Body) -> Appended:
            client_id = ClientId(services.entropy.uuid7(services.clock.now_ms()))
            return await services.posting.post(alice, Post(room, client_id, kind, encode_body(body)))

        room = (await post(b"", "create", Create(name="Casa"))).room
        for text in ("one", "two", "three"):
            last = await post(room, "text", Text(text=text))
        await post(room, "recall", Recall(target=last.event_id))
        await services.close()
        return tmp_path

    def test_honest_ones_hold(self, data: Path) -> None:
        assert checkup.verify_logs(data) == checkup.Logs(rooms=1, entries=5, faults=())
        assert checkup.last_entry_ms(data) == ManualClock().now_ms()

    @pytest.mark.parametrize(
        ("sql", "idx", "text"),
        [
            ("UPDATE entries SET body = x'81a474657874a3666f75' WHERE idx = 3", 3, "the body does not fit its hash"),
            ("UPDATE entries SET event_id = randomblob(32) WHERE idx = 2", 2, "the event does not have its id"),
            ("UPDATE entries SET at_ms = at_ms + 1 WHERE idx = 2", 2, "the hash chain is broken"),
            ("DELETE FROM entries WHERE idx = 3", 3, "entries are missing before 4"),
            ("DELETE FROM entries WHERE idx = 5", 4, "the head says 5, the log ends at 4"),
        ],
        ids=["changed text", "changed id", "changed time", "removed", "cut off"],
    )
    def test_a_change_behind_its_back_is_found(self, data: Path, sql: str, idx: int, text: str) -> None:
        change(data, sql)
        faults = checkup.verify_logs(data).faults
        assert (idx, text) in [(fault.idx, fault.text) for fault in faults]
