"""One more entry: what every entry does, whoever wrote it and whichever node gave it its place.

The log grows, the room and the message it acts on are folded, unread marks and mentions follow, devices are woken, and the nodes that
follow a room of this hub get it into their outboxes. All in the caller's transaction. Whether the entry is *legal* was decided before.
"""

from __future__ import annotations

from node.base import limits
from node.base.ids import RoomId, UserId
from node.core import content, message, room
from node.core.message import Message
from node.core.roles import Role
from node.core.room import Command
from node.services.feed import Feed
from node.services.followers import Followers
from node.storage import receipts, successors
from node.storage.database import Database, Tx
from node.storage.log import Appended, Draft, Log
from node.storage.rooms import RoomRow, Rooms
from node.storage.users import Users


class Appender:
    """Appends decided events."""

    def __init__(self, *, db: Database, rooms: Rooms, log: Log, users: Users, feed: Feed, followers: Followers) -> None:
        self._rooms = rooms
        self._log = log
        self._users = users
        self._feed = feed
        self._followers = followers
        self._reads: dict[tuple[int, int], int] = {}
        db.on_abort(self._reads.clear)

    def append(
        self, tx: Tx, row: RoomRow, command: Command, draft: Draft, at_ms: int, target: Message | None
    ) -> Appended:
        """The entry; `target` is the message that a mark acts on."""
        before = row.state
        entry = self._log.append(tx, row, draft, at_ms)
        self._fold(tx, row, command, entry, at_ms, target)
        self._rooms.touch(tx, row)
        self._read_own(tx, row.pk, draft.author_pk, entry.idx)
        self._feed.stage(tx, row.pk, entry, receipts=len(row.state.members) <= limits.RECEIPT_MEMBERS_MAX)
        if row.kind == room.DIRECT and entry.idx == 1:
            for user in row.state.members:
                self._feed.stage_entered(tx, user, row.pk, row.room)
        self._followers.spread(tx, row, before, entry.idx)
        return entry

    def _fold(
        self, tx: Tx, row: RoomRow, command: Command, entry: Appended, at_ms: int, target: Message | None
    ) -> None:
        body = command.body
        if message.target_of(body) is not None and target is not None:
            self._log.save_marks(tx, row, message.evolve(target, command.actor, body))
            return
        named = message.mentions(body, command.actor)
        if named:
            self._mention(tx, row, entry.idx, command.actor, named)
        if isinstance(body, content.Create):
            self._note_successor(tx, command.actor, body, row)
        before = row.state
        after = room.evolve(before, command, at_ms, entry.idx)
        if after is not before:
            self._rooms.set_state(tx, row, after, entry.idx)
            self._stage_people(tx, row, before, after)

    def _note_successor(self, tx: Tx, author: UserId, body: content.Create, row: RoomRow) -> None:
        """A new group says that it replaces another; it counts where the old one is known and its owner says so."""
        old = None if body.replaces is None else self._rooms.load(tx, RoomId(body.replaces.room))
        if old is None or not is_owner(old, author):
            return
        successors.put(tx, old.room, row.room)
        for user in old.state.members:
            self._feed.stage_card(tx, user, old.room)

    def _mention(self, tx: Tx, row: RoomRow, idx: int, author: UserId, named: tuple[str, ...]) -> None:
        members = row.state.members
        users = set(members) if room_wide(named) else {UserId(user) for user in named if user in members}
        self._log.mention(tx, row.pk, idx, [self._users.pk(tx, user) for user in users - {author}])

    def _stage_people(self, tx: Tx, row: RoomRow, before: room.Room, after: room.Room) -> None:
        for user in after.members.keys() - before.members.keys():
            self._feed.stage_entered(tx, user, row.pk, row.room)
        for user in before.members.keys() - after.members.keys():
            self._feed.stage_left(tx, user, row.pk, row.room)
        for user in before.invited.keys() ^ after.invited.keys():
            if user not in after.members:
                self._feed.stage_card(tx, user, row.room)

    def _read_own(self, tx: Tx, room_pk: int, user_pk: int, idx: int) -> None:
        """Who writes has read: own marks follow own entries, written once a batch."""
        if not self._reads:
            tx.before_commit(self, lambda: self._flush_reads(tx))
        self._reads[room_pk, user_pk] = idx

    def _flush_reads(self, tx: Tx) -> None:
        receipts.store_own(tx, [(room_pk, user_pk, idx) for (room_pk, user_pk), idx in self._reads.items()])
        self._reads.clear()


def room_wide(named: tuple[str, ...]) -> bool:
    """Whether a mention names everybody."""
    return content.MENTION_ALL in named


def is_owner(row: RoomRow, user: UserId) -> bool:
    """Whether somebody owns the group, as this node holds it."""
    member = row.state.members.get(user)
    return member is not None and room.rank_role(member) is Role.OWNER
