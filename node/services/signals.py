"""Typing and presence across nodes: whispers, best effort, never stored.

A follower whispers to the hub, the hub to the other followers. Only for people of the speaking node, in rooms that both share and
that are small enough (`PRESENCE_ROOM_MEMBERS_MAX`).
"""

from __future__ import annotations

from typing import Protocol

from node.base import limits
from node.base.ids import NodeId, RoomId, UserId, parse_user
from node.services.feed import Feed
from node.services.ports import PeerLinks
from node.storage.database import Database
from node.storage.peers import Peer
from node.storage.rooms import RoomRow, Rooms
from node.wire import c2s, exchange
from node.wire.exchange import PresenceNow, TypingNow


class Nodes(Protocol):
    """Which nodes follow a room (`services.followers.Followers`)."""

    def of(self, row: RoomRow) -> tuple[NodeId, ...]:
        """The other nodes with a member."""


class Signals:
    """Passes signals between devices here and nodes elsewhere."""

    def __init__(self, *, db: Database, node: NodeId, rooms: Rooms, feed: Feed, nodes: Nodes) -> None:
        self._db = db
        self._node = node
        self._rooms = rooms
        self._feed = feed
        self._nodes = nodes
        self._there: dict[NodeId, dict[UserId, str]] = {}
        self.links: PeerLinks | None = None
        feed.entered, feed.there = self.shared, self.there

    # --- from here ------------------------------------------------------------------------------------------

    def typing(self, room_pk: int, user: UserId, *, on: bool) -> None:
        """A person here is typing."""
        row = self._db.view(lambda tx: self._rooms.peek_pk(tx, room_pk))
        self._spread(row, exchange.TYPING, exchange.encode_item(TypingNow(row.room, user, on)))

    def presence(self, room_pk: int, user: UserId, state: str) -> None:
        """A person here came or went."""
        row = self._db.view(lambda tx: self._rooms.peek_pk(tx, room_pk))
        self._spread(row, exchange.PRESENCE, exchange.encode_item(PresenceNow(row.room, user, state)))

    def shared(self, room_pk: int) -> None:
        """A room got a member, perhaps on another node: those who are here are shown there at once."""
        row = self._db.view(lambda tx: self._rooms.peek_pk(tx, room_pk))
        if self._nodes.of(row):
            for user in row.state.members:
                if parse_user(user)[1] == self._node and self._feed.online(user):
                    self.presence(room_pk, user, "online")

    def _spread(self, row: RoomRow, topic: str, body: bytes, *, but: NodeId | None = None) -> None:
        if self.links is None or len(row.state.members) > limits.PRESENCE_ROOM_MEMBERS_MAX:
            return
        nodes = self._nodes.of(row) if row.hub == self._node else (row.hub,)
        for node in nodes:
            if node not in {but, self._node}:
                self.links.whisper(node, topic, body)

    # --- from elsewhere ---------------------------------------------------------------------------------------

    def heard(self, peer: Peer, topic: str, body: bytes) -> None:
        """A whisper. Raises Rejected when it is malformed; what does not concern us is ignored."""
        if topic == exchange.TYPING:
            typing = exchange.decode_typing(body)
            self._pass_on(
                peer, topic, body, typing.room, typing.user, c2s.TypingSignal(typing.room, typing.user, typing.on)
            )
        elif topic == exchange.PRESENCE:
            seen = exchange.decode_presence(body)
            self._pass_on(peer, topic, body, seen.room, seen.user, c2s.PresenceSignal(seen.user, seen.state))

    def _pass_on(self, peer: Peer, topic: str, body: bytes, room: bytes, user: str, frame: c2s.Frame) -> None:
        row = self._db.view(lambda tx: self._rooms.peek(tx, RoomId(room)))
        if row is None or not self._may_say(row, peer, UserId(user)):
            return
        if isinstance(frame, c2s.PresenceSignal):
            self._there.setdefault(peer.nid, {})[UserId(user)] = frame.state
        for subscriber in self._feed.of_room(row.pk):
            subscriber.send(frame)
        if row.hub == self._node:
            self._spread(row, topic, body, but=peer.nid)

    def _may_say(self, row: RoomRow, peer: Peer, user: UserId) -> bool:
        if user not in row.state.members or len(row.state.members) > limits.PRESENCE_ROOM_MEMBERS_MAX:
            return False
        node = parse_user(user)[1]
        return node == peer.nid if row.hub == self._node else row.hub == peer.nid and node != self._node

    def there(self, user: UserId) -> str:
        """What was last heard of somebody elsewhere: ``offline`` when nothing."""
        return next((states[user] for states in self._there.values() if user in states), "offline")

    def linked(self, peer: Peer) -> None:
        """Tells the peer who is here, in the rooms that it orders or follows."""
        for row in self._db.view(lambda tx: self._rooms.shared_with(tx, peer.nid)):
            for user in row.state.members:
                if parse_user(user)[1] == self._node and self._feed.online(user):
                    self._spread_to(peer.nid, row, user)
            self._feed.nodes_moved(row.pk, row.room)

    def _spread_to(self, node: NodeId, row: RoomRow, user: UserId) -> None:
        if self.links is not None and len(row.state.members) <= limits.PRESENCE_ROOM_MEMBERS_MAX:
            self.links.whisper(node, exchange.PRESENCE, exchange.encode_item(PresenceNow(row.room, user, "online")))

    def unlinked(self, peer: Peer) -> None:
        """Nobody knows any more who is there."""
        for user in self._there.pop(peer.nid, {}):
            for subscriber in self._feed.everyone():
                subscriber.send(c2s.PresenceSignal(user, "offline"))
        for row in self._db.view(lambda tx: self._rooms.shared_with(tx, peer.nid)):
            self._feed.nodes_moved(row.pk, row.room)
