"""The writer: one commit for many, an answer means on disk, and one bad function harms nobody else."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from node.base import limits
from node.base.errors import Code, Rejected
from node.runtime.clock import ManualClock
from node.storage.database import RETRY_S, Database, Tx


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Database]:
    db = Database(path=path / "startalk.db", clock=ManualClock())
    try:
        yield db
    finally:
        await db.close()


def put(key: str, value: int = 1) -> Any:
    def fn(tx: Tx) -> int:
        tx.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (key, value))
        return value

    return fn


def keys(tx: Tx) -> list[str]:
    return [row[0] for row in tx.all("SELECT key FROM meta")]


async def test_what_waits_together_is_committed_together(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        order: list[int] = []
        for number in range(100):
            db.submit(put(f"k{number:03}", number), lambda result, _: order.append(result or 0))
        await db.write(put("last"))
        assert db.commits == 1
        assert order == list(range(100))
        assert len(db.view(keys)) == 101
        await db.write(put("one more"))
        assert db.commits == 2


async def test_a_batch_has_an_end(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        for number in range(limits.BATCH_WRITES_MAX):
            db.submit(put(f"k{number:05}"), lambda *_: None)
        await db.write(put("in the next batch"))
        assert db.commits == 2


async def test_reading_costs_no_commit(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        assert await db.write(keys) == []
        assert (db.commits, db.writes) == (0, 1)


async def test_nobody_sees_and_nobody_is_told_before_it_is_on_disk(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        gate = threading.Event()
        told: list[str] = []

        def fn(tx: Tx) -> None:
            put("k")(tx)
            tx.after_commit(lambda: told.append("published"))

        held = db._committer.submit(gate.wait, 10)
        db.submit(fn, lambda *_: told.append("answered"))
        while not db._conn.in_transaction:
            await asyncio.sleep(0)
        assert told == []
        assert db.view(keys) == []
        assert await db.read(keys) == []
        gate.set()
        await asyncio.wrap_future(held)
        await db.write(lambda _: None)
        assert told == ["answered", "published"]
        assert db.view(keys) == ["k"]


async def test_a_look_up_is_one_snapshot(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:

        def look(tx: Tx) -> tuple[list[str], list[str]]:
            before = keys(tx)
            other = sqlite3.connect(tmp_path / "startalk.db")
            with other:
                other.execute("INSERT INTO meta (key, value) VALUES ('late', 1)")
            other.close()
            return before, db.view(keys)  # nested: the same snapshot

        assert db.view(look) == ([], [])
        assert db.view(keys) == ["late"]


async def test_a_refusal_before_a_change_costs_the_others_nothing(tmp_path: Path) -> None:
    def refuse(tx: Tx) -> None:
        raise Rejected(Code.FORBIDDEN, "No.")

    async with opened(tmp_path) as db:
        results = await asyncio.gather(db.write(put("a")), db.write(refuse), db.write(put("b")), return_exceptions=True)
        assert [type(result) for result in results] == [int, Rejected, int]
        assert db.commits == 1
        assert db.view(keys) == ["a", "b"]


async def test_a_refusal_after_a_change_is_undone_and_its_neighbours_run_again(tmp_path: Path) -> None:
    def late(tx: Tx) -> None:
        put("half")(tx)
        raise Rejected(Code.FORBIDDEN, "No.")

    async with opened(tmp_path) as db:
        aborted: list[int] = []
        db.on_abort(lambda: aborted.append(1))
        results = await asyncio.gather(
            db.write(put("a")), db.write(late), db.write(put("b")), db.write(put("a")), return_exceptions=True
        )
        assert [type(result) for result in results] == [int, Rejected, int, sqlite3.IntegrityError]
        assert db.view(keys) == ["a", "b"]
        assert len(aborted) == 4  # two batches, and each guilty one
        assert not db.trouble


async def test_a_lone_fault_reaches_its_caller_and_the_next_write_works(tmp_path: Path) -> None:
    def broken(tx: Tx) -> None:
        put("half")(tx)
        raise ZeroDivisionError

    async with opened(tmp_path) as db:
        with pytest.raises(ZeroDivisionError):
            await db.write(broken)
        await db.write(put("a"))
        assert db.view(keys) == ["a"]


async def test_actions_before_a_commit_run_once_a_batch(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        flushed: list[int] = []

        def fn(number: int) -> Any:
            def inner(tx: Tx) -> None:
                put(f"k{number}")(tx)
                tx.before_commit("flush", lambda: flushed.append(number))

            return inner

        await asyncio.gather(*(db.write(fn(number)) for number in range(3)))
        assert flushed == [0]


async def test_actions_after_a_commit_never_run_for_what_was_undone(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        published: list[str] = []

        def fn(tx: Tx) -> None:
            tx.after_commit(lambda: published.append("x"))
            put("k")(tx)
            raise ZeroDivisionError

        results = await asyncio.gather(db.write(fn), db.write(put("a")), return_exceptions=True)
        assert isinstance(results[0], ZeroDivisionError)
        assert published == []


async def test_the_queue_has_an_end(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        answered: list[int] = []
        for _ in range(limits.WRITE_QUEUE_MAX):
            db.submit(lambda tx: 1, lambda result, _: answered.append(result or 0))
        assert db.waiting == limits.WRITE_QUEUE_MAX
        with pytest.raises(Rejected) as refused:
            db.submit(lambda tx: 1, lambda *_: None)
        assert refused.value.code is Code.RATE_LIMITED
    assert len(answered) == limits.WRITE_QUEUE_MAX


async def test_closing_finishes_what_was_accepted(tmp_path: Path) -> None:
    db = Database(path=tmp_path / "startalk.db", clock=ManualClock())
    pending = [asyncio.ensure_future(db.write(put(f"k{number}"))) for number in range(10)]
    await asyncio.sleep(0)
    await db.close()
    assert len(await asyncio.gather(*pending)) == 10
    with pytest.raises(Rejected) as refused:
        await db.write(put("late"))
    assert refused.value.code is Code.READ_ONLY
    assert not (tmp_path / "startalk.db-wal").exists()
    async with opened(tmp_path) as again:
        assert len(again.view(keys)) == 10


async def test_abandoning_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    db = Database(path=tmp_path / "startalk.db", clock=ManualClock())
    await db.write(put("answered"))
    db.abandon()
    async with opened(tmp_path) as again:
        assert again.view(keys) == ["answered"]


class FaultyDisk:
    """A connection whose commits fail like a disk does, as often as told."""

    def __init__(self, conn: sqlite3.Connection, code: int, times: int) -> None:
        self._conn, self._code, self.times = conn, code, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)

    def execute(self, sql: str, *more: Any) -> Any:
        if sql == "COMMIT" and self.times:
            self.times -= 1
            error = sqlite3.OperationalError("the disk said no")
            error.sqlite_errorcode = self._code
            raise error
        return self._conn.execute(sql, *more)


async def test_a_full_disk_is_tried_again(tmp_path: Path) -> None:
    clock = ManualClock()
    db = Database(path=tmp_path / "startalk.db", clock=clock)
    conn = db._conn
    db._conn = FaultyDisk(conn, sqlite3.SQLITE_FULL, 1)  # type: ignore[assignment]
    results = await asyncio.gather(db.write(put("a")), db.write(put("b")), return_exceptions=True)
    assert [getattr(result, "code", None) for result in results] == [Code.READ_ONLY] * 2
    assert "full" in db.trouble
    with pytest.raises(Rejected):
        await db.write(put("c"))
    assert db.view(keys) == []
    clock.advance(seconds=RETRY_S)
    await db.write(put("d"))
    assert db.trouble == ""
    assert db.view(keys) == ["d"]
    await db.close()


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_READONLY])
async def test_a_broken_disk_is_not_trusted_again(tmp_path: Path, code: int) -> None:
    clock = ManualClock()
    db = Database(path=tmp_path / "startalk.db", clock=clock)
    await db.write(put("answered"))
    db._conn = FaultyDisk(db._conn, code, 1)  # type: ignore[assignment]
    for _ in range(2):
        with pytest.raises(Rejected) as refused:
            await db.write(put("a"))
        assert refused.value.code is Code.READ_ONLY
        clock.advance(seconds=10 * RETRY_S)
    assert db.trouble
    assert db.view(keys) == ["answered"]
    db.abandon()


async def test_a_disk_that_fails_while_neighbours_run_again(tmp_path: Path) -> None:
    db = Database(path=tmp_path / "startalk.db", clock=ManualClock())
    db._conn = FaultyDisk(db._conn, sqlite3.SQLITE_IOERR, 9)  # type: ignore[assignment]

    def broken(tx: Tx) -> None:
        raise ZeroDivisionError

    results = await asyncio.gather(db.write(put("a")), db.write(broken), return_exceptions=True)
    assert isinstance(results[0], Rejected)
    assert db.trouble
    db.abandon()


async def test_a_fenced_database_refuses_what_waits_and_what_comes(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        await db.write(put("before"))
        refused: list[Exception | None] = []
        db.submit(put("waiting"), lambda _, error: refused.append(error))
        db.fence("This is an old copy.")
        with pytest.raises(Rejected) as refusal:
            await db.write(put("late"))
        while db.waiting:
            await asyncio.sleep(0)
        assert [getattr(error, "code", None) for error in refused] == [Code.READ_ONLY]
        assert refusal.value.code is Code.READ_ONLY
        assert "This is an old copy." in refusal.value.text
        assert db.view(keys) == ["before"]


async def test_a_commit_under_way_does_not_lift_the_fence(tmp_path: Path) -> None:
    async with opened(tmp_path) as db:
        ended: list[Exception | None] = []
        db.submit(put("under way"), lambda _, error: ended.append(error))
        await asyncio.sleep(0)  # the batch runs; its commit is with the thread
        db.fence("This is an old copy.")
        while not ended:
            await asyncio.sleep(0)
        assert ended == [None]
        assert db.view(keys) == ["under way"]
        assert db.trouble == "This is an old copy."
        with pytest.raises(Rejected):
            await db.write(put("late"))
