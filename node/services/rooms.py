"""Looking at rooms: the list, one card, who is in it and how far they read, what one may do there."""

from __future__ import annotations

from msgspec import Struct

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import RoomId, UserId
from node.core import room as rules
from node.core.roles import Capability
from node.runtime.clock import Clock
from node.services.access import RoomAccess, access_room
from node.services.actor import Actor
from node.services.feed import Feed
from node.services.sync import Sync
from node.storage import receipts
from node.storage.database import Database, Tx
from node.storage.receipts import Marks
from node.storage.rooms import Rooms
from node.storage.users import Users
from node.wire import c2s


class MemberView(Struct, frozen=True, kw_only=True):
    """A member as others see them; receipts are 0 in rooms above `RECEIPT_MEMBERS_MAX` members."""

    user: UserId
    name: str
    role: str
    joined_ms: int
    muted_until_ms: int
    delivered_idx: int
    read_idx: int
    read_ms: int
    online: bool


class GuestView(Struct, frozen=True, kw_only=True):
    """An open invitation."""

    user: UserId
    name: str
    by: UserId
    at_ms: int


class BannedView(Struct, frozen=True, kw_only=True):
    """A ban."""

    user: UserId
    name: str
    by: UserId
    until_ms: int
    reason: str


class BannedNodeView(Struct, frozen=True, kw_only=True):
    """A node whose people are kept out; `node` as text."""

    node: str
    by: UserId
    reason: str


class Membership(Struct, frozen=True, kw_only=True):
    """Everybody who has to do with a room; bans only for those who may end them."""

    members: tuple[MemberView, ...]
    invited: tuple[GuestView, ...]
    banned: tuple[BannedView, ...]
    nodes_banned: tuple[BannedNodeView, ...]


class RoomBook:
    """Reads rooms for one person at a time."""

    def __init__(self, *, db: Database, rooms: Rooms, users: Users, sync: Sync, feed: Feed, clock: Clock) -> None:
        self._db = db
        self._rooms = rooms
        self._users = users
        self._sync = sync
        self._feed = feed
        self._clock = clock

    def access(self, actor: Actor, room: RoomId) -> RoomAccess:
        """Proof that `actor` may read. Raises Rejected with `not_found`."""
        return self._db.view(lambda tx: access_room(tx, self._rooms, actor, room))

    def cards(self, actor: Actor) -> list[c2s.Card]:
        """Every room and open invitation, latest first."""
        return [card for frame in self._sync.snapshot(actor, None, self._sync.head()) for card in frame.rooms]

    def card(self, actor: Actor, room: RoomId) -> c2s.Card:
        """One room. Raises Rejected with `not_found`."""
        row = self._db.view(lambda tx: self._rooms.peek(tx, room))
        if row is None or (actor.user not in row.state.invited and not self._was_there(actor, row.pk)):
            raise Rejected(Code.NOT_FOUND, "This chat does not exist, or you are not in it.")
        card = self._sync.card(actor, room)
        assert card is not None, "the row was just there and rooms are never deleted"
        return card

    def _was_there(self, actor: Actor, room_pk: int) -> bool:
        return self._db.view(lambda tx: self._rooms.span(tx, room_pk, actor.user_pk)) is not None

    def can(self, actor: Actor, room: RoomId) -> tuple[Capability, ...]:
        """What `actor` may do in the room now, in the order of the table."""
        row = self._db.view(lambda tx: self._rooms.peek(tx, room))
        allowed = frozenset() if row is None else rules.capabilities(row.state, actor.user, self._clock.now_ms())
        return tuple(capability for capability in Capability if capability in allowed)

    def members(self, access: RoomAccess) -> Membership:
        """Who is in, invited and banned. Only for present members. Raises Rejected with `not_member`."""
        if not access.present:
            raise Rejected(Code.NOT_MEMBER, "You are not a member of this chat.")
        return self._db.view(lambda tx: self._members(tx, access))

    def _members(self, tx: Tx, access: RoomAccess) -> Membership:
        state, now_ms = access.row.state, self._clock.now_ms()
        may_unban = Capability.KICK in rules.capabilities(state, access.actor.user, now_ms)
        bans = state.bans if may_unban else {}
        names = self._users.names(tx, {*state.members, *state.invited, *bans})
        marks, none = self._receipts(tx, access), Marks(access.row.room, access.actor.user, 0, 0, 0)
        return Membership(
            members=tuple(
                MemberView(
                    user=user,
                    name=names.get(user, ""),
                    role=rules.role_of(member, now_ms).value,
                    joined_ms=member.joined_ms,
                    muted_until_ms=member.muted_until_ms,
                    delivered_idx=marks.get(user, none).delivered_idx,
                    read_idx=marks.get(user, none).read_idx,
                    read_ms=marks.get(user, none).read_ms,
                    online=self._feed.is_there(user),
                )
                for user, member in state.members.items()
            ),
            invited=tuple(
                GuestView(user=user, name=names.get(user, ""), by=asked.by, at_ms=asked.at_ms)
                for user, asked in state.invited.items()
            ),
            nodes_banned=tuple(
                BannedNodeView(node=node, by=ban.by, reason=ban.reason)
                for node, ban in (state.nodes_banned.items() if may_unban else ())
            ),
            banned=tuple(
                BannedView(user=user, name=names.get(user, ""), by=ban.by, until_ms=ban.until_ms, reason=ban.reason)
                for user, ban in bans.items()
            ),
        )

    def _receipts(self, tx: Tx, access: RoomAccess) -> dict[UserId, Marks]:
        if len(access.row.state.members) > limits.RECEIPT_MEMBERS_MAX:
            return {}
        return receipts.of_room(tx, access.row.pk)
