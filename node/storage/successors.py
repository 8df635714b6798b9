"""Groups that go on with what an earlier group was. More than one for the same group is a conflict that people decide."""

from __future__ import annotations

from node.base.ids import RoomId
from node.storage.database import Tx


def put(tx: Tx, room: RoomId, successor: RoomId) -> None:
    """`successor` goes on with `room`."""
    tx.execute("INSERT OR IGNORE INTO successors (room, successor) VALUES (?, ?)", (room, successor))


def of(tx: Tx, room: RoomId) -> tuple[RoomId, ...]:
    """Groups that go on with `room`, as far as this node holds them."""
    rows = tx.all("SELECT successor FROM successors WHERE room = ? ORDER BY successor", (room,))
    return tuple(RoomId(row[0]) for row in rows)
