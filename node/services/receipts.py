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
from node.services.sync import to_receipt
from node.storage import receipts
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
        self.moved: Callable[[], None] = _nobody  # called after marks moved; set by the composition root

    def delivered(self, actor: Actor, room_pk: int, idx: int) -> None:
        """A device of `actor` stored the room up to `idx`."""
        marks = self._marks[room_pk, actor.user_pk]
        marks.delivered_idx = max(marks.delivered_idx, idx)
        self._arm()

    def heard(self, room_pk: int, user_pk: int, delivered_idx: int, read_idx: int) -> None:
        """How far a member on another node got, as their node or the hub says."""
        marks = self._marks[room_pk, user_pk]
        marks.delivered_idx = max(marks.delivered_idx, delivered_idx)
        marks.read_idx = max(marks.read_idx, read_idx)
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
        receipts.store_cursors(tx, cursors.items(), now_ms)
        moved = {
            key: mark for key, mark in marks.items() if receipts.moves(tx, *key, mark.delivered_idx, mark.read_idx)
        }
        if not moved:
            return
        seq = self._log.next_seq(tx)
        receipts.store(tx, [(*key, mark.delivered_idx, mark.read_idx) for key, mark in moved.items()], seq, now_ms)
        tx.after_commit(lambda: self._publish(seq, moved))

    def _publish(self, seq: int, moved: dict[tuple[int, int], _Marks]) -> None:
        self.moved()
        by_room: defaultdict[int, list[c2s.Receipt]] = defaultdict(list)
        own: list[tuple[UserId, RoomId]] = []
        for key, mark in moved.items():
            marks = self._db.view(partial(_marks_of, key))
            if marks is None:
                continue
            by_room[key[0]].append(to_receipt(marks))
            if mark.read_idx:
                own.append((marks.user, marks.room))
        self._send(seq, by_room)
        for user, room in own:
            for subscriber in self._feed.of_user(user):
                subscriber.card(room)

    def _send(self, seq: int, by_room: dict[int, list[c2s.Receipt]]) -> None:
        frames: defaultdict[Subscriber, list[c2s.Receipt]] = defaultdict(list)
        for room_pk, moved in by_room.items():
            row = self._db.view(partial(self._row, room_pk))
            if len(row.state.members) > limits.RECEIPT_MEMBERS_MAX:
                continue
            for subscriber in self._feed.of_room(room_pk):
                frames[subscriber].extend(moved)
        for subscriber, gathered in frames.items():
            subscriber.receipts(c2s.Receipts(seq, tuple(gathered)))

    def _row(self, room_pk: int, tx: Tx) -> RoomRow:
        return self._rooms.peek_pk(tx, room_pk)


def _nobody() -> None:
    """Nobody else wants to know."""


def _marks_of(key: tuple[int, int], tx: Tx) -> receipts.Marks | None:
    return receipts.of_member(tx, *key)
