"""Signed heads: the newest one of each room. A head vouches for every entry before it, so older ones are dropped.

Of a room that another node orders, the newest head from each source is kept: what the hub sent here, and what it sent to others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

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
    """Whose signatures to expect: a head may be as old as an earlier op key of the node."""

    op: bytes  # Ed25519 public key
    nid: NodeId
    incarnation: int
    earlier: tuple[tuple[bytes, int], ...] = ()

    def has_signed(self, room: RoomId, head: Head, signed: SignedHead) -> bool:
        """Whether one of its op keys vouches for `head`."""
        return any(
            envelope.verify_head(op, room, head, self.nid, incarnation, signed)
            for op, incarnation in ((self.op, self.incarnation), *self.earlier)
        )


class HubHead(Struct, frozen=True):
    """A head that the hub of a room signed at an incarnation."""

    epoch: int
    idx: int
    hash: bytes
    incarnation: int
    signature: bytes


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
        if not signer.has_signed(row.room, head, found):
            yield Fault(row.room, idx, "the signed head does not fit the log")


# --- heads of other hubs ----------------------------------------------------------------------------------

FROM_HUB: Final = b""
_SEEN: Final = "SELECT epoch, idx, hash, incarnation, signature FROM hub_heads"


def put_seen(tx: Tx, room_pk: int, source: bytes, seen: HubHead) -> None:
    """A checked head of a room's hub, by `source`: the hub itself, or a node it was shown to. Only the newest stays."""
    sql = """INSERT INTO hub_heads (room, source, epoch, idx, hash, incarnation, signature) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (room, source) DO UPDATE SET epoch = excluded.epoch, idx = excluded.idx, hash = excluded.hash,
             incarnation = excluded.incarnation, signature = excluded.signature WHERE excluded.idx > idx"""
    tx.execute(sql, (room_pk, source, seen.epoch, seen.idx, seen.hash, seen.incarnation, seen.signature))


def seen(tx: Tx, room_pk: int, source: bytes = FROM_HUB) -> HubHead | None:
    """The newest head from `source`."""
    row = tx.one(f"{_SEEN} WHERE room = ? AND source = ?", (room_pk, source))
    return None if row is None else HubHead(*row)


def to_compare(tx: Tx) -> list[tuple[int, bytes, HubHead]]:
    """(room, source, head) of heads that others were shown, as far as the replica here reaches."""
    sql = """SELECT h.room, h.source, h.epoch, h.idx, h.hash, h.incarnation, h.signature FROM hub_heads h
             JOIN rooms r ON r.id = h.room WHERE h.source <> x'' AND h.idx <= r.head_idx AND r.trouble = ''"""
    return [(row[0], row[1], HubHead(*row[2:])) for row in tx.all(sql)]


def forget_seen(tx: Tx, room_pk: int, source: bytes) -> None:
    """It was compared."""
    tx.execute("DELETE FROM hub_heads WHERE room = ? AND source = ?", (room_pk, source))


def put_proof(tx: Tx, room_pk: int, proof: bytes) -> None:
    """What proves that a hub showed two histories; the first proof is enough."""
    tx.execute("INSERT OR IGNORE INTO proofs (room, proof) VALUES (?, ?)", (room_pk, proof))


def proof_of(tx: Tx, room_pk: int) -> bytes | None:
    """The proof against a room's hub, if there is one."""
    row = tx.one("SELECT proof FROM proofs WHERE room = ?", (room_pk,))
    return None if row is None else bytes(row[0])
