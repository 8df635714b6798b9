"""Signed acknowledgements of rooms' logs: the newest one of each node. They only grow."""

from __future__ import annotations

from node.base.ids import NodeId
from node.storage.database import Tx
from node.wire.exchange import Ack


def of_room(tx: Tx, room_pk: int, room: bytes) -> dict[NodeId, Ack]:
    """By the node that gave it."""
    sql = "SELECT nid, epoch, idx, hash, incarnation, signature FROM acks WHERE room = ?"
    return {
        NodeId(nid): Ack(room, epoch, idx, log_hash, nid, incarnation, signature)
        for nid, epoch, idx, log_hash, incarnation, signature in tx.all(sql, (room_pk,))
    }


def has(tx: Tx, room_pk: int, nid: NodeId) -> bool:
    """Whether this node ever acknowledged anything of the room."""
    return tx.one("SELECT 1 FROM acks WHERE room = ? AND nid = ?", (room_pk, nid)) is not None


def put(tx: Tx, room_pk: int, ack: Ack) -> bool:
    """Remembers an acknowledgement that was checked; False when a later one is known."""
    sql = """INSERT INTO acks (room, nid, epoch, idx, hash, incarnation, signature) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (room, nid) DO UPDATE SET epoch = excluded.epoch, idx = excluded.idx, hash = excluded.hash,
             incarnation = excluded.incarnation, signature = excluded.signature WHERE excluded.idx > idx"""
    row = (room_pk, ack.nid, ack.epoch, ack.idx, ack.hash, ack.incarnation, ack.signature)
    return tx.execute(sql, row).rowcount > 0


def drop(tx: Tx, room_pk: int, nid: NodeId) -> None:
    """The node left the room."""
    tx.execute("DELETE FROM acks WHERE room = ? AND nid = ?", (room_pk, nid))


def rooms_with(tx: Tx, hub: NodeId) -> list[int]:
    """Rooms of this hub that somebody acknowledged."""
    sql = "SELECT DISTINCT a.room FROM acks a JOIN rooms r ON r.id = a.room WHERE r.hub = ?"
    return [int(row[0]) for row in tx.all(sql, (hub,))]
