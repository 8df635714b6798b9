"""Delivered and read marks of members, and the cursors of devices: plain functions over the open transaction.

Marks only grow; every change gets a feed position, so a device that was away hears of it like of an entry.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from node.base.ids import NodeId, RoomId, UserId
from node.storage.database import Tx

PAGE_MAX = 4_000  # receipts of one feed page; a later page brings the rest of a storm


class Marks(Struct, frozen=True):
    """How far one member of one room got; `read_ms` is when the read mark last moved."""

    room: RoomId
    user: UserId
    delivered_idx: int
    read_idx: int
    read_ms: int


_MARKS = """SELECT r.room, u.user, m.delivered_idx, m.read_idx, m.read_ms FROM members m
            JOIN rooms r ON r.id = m.room JOIN users u ON u.id = m.user"""


def of_member(tx: Tx, room_pk: int, user_pk: int) -> Marks | None:
    """The marks of one member."""
    row = tx.one(f"{_MARKS} WHERE m.room = ? AND m.user = ?", (room_pk, user_pk))
    return None if row is None else Marks(*row)


def of_room(tx: Tx, room_pk: int) -> dict[UserId, Marks]:
    """The marks of all present members."""
    rows = tx.all(f"{_MARKS} WHERE m.room = ? AND m.last_idx IS NULL", (room_pk,))
    return {UserId(row[1]): Marks(*row) for row in rows}


def since(tx: Tx, user_pk: int, after: int, upto: int) -> tuple[Marks, ...]:
    """Marks in the rooms of a user that moved in the feed range (after, upto]."""
    sql = """SELECT r.room, u.user, o.delivered_idx, o.read_idx, o.read_ms
             FROM members m JOIN rooms r ON r.id = m.room JOIN members o ON o.room = m.room JOIN users u ON u.id = o.user
             WHERE m.user = ? AND m.last_idx IS NULL AND o.receipt_seq > ? AND o.receipt_seq <= ? LIMIT ?"""
    return tuple(Marks(*row) for row in tx.all(sql, (user_pk, after, upto, PAGE_MAX)))


def moves(tx: Tx, room_pk: int, user_pk: int, delivered_idx: int, read_idx: int) -> bool:
    """Whether these marks lie ahead of the stored ones."""
    row = tx.one("SELECT delivered_idx, read_idx FROM members WHERE room = ? AND user = ?", (room_pk, user_pk))
    return row is not None and (delivered_idx > row[0] or read_idx > row[1])


def store(tx: Tx, marks: Iterable[tuple[int, int, int, int]], seq: int, now_ms: int) -> None:
    """Moves marks, each (room, user, delivered_idx, read_idx); what was read was delivered."""
    sql = """UPDATE members SET delivered_idx = max(delivered_idx, ?, ?), read_idx = max(read_idx, ?),
             read_ms = CASE WHEN ? > read_idx THEN ? ELSE read_ms END, receipt_seq = ? WHERE room = ? AND user = ?"""
    tx.executemany(
        sql, [(delivered, read, read, read, now_ms, seq, room, user) for room, user, delivered, read in marks]
    )


def store_own(tx: Tx, marks: Iterable[tuple[int, int, int]]) -> None:
    """Marks that follow own entries, each (room, user, idx); everybody sees them from the entry itself, so no position."""
    sql = "UPDATE members SET read_idx = max(read_idx, ?), delivered_idx = max(delivered_idx, ?) WHERE room = ? AND user = ?"
    tx.executemany(sql, [(idx, idx, room, user) for room, user, idx in marks])


def store_cursors(tx: Tx, cursors: Iterable[tuple[int, int]], now_ms: int) -> None:
    """Cursors, each (device, seq); they never move back."""
    sql = "UPDATE devices SET cursor = max(cursor, ?), seen_ms = max(seen_ms, ?) WHERE id = ?"
    tx.executemany(sql, [(seq, now_ms, device) for device, seq in cursors])


class Moved(Struct, frozen=True):
    """A mark with what decides whom it concerns."""

    room_pk: int
    room: RoomId
    hub: NodeId
    user: UserId
    delivered_idx: int
    read_idx: int
    read_ms: int


def moved_since(tx: Tx, after: int, upto: int) -> list[Moved]:
    """Marks of all rooms that moved in the feed range (after, upto]."""
    sql = """SELECT m.room, r.room, r.hub, u.user, m.delivered_idx, m.read_idx, m.read_ms FROM members m
             JOIN rooms r ON r.id = m.room JOIN users u ON u.id = m.user
             WHERE m.receipt_seq > 0 AND m.receipt_seq > ? AND m.receipt_seq <= ? AND m.last_idx IS NULL"""
    return [
        Moved(row[0], RoomId(row[1]), NodeId(row[2]), UserId(row[3]), *row[4:])
        for row in tx.execute(sql, (after, upto))
    ]
