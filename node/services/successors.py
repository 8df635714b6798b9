"""A group whose hub is gone for good goes on as a new group on the node of its owner.

The first entry of the new one names the old group and the last place of its log that the owner's node holds; it counts as the successor
only where the replica of the old group says that its maker was the owner. Everybody who was in is invited and confirms by joining. Two
successors are shown side by side: people choose.
"""

from __future__ import annotations

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import ClientId, NodeId, RoomId
from node.core import content, room
from node.core.content import Body
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.services.actor import Actor
from node.services.appending import is_owner
from node.services.post import Post
from node.services.posting import Posting
from node.storage.database import Database
from node.storage.rooms import RoomRow, Rooms


class Successors:
    """Makes them."""

    def __init__(
        self, *, db: Database, node: NodeId, rooms: Rooms, posting: Posting, clock: Clock, entropy: Entropy
    ) -> None:
        self._db = db
        self._node = node
        self._rooms = rooms
        self._posting = posting
        self._clock = clock
        self._entropy = entropy

    async def make(self, actor: Actor, old: RoomId) -> RoomId:
        """A new group on this node that goes on with `old`. Raises Rejected."""
        row = self._db.view(lambda tx: self._rooms.peek(tx, old))
        if row is None or actor.user not in row.state.members:
            raise Rejected(Code.NOT_FOUND, "This chat does not exist, or you are not in it.")
        if row.kind != room.GROUP or row.hub == self._node:
            raise Rejected(Code.CONFLICT, "Only a group that another node orders can go on as a new one.")
        if not is_owner(row, actor.user):
            raise Rejected(Code.ROLE_TOO_LOW, "Only the owner can let a group go on.", role_needed="owner")
        return await self._make(actor, row)

    async def _make(self, actor: Actor, row: RoomRow) -> RoomId:
        state = row.state
        replaces = content.Replaces(room=row.room, idx=row.head.idx, hash=row.head.hash)
        guests = [user for user in state.members if user != actor.user]
        first, later = guests[: limits.INVITE_BATCH_MAX], guests[limits.INVITE_BATCH_MAX :]
        body = content.Create(name=state.name, topic=state.topic, replaces=replaces)
        made = await self._posting.post(actor, self._post(b"", "create", body, tuple(first)))
        for user in later:
            await self._posting.post(actor, self._post(made.room, "invite", content.Invite(user=user)))
        return made.room

    def _post(self, to: bytes, kind: str, body: Body, guests: tuple[str, ...] = ()) -> Post:
        client_id = ClientId(self._entropy.uuid7(self._clock.now_ms()))
        return Post(to, client_id, kind, content.encode_body(body), guests)
