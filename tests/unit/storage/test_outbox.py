"""The outbox: numbers, references, bounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.base import limits
from node.base.ids import NodeId
from node.runtime.clock import ManualClock
from node.runtime.entropy import SeededEntropy
from node.storage.database import Database, Tx
from node.storage.outbox import DIRECT, ENTRY, HEAD, ROW_BYTES, Outbox
from node.storage.peers import PeerStore


class Shelf:
    """A database with one peer, and its outbox."""

    def __init__(self, path: Path) -> None:
        self.clock = ManualClock()
        self.db = Database(path=path / "startalk.db", clock=self.clock)
        self.outbox = Outbox(clock=self.clock, entropy=SeededEntropy("outbox"))

    async def peer(self, fill: int = 1) -> int:
        row = await self.db.write(lambda tx: PeerStore().ensure(tx, NodeId(bytes([fill]) * 32), self.clock.now_ms()))
        return row.pk


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path)
    yield shelf
    shelf.db.abandon()


async def test_numbers_rise_by_one_for_each_peer(shelf: Shelf) -> None:
    one, two, box = await shelf.peer(1), await shelf.peer(2), shelf.outbox

    def fill(tx: Tx) -> list[int]:
        return [box.enqueue(tx, pk, DIRECT, body=b"x") for pk in (one, one, two, one)]

    assert await shelf.db.write(fill) == [1, 2, 1, 3]
    assert [row.seq for row in shelf.db.view(lambda tx: box.page(tx, one, 1, 10))] == [2, 3]
    assert shelf.db.view(box.peers_waiting) == [one, two]


async def test_what_is_acknowledged_is_forgotten_and_counted(shelf: Shelf) -> None:
    pk, box = await shelf.peer(), shelf.outbox
    await shelf.db.write(lambda tx: [box.enqueue(tx, pk, ENTRY, room_pk=7, idx=n) for n in range(5)])
    assert await shelf.db.write(lambda tx: box.delete(tx, pk, 3)) == 3
    assert await shelf.db.write(lambda tx: box.delete_one(tx, pk, 4))
    assert not await shelf.db.write(lambda tx: box.delete_one(tx, pk, 4))
    run = shelf.db.view(lambda tx: box.peek(tx, pk))
    assert run is not None
    assert (run.next, run.rows, run.size_bytes) == (6, 1, ROW_BYTES)
    row = shelf.db.view(lambda tx: box.row(tx, pk, 5))
    assert row is not None
    assert row.by_reference
    assert shelf.db.view(lambda tx: box.row(tx, pk, 4)) is None


async def test_a_new_run_keeps_the_numbers(shelf: Shelf) -> None:
    pk, box = await shelf.peer(), shelf.outbox
    first = await shelf.db.write(lambda tx: box.run(tx, pk))
    await shelf.db.write(lambda tx: box.enqueue(tx, pk, DIRECT, body=b"x"))
    renewed = await shelf.db.write(lambda tx: box.renew(tx, pk))
    assert renewed != first.run
    assert await shelf.db.write(lambda tx: box.enqueue(tx, pk, DIRECT, body=b"y")) == 2


async def test_too_many_entries_become_one_head_a_room(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OUTBOX_ROWS_MAX", 40)
    pk, box = await shelf.peer(), shelf.outbox

    def fill(tx: Tx) -> None:
        for n in range(1, 21):
            box.enqueue(tx, pk, ENTRY, room_pk=1, idx=n)
            box.enqueue(tx, pk, ENTRY, room_pk=2, idx=n)
        box.enqueue(tx, pk, DIRECT, body=b"kept")

    await shelf.db.write(fill)
    assert shelf.db.view(box.overdue) == [pk]
    assert await shelf.db.write(lambda tx: box.collapse(tx, pk)) == []
    rows = shelf.db.view(lambda tx: box.page(tx, pk, 0, 100))
    assert [(row.seq, row.cls, row.room, row.idx, row.body) for row in rows] == [
        (39, HEAD, 1, 20, b""),
        (40, HEAD, 2, 20, b""),
        (41, DIRECT, 0, 0, b"kept"),
    ]
    assert shelf.db.view(box.overdue) == []


async def test_items_that_carry_bytes_are_given_up_the_oldest_first(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "OUTBOX_BYTES_MAX", 10 * (ROW_BYTES + 4))
    pk, box = await shelf.peer(), shelf.outbox
    await shelf.db.write(lambda tx: [box.enqueue(tx, pk, DIRECT, body=b"%04d" % n) for n in range(12)])
    lost = await shelf.db.write(lambda tx: box.collapse(tx, pk))
    assert [row.body for row in lost] == [b"%04d" % n for n in range(7)]
    assert shelf.db.view(lambda tx: box.waiting(tx, pk)) == 5


async def test_what_waits_longer_than_a_month_is_given_up(shelf: Shelf) -> None:
    pk, box = await shelf.peer(), shelf.outbox
    await shelf.db.write(lambda tx: box.enqueue(tx, pk, DIRECT, body=b"old"))
    shelf.clock.advance(seconds=limits.OUTBOX_AGE_S_MAX + 1)
    await shelf.db.write(lambda tx: box.enqueue(tx, pk, DIRECT, body=b"new"))
    assert shelf.db.view(box.overdue) == [pk]
    assert [row.body for row in await shelf.db.write(lambda tx: box.collapse(tx, pk))] == [b"old"]
    assert shelf.db.view(box.overdue) == []
