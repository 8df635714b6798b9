"""Signed heads: the newest one of each room. A head vouches for every entry before it, so older ones are dropped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from node.base.ids import NodeId, RoomId
from node.core.hub import Head
from node.storage.database import Tx
from node.storage.log import Fault
from node.storage.rooms import RoomRow
from node.wire import envelope
from node.wire.envelope import SignedHead


class Unsigned(Struct, frozen=True):
    """A room whose log grew beyond its signed head."""

    room_pk: int
    room: RoomId
    head: Head


class Signer(Struct, frozen=True):
    """Whose signatures to expect."""

    key: Ed25519PublicKey
    nid: NodeId
    incarnation: int


def unsigned(tx: Tx, hub: NodeId, limit: int) -> list[Unsigned]:
    """Rooms of this hub that need a signature."""
    sql = """SELECT r.id, r.room, r.epoch, r.head_idx, r.head_hash FROM rooms r
             WHERE r.hub = ? AND r.head_idx > coalesce((SELECT max(h.idx) FROM heads h WHERE h.room = r.id), 0) LIMIT ?"""
    return [Unsigned(row[0], RoomId(row[1]), Head(row[2], row[3], row[4])) for row in tx.all(sql, (hub, limit))]


def put(tx: Tx, signed: Iterable[tuple[Unsigned, SignedHead]]) -> None:
    """Stores the newest heads."""
    for room, head in signed:
        tx.execute("DELETE FROM heads WHERE room = ? AND idx < ?", (room.room_pk, room.head.idx))
        sql = "INSERT OR REPLACE INTO heads (room, epoch, idx, signed, signature) VALUES (?, ?, ?, ?, ?)"
        tx.execute(sql, (room.room_pk, room.head.epoch, room.head.idx, head.signed, head.signature))


def verify(tx: Tx, row: RoomRow, signer: Signer) -> Iterator[Fault]:
    """Whether the signed heads of a room lie on its chain and bear this node's signature."""
    if row.hub != signer.nid:
        return
    sql = """SELECT h.epoch, h.idx, h.signed, h.signature, e.log_hash FROM heads h
             LEFT JOIN entries e ON e.room = h.room AND e.idx = h.idx WHERE h.room = ?"""
    for epoch, idx, signed, signature, log_hash in tx.all(sql, (row.pk,)):
        if log_hash is None:
            yield Fault(row.room, idx, f"a signed head says that entry {idx} exists")
            continue
        head, found = Head(epoch, idx, log_hash), SignedHead(signed, signature)
        if not envelope.verify_head(signer.key, row.room, head, signer.nid, signer.incarnation, found):
            yield Fault(row.room, idx, "the signed head does not fit the log")
