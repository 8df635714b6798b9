"""Which nodes follow a room, and what the hub owes them: each entry, and invitations to people whose node follows nothing yet.

A node follows while it has a member. The entry with which its last member goes is still sent, so that the node learns of it; what
comes later is not. Nothing here sends: rows go into the outbox, in the transaction of the entry, and the link is woken after the commit.
"""

from __future__ import annotations

from typing import Final

from node.base.ids import NodeId, UserId, parse_user
from node.core import room as rules
from node.core.room import Room
from node.runtime.clock import Clock
from node.services.ports import PeerLinks
from node.storage import acks
from node.storage.database import Database, Tx
from node.storage.outbox import Outbox
from node.storage.peers import PeerStore
from node.storage.rooms import RoomRow, Rooms
from node.storage.users import Users
from node.wire import exchange

CACHE_MAX: Final = 4_096
NOBODY: Final[tuple[NodeId, ...]] = ()


class Followers:
    """Fills outboxes. `links` is set once the edges exist."""

    def __init__(
        self, *, db: Database, node: NodeId, rooms: Rooms, users: Users, peers: PeerStore, outbox: Outbox, clock: Clock
    ) -> None:
        self._db = db
        self._node = node
        self._rooms = rooms
        self._users = users
        self._peers = peers
        self._outbox = outbox
        self._clock = clock
        self._pks: dict[NodeId, int] = {}
        self._of: dict[int, tuple[dict[UserId, rules.Member], tuple[NodeId, ...]]] = {}
        self._awake: set[NodeId] = set()
        self.links: PeerLinks | None = None
        db.on_abort(self._forget)

    def _forget(self) -> None:
        self._pks.clear()
        self._awake.clear()

    # --- who follows ------------------------------------------------------------------------------------

    def of(self, row: RoomRow) -> tuple[NodeId, ...]:
        """The other nodes with a member, by join order."""
        return self._nodes(row.pk, row.state)

    def _nodes(self, room_pk: int, state: Room) -> tuple[NodeId, ...]:
        known = self._of.get(room_pk)
        if known is not None and known[0] is state.members:
            return known[1]
        nodes = tuple(node for node in rules.nodes_of(state) if node != self._node)
        if len(self._of) >= CACHE_MAX:
            self._of.clear()
        self._of[room_pk] = (state.members, nodes)
        return nodes

    def share_room(self, a: NodeId, b: NodeId) -> bool:
        """Whether some room known here has members of both nodes."""
        rows = self._db.view(lambda tx: self._rooms.shared_with(tx, a))
        return any(b in rules.nodes_of(row.state) for row in rows)

    def met(self, tx: Tx, node: NodeId) -> bool:
        """Whether this node ever had to do with that one."""
        row = self._peers.find(tx, node)
        return row is not None and bool(row.known)

    # --- what they get ----------------------------------------------------------------------------------

    def spread(self, tx: Tx, row: RoomRow, before: Room, idx: int) -> None:
        """The entry `idx` of a room of this hub, for every node that follows it now or did until now."""
        if row.hub != self._node:
            return
        present = self.of(row)
        nodes = present
        if before.members is not row.state.members:
            gone = [node for node in rules.nodes_of(before) if node != self._node and node not in present]
            nodes = (*present, *gone)
            for node in gone:
                acks.drop(tx, row.pk, node)
        else:
            gone = []
        for node in nodes:
            self._outbox.enqueue(tx, self.pk(tx, node), exchange.CLASS_ROOM, room_pk=row.pk, idx=idx)
            self._wake(tx, node)
        for user in (
            row.state.invited if gone else ()
        ):  # what becomes of it is told to them, since their node reads the log no more
            if (node := parse_user(user)[1]) in gone:
                self.send(tx, node, self._offer(tx, row, user))
        if before.invited is not row.state.invited:
            self._spread_invitations(tx, row, before, nodes)

    def _spread_invitations(self, tx: Tx, row: RoomRow, before: Room, told: tuple[NodeId, ...]) -> None:
        """People whose node reads the log learn of it there; the others are told directly."""
        state = row.state
        for user in state.invited.keys() - before.invited.keys():
            node = parse_user(user)[1]
            if node != self._node and node not in told:
                self.send(tx, node, self._offer(tx, row, user))
        for user in before.invited.keys() - state.invited.keys():
            node = parse_user(user)[1]
            if node != self._node and node not in told and user not in state.members:
                self.send(tx, node, exchange.Withdraw(row.room, user))

    def _offer(self, tx: Tx, row: RoomRow, user: UserId) -> exchange.Offer:
        asked = row.state.invited[user]
        by_name = self._users.names(tx, {asked.by}).get(asked.by, "")
        return exchange.Offer(row.room, row.state.name, len(row.state.members), asked.by, by_name, user, asked.at_ms)

    def send(self, tx: Tx, node: NodeId, item: exchange.Item) -> None:
        """Any item, by class 1 (a submission: class 0), after the commit."""
        cls = exchange.CLASS_ROOM if isinstance(item, (exchange.Submit, exchange.News)) else exchange.CLASS_DIRECT
        self._outbox.enqueue(tx, self.pk(tx, node), cls, body=exchange.encode_item(item))
        self._wake(tx, node)

    def pk(self, tx: Tx, node: NodeId) -> int:
        """The number of a peer in this database; it is known from now on."""
        pk = self._pks.get(node)
        if pk is None:
            if len(self._pks) >= CACHE_MAX:
                self._pks.clear()
            pk = self._pks[node] = self._peers.ensure(tx, node, self._clock.now_ms()).pk
        return pk

    def _wake(self, tx: Tx, node: NodeId) -> None:
        if node in self._awake:
            return
        self._awake.add(node)
        tx.after_commit(lambda: self._woken(node))

    def _woken(self, node: NodeId) -> None:
        self._awake.discard(node)
        if self.links is not None:
            self.links.wake(node)
