"""Receipts across nodes: each node tells how far its own members got, to the hub; the hub tells the other followers.

Marks only grow and lie in ``members`` with a feed position, so a peer is a cursor over them like a device: what moved after the position
it confirmed is sent, and after a loss sent again.
"""

from __future__ import annotations

from typing import Protocol

from node.base import limits
from node.base.ids import NodeId, RoomId, UserId, parse_user
from node.services.ports import PeerLinks
from node.services.receipts import Receipts
from node.storage import receipts
from node.storage.database import Database, Tx
from node.storage.log import Log
from node.storage.peers import Peer, PeerStore
from node.storage.receipts import Moved
from node.storage.rooms import RoomRow, Rooms
from node.storage.users import Users
from node.wire import exchange
from node.wire.exchange import Mark, Marks


class Nodes(Protocol):
    """Which nodes follow a room (`services.followers.Followers`)."""

    def of(self, row: RoomRow) -> tuple[NodeId, ...]:
        """The other nodes with a member."""


class Marking:
    """Passes receipts on."""

    def __init__(
        self,
        *,
        db: Database,
        node: NodeId,
        rooms: Rooms,
        users: Users,
        log: Log,
        peers: PeerStore,
        store: Receipts,
        nodes: Nodes,
    ) -> None:
        self._db = db
        self._node = node
        self._rooms = rooms
        self._users = users
        self._log = log
        self._peers = peers
        self._store = store
        self._nodes = nodes
        self.links: PeerLinks | None = None

    async def pass_on(self, peer: Peer) -> None:
        """Sends what moved since the peer last confirmed."""
        assert self.links is not None
        after, upto, moved = self._db.view(lambda tx: self._moved(tx, peer))
        if upto == after:
            return
        for start in range(0, len(moved), limits.MARKS_AT_ONCE):
            said = Marks(tuple(moved[start : start + limits.MARKS_AT_ONCE]))
            await self.links.request(peer.nid, exchange.MARKS, exchange.encode_item(said))
        await self._db.write(lambda tx: self._peers.marks_sent(tx, peer.pk, upto))

    def _moved(self, tx: Tx, peer: Peer) -> tuple[int, int, list[Mark]]:
        row = self._peers.get(tx, peer.pk)
        assert row is not None, "it is linked"
        upto = self._log.head_seq(tx)
        found = receipts.moved_since(tx, row.marks_seq, upto) if upto > row.marks_seq else []
        return row.marks_seq, upto, [_mark(mark) for mark in found if self._concerns(tx, peer, mark)]

    def _concerns(self, tx: Tx, peer: Peer, mark: Moved) -> bool:
        """Own members' marks go to the hub; a hub tells of everybody to who follows, except of the peer's own."""
        node = parse_user(mark.user)[1]
        if node == peer.nid or mark.hub not in {peer.nid, self._node}:
            return False
        if mark.hub == peer.nid:
            return node == self._node
        return peer.nid in self._nodes.of(self._rooms.peek_pk(tx, mark.room_pk))

    def heard(self, peer: Peer, said: Marks) -> None:
        """Marks of the peer's members, or of others in rooms it orders. What does not fit is ignored."""
        for mark in said.marks:
            row = self._db.view(lambda tx, mark=mark: self._rooms.peek(tx, RoomId(mark.room)))  # type: ignore[misc]
            if row is None or not self._may_say(row, peer, UserId(mark.user)):
                continue
            pk = self._db.view(lambda tx, mark=mark: self._users.find(tx, UserId(mark.user)))  # type: ignore[misc]
            if pk is not None:
                self._store.heard(row.pk, pk, min(mark.delivered_idx, row.head.idx), min(mark.read_idx, row.head.idx))

    def _may_say(self, row: RoomRow, peer: Peer, user: UserId) -> bool:
        if user not in row.state.members:
            return False
        node = parse_user(user)[1]
        if row.hub == self._node:
            return node == peer.nid
        return row.hub == peer.nid and node != self._node


def _mark(moved: Moved) -> Mark:
    return Mark(moved.room, moved.user, moved.delivered_idx, moved.read_idx, moved.read_ms)
