"""Receipts: how far each member's devices got (delivered) and how far each member read.

Marks only grow. They are gathered in memory and written once a second in one transaction, then sent to the room's
other members; a crash loses at most a second of them, and devices say them again when they resume. Rooms above
`RECEIPT_MEMBERS_MAX` members keep only each member's own read mark.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from functools import partial

from node.base import limits
from node.base.ids import RoomId, UserId
from node.runtime.clock import Clock
from node.services.access import RoomAccess
from node.services.actor import Actor
from node.services.feed import Feed, Subscriber
from node.storage.database import Database, Tx
from node.storage.log import Log
from node.storage.rooms import RoomRow, Rooms
from node.wire import c2s


class _Marks:
    __slots__ = ("delivered_idx", "done", "read_idx")

    def __init__(self) -> None:
        self.delivered_idx = 0
        self.read_idx = 0
        self.done: list[Callable[[Exception | None], None]] = []


class Receipts:
    """Gathers marks and cursors, writes and publishes them together."""

    def __init__(self, *, db: Database, rooms: Rooms, log: Log, feed: Feed, clock: Clock) -> None:
        self._db = db
        self._rooms = rooms
        self._log = log
        self._feed = feed
        self._clock = clock
        self._marks: defaultdict[tuple[int, int], _Marks] = defaultdict(_Marks)
        self._cursors: dict[int, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def delivered(self, actor: Actor, room_pk: int, idx: int) -> None:
        """A device of `actor` stored the room up to `idx`."""
        marks = self._marks[room_pk, actor.user_pk]
        marks.delivered_idx = max(marks.delivered_idx, idx)
        self._arm()

    def cursor(self, device_pk: int, seq: int) -> None:
        """The durable cursor of a device moved."""
        self._cursors[device_pk] = seq
        self._arm()

    def read(self, access: RoomAccess, idx: int, done: Callable[[Exception | None], None]) -> None:
        """The user has read up to `idx` (capped to what exists); `done` is called when that is on disk."""
        marks = self._marks[access.row.pk, access.actor.user_pk]
        marks.read_idx = max(marks.read_idx, min(idx, access.last))
        marks.done.append(done)
        self._arm()

    async def read_now(self, access: RoomAccess, idx: int) -> None:
        """`read` as a coroutine."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.read(access, idx, lambda error: future.set_exception(error) if error else future.set_result(None))
        self.flush()
        await future

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(limits.RECEIPT_FLUSH_S, self.flush)

    def flush(self) -> None:
        """Writes what was gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        marks, cursors = dict(self._marks), self._cursors
        self._marks.clear()
        self._cursors = {}
        if not marks and not cursors:
            return

        def done(_: object, error: Exception | None) -> None:
            for mark in marks.values():
                for call in mark.done:
                    call(error)

        try:
            self._db.submit(lambda tx: self._store(tx, marks, cursors), done)
        except Exception as error:  # noqa: BLE001 - refused writes are told to those who wait
            done(None, error)

    def _store(self, tx: Tx, marks: dict[tuple[int, int], _Marks], cursors: dict[int, int]) -> None:
        now_ms = self._clock.now_ms()
        tx.executemany(
            "UPDATE devices SET cursor = max(cursor, ?), seen_ms = max(seen_ms, ?) WHERE id = ?",
            [(seq, now_ms, pk) for pk, seq in cursors.items()],
        )
        moved = [key for key, mark in marks.items() if self._moves(tx, key, mark)]
        if not moved:
            return
        seq = self._log.next_seq(tx)
        sql = """UPDATE members SET delivered_idx = max(delivered_idx, ?, ?), read_idx = max(read_idx, ?),
                 read_ms = CASE WHEN ? > read_idx THEN ? ELSE read_ms END, receipt_seq = ? WHERE room = ? AND user = ?"""
        tx.executemany(
            sql,
            [(m.delivered_idx, m.read_idx, m.read_idx, m.read_idx, now_ms, seq, *key) for key, m in marks.items() if key in moved],
        )
        tx.after_commit(lambda: self._publish(seq, {key: marks[key] for key in moved}))

    def _moves(self, tx: Tx, key: tuple[int, int], mark: _Marks) -> bool:
        row = tx.one("SELECT delivered_idx, read_idx FROM members WHERE room = ? AND user = ?", key)
        return row is not None and (mark.delivered_idx > row[0] or mark.read_idx > row[1])

    def _publish(self, seq: int, moved: dict[tuple[int, int], _Marks]) -> None:
        by_room: defaultdict[int, list[c2s.Receipt]] = defaultdict(list)
        own: list[tuple[UserId, RoomId]] = []
        for key, mark in moved.items():
            receipt = self._db.view(partial(_receipt, key))
            if receipt is None:
                continue
            by_room[key[0]].append(receipt)
            if mark.read_idx:
                own.append((UserId(receipt.user), RoomId(receipt.room)))
        self._send(seq, by_room)
        for user, room in own:
            for subscriber in self._feed.of_user(user):
                subscriber.card(room)

    def _send(self, seq: int, by_room: dict[int, list[c2s.Receipt]]) -> None:
        frames: defaultdict[Subscriber, list[c2s.Receipt]] = defaultdict(list)
        for room_pk, receipts in by_room.items():
            row = self._db.view(partial(self._row, room_pk))
            if len(row.state.members) > limits.RECEIPT_MEMBERS_MAX:
                continue
            for subscriber in self._feed.of_room(room_pk):
                frames[subscriber].extend(receipts)
        for subscriber, receipts in frames.items():
            subscriber.receipts(c2s.Receipts(seq, tuple(receipts)))

    def _row(self, room_pk: int, tx: Tx) -> RoomRow:
        return self._rooms.peek_pk(tx, room_pk)


def _receipt(key: tuple[int, int], tx: Tx) -> c2s.Receipt | None:
    sql = """SELECT r.room, u.user, m.delivered_idx, m.read_idx, m.read_ms FROM members m
             JOIN rooms r ON r.id = m.room JOIN users u ON u.id = m.user WHERE m.room = ? AND m.user = ?"""
    row = tx.one(sql, key)
    return None if row is None else c2s.Receipt(*row)
