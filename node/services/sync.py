"""What a device must learn: snapshot, pages from a cursor, pages of history. Reads only.

A page from a cursor holds, in feed order, receipts and then entries of (cursor, end]; `end` is the new cursor. The same
function serves a device that was away for a week and one that just fell behind by three messages.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Protocol

from msgspec import Raw, Struct
from msgspec.structs import replace

from node.base import limits
from node.base.ids import RoomId, UserId, parse_user
from node.core import content
from node.core.message import Message
from node.core.room import DIRECT, GROUP, Room, nodes_of, role_of
from node.runtime.clock import Clock
from node.services.access import RoomAccess
from node.services.actor import Actor
from node.services.feed import to_waiting
from node.storage import contacts, pending, receipts, successors
from node.storage.contacts import OfferRow
from node.storage.database import Database, Tx
from node.storage.log import Log
from node.storage.rooms import RoomRow, Rooms
from node.storage.users import Users
from node.wire import c2s
from node.wire.codec import encode
from node.wire.envelope import decode_event

ROOMS_PER_FRAME = 100


class Delivered(Struct, frozen=True):
    """Up to where a page brought a room."""

    room_pk: int
    idx: int
    receipts: bool


class FeedPage(Struct, frozen=True):
    """Entries and receipts of (cursor, end]; `complete` when `end` is the feed's head. `last_seq` is what a device that got
    the entries acknowledges."""

    end: int
    entries: tuple[Raw, ...]
    receipts: tuple[c2s.Receipt, ...]
    people: tuple[c2s.Person, ...]
    delivered: tuple[Delivered, ...]
    complete: bool
    last_seq: int = 0


class HistoryPage(Struct, frozen=True):
    """Entries of one room in rising idx, the marks on them, and the names of their authors."""

    entries: tuple[Raw, ...]
    marks: tuple[Message, ...]
    people: tuple[c2s.Person, ...]
    more: bool


class NodeMarks(Protocol):
    """Who has how much of a room (`services.reach.Reach`)."""

    def marks(self, tx: Tx, row: RoomRow) -> tuple[tuple[c2s.NodeMark, ...], int]:
        """The other nodes of the room, and the last stable entry."""


class Sync:
    """Reader of feed and history for devices."""

    def __init__(self, *, db: Database, rooms: Rooms, log: Log, users: Users, clock: Clock, nodes: NodeMarks) -> None:
        self._nodes = nodes
        self._db = db
        self._rooms = rooms
        self._log = log
        self._users = users
        self._clock = clock

    # --- snapshot ---------------------------------------------------------------------------------------

    def head(self) -> int:
        """The feed position on disk."""
        return self._db.view(self._log.head_seq)

    def rooms_of(self, actor: Actor) -> list[tuple[int, RoomId]]:
        """Rooms the user is a member of now."""
        return self._db.view(lambda tx: self._rooms.of_user(tx, actor.user_pk))

    def snapshot(self, actor: Actor, since: int | None, head: int) -> Iterator[c2s.Rooms]:
        """Frames with every room of the user, or those that changed after feed position `since`; true at `head`."""
        changed = self._db.view(lambda tx: self._changed(tx, actor, since))
        part: list[c2s.Card] = []
        size = 0
        for room in changed:
            card = self.card(actor, room, head)
            if card is None:
                continue
            size += len(encode(card))
            if part and (len(part) == ROOMS_PER_FRAME or size > limits.ENTRIES_FRAME_BYTES_MAX):
                yield c2s.Rooms(tuple(part), self.people_of(part), more=True)
                part, size = [], len(encode(card))
            part.append(card)
        yield c2s.Rooms(tuple(part), self.people_of(part), more=False)

    def _changed(self, tx: Tx, actor: Actor, since: int | None) -> list[RoomId]:
        mine = self._rooms.changed_since(tx, actor.user_pk, since)
        offers = [offer.room for offer in contacts.offers_of(tx, actor.user_pk)]
        return [*mine, *self._rooms.invitations_of(tx, actor.user_pk), *offers]

    def card(self, actor: Actor, room: RoomId, as_of: int | None = None) -> c2s.Card | None:
        """The room as this user's list shows it; None when it does not exist. Who was never inside and is not invited gets
        a card that says ``left`` and nothing else."""
        return self._db.view(lambda tx: self._card(tx, actor, room, self._log.head_seq(tx) if as_of is None else as_of))

    def _card(self, tx: Tx, actor: Actor, room: RoomId, as_of: int) -> c2s.Card | None:
        row = self._rooms.peek(tx, room)
        if row is None or actor.user not in row.state.members:
            offer = contacts.offer(tx, actor.user_pk, room)
            if offer is not None:
                return _offered(offer, as_of)
        if row is None:
            return None
        state, member = row.state, row.state.members.get(actor.user)
        if member is None:
            return self._card_outside(tx, actor, row, as_of)
        first_idx, _ = self._rooms.span(tx, row.pk, actor.user_pk) or (member.joined_idx, None)
        marks = receipts.of_member(tx, row.pk, actor.user_pk)
        read_idx = 0 if marks is None else marks.read_idx
        unread, mentions = self._log.unread(tx, row.pk, actor.user_pk, read_idx, row.head.idx)
        last = self._log.last_content(tx, row.room, row.pk, first_idx, row.head.idx)
        last_marks = [] if last is None else self._log.marks(tx, row.pk, last[0], last[0])
        nodes, stable_idx = self._nodes.marks(tx, row)
        return c2s.Card(
            room=row.room,
            kind=row.kind,
            name=state.name,
            topic=state.topic,
            hub=row.hub,
            peer=_peer(state, actor.user),
            role=role_of(member, self._clock.now_ms()).value,
            muted_all=state.muted_all,
            muted_until_ms=member.muted_until_ms,
            recall_window_s=state.recall_window_s,
            edit_window_s=state.edit_window_s,
            calls=state.calls,
            members=len(state.members),
            joined_idx=first_idx,
            head_idx=row.head.idx,
            read_idx=read_idx,
            unread=unread,
            mentions=mentions,
            last=c2s.NOTHING if last is None else last[1],
            last_mark=Raw(encode(to_mark(last_marks[0]))) if last_marks else c2s.NOTHING,
            nodes=nodes,
            stable_idx=stable_idx,
            trouble=row.trouble,
            successors=successors.of(tx, row.room) if row.kind == GROUP else (),
            as_of=as_of,
        )

    def _card_outside(self, tx: Tx, actor: Actor, row: RoomRow, as_of: int) -> c2s.Card | None:
        invited = row.state.invited.get(actor.user) if self._is_followed(row, actor) else None
        card = c2s.Card(room=row.room, kind=row.kind, name=row.state.name, hub=row.hub, as_of=as_of, state="left")
        if invited is not None:
            members = len(row.state.members)
            return replace(card, topic=row.state.topic, state="invited", invited_by=invited.by, members=members)
        span = self._rooms.span(tx, row.pk, actor.user_pk)
        if span is None:  # an invitation that was withdrawn or declined goes away; a stranger learns nothing
            return replace(card, name="")
        first, last = span
        return replace(card, joined_idx=first, head_idx=last or 0, read_idx=last or 0)

    @staticmethod
    def _is_followed(row: RoomRow, actor: Actor) -> bool:
        """Whether this node still reads the log of the room; if not, its hub tells by an offer who is invited."""
        here = parse_user(actor.user)[1]
        return here == row.hub or here in nodes_of(row.state)

    def people_of(self, cards: Iterable[c2s.Card]) -> tuple[c2s.Person, ...]:
        """Names that the cards need: peers, inviters, authors of last messages."""
        users: set[UserId] = set()
        for card in cards:
            users.update(UserId(user) for user in (card.peer, card.invited_by) if user)
            if card.last is not c2s.NOTHING:
                users.add(UserId(decode_event(c2s.decode_entry(bytes(card.last)).event).author))
        return self.people(users)

    def people(self, users: set[UserId]) -> tuple[c2s.Person, ...]:
        """Names of users; who has none is shown by the local part."""
        names = self._db.view(lambda tx: self._users.names(tx, users))
        return tuple(c2s.Person(user, names[user]) for user in sorted(names))

    # --- posts without a place, and other nodes -----------------------------------------------------------

    def waiting(self, actor: Actor) -> c2s.Waiting:
        """Posts of the user that wait for other nodes, or were refused by them."""
        return c2s.Waiting(
            tuple(to_waiting(row) for row in self._db.view(lambda tx: pending.of_author(tx, actor.user_pk)))
        )

    def nodes(self, room: RoomId) -> c2s.Nodes | None:
        """How far the other nodes of a room have it."""

        def look(tx: Tx) -> c2s.Nodes | None:
            row = self._rooms.peek(tx, room)
            return None if row is None else c2s.Nodes(room, *self._nodes.marks(tx, row))

        return self._db.view(look)

    # --- pages ------------------------------------------------------------------------------------------

    def page(self, actor: Actor, cursor: int, limit: int) -> FeedPage:
        """What follows feed position `cursor` for this user."""
        return self._db.view(lambda tx: self._page(tx, actor, cursor, limit))

    def _page(self, tx: Tx, actor: Actor, cursor: int, limit: int) -> FeedPage:
        head = self._log.head_seq(tx)
        if head <= cursor:
            return FeedPage(cursor, (), (), (), (), complete=True)
        found: list[list[tuple[int, int, Raw, RoomRow]]] = []
        for room_pk, first, last in self._rooms.with_news(tx, actor.user_pk, cursor):
            row = self._rooms.peek_pk(tx, room_pk)
            high = row.head.idx if last is None else last
            entries = self._log.since(tx, row.room, room_pk, cursor, first, high, limit + 1)
            found.append([(seq, idx, raw, row) for seq, idx, raw in entries])
        taken: list[tuple[int, int, Raw, RoomRow]] = []
        size, full = 0, False
        for item in heapq.merge(*found, key=lambda item: item[0]):
            size += len(bytes(item[2]))
            if len(taken) == limit or (taken and size > limits.ENTRIES_FRAME_BYTES_MAX):
                full = True
                break
            taken.append(item)
        end = taken[-1][0] if full else head
        delivered = {row.pk: Delivered(row.pk, idx, _small(row.state)) for _, idx, _, row in taken}
        return FeedPage(
            end=end,
            entries=tuple(raw for _, _, raw, _ in taken),
            receipts=tuple(to_receipt(marks) for marks in receipts.since(tx, actor.user_pk, cursor, end)),
            people=tuple(c2s.Person(user, name) for user, name in self._users.renamed_since(tx, cursor, end)),
            delivered=tuple(delivered.values()),
            complete=not full,
            last_seq=taken[-1][0] if taken else 0,
        )

    def history(self, access: RoomAccess, idx: int, limit: int, *, back: bool) -> HistoryPage:
        """Before `idx` (exclusive; 0 = the end) downwards, or from `idx` upwards, within what the actor may read."""
        return self._db.view(lambda tx: self._history(tx, access, idx, limit, back=back))

    def _history(self, tx: Tx, access: RoomAccess, idx: int, limit: int, *, back: bool) -> HistoryPage:
        row = access.row
        first = access.first if back else max(access.first, idx)
        last = min(access.last, idx - 1) if back and idx else access.last
        if first > last:
            return HistoryPage((), (), (), more=False)
        raws = self._log.page(tx, row.room, row.pk, first, last, limit, back=back)
        if not raws:  # `last` is the writer's head: these entries are not on disk yet
            return HistoryPage((), (), (), more=False)
        entries = [c2s.decode_entry(bytes(raw)) for raw in raws]
        marks = {mark.idx: mark for mark in self._log.marks(tx, row.pk, entries[0].idx, entries[-1].idx)}
        kept = _fit([_size(raw, marks.get(entry.idx)) for raw, entry in zip(raws, entries, strict=True)], back=back)
        raws, entries = raws[kept], entries[kept]
        low, high = entries[0].idx, entries[-1].idx
        authors = {UserId(decode_event(entry.event).author) for entry in entries}
        names = self._users.names(tx, authors)
        people = tuple(c2s.Person(user, name) for user, name in sorted(names.items()))
        shown = tuple(mark for idx, mark in marks.items() if low <= idx <= high)
        return HistoryPage(tuple(raws), shown, people, more=low > first if back else high < last)


def _offered(offer: OfferRow, as_of: int) -> c2s.Card:
    """A group of another node that somebody is asked into."""
    return c2s.Card(
        room=offer.room, kind=GROUP, name=offer.name, hub=offer.hub, state="invited", invited_by=offer.by,
        members=offer.members, joining=offer.accepted, as_of=as_of,
    )  # fmt: skip


def gone(room: RoomId) -> c2s.Card:
    """The card of a room that is not here (any more): an offer that was withdrawn or declined."""
    return c2s.Card(room=room, kind=GROUP, name="", hub=b"", state="left", as_of=0)


def to_mark(changed: Message) -> c2s.Mark:
    """A folded message as devices get it."""
    edited = content.encode_body(changed.edited) if changed.edited else None
    reactions: dict[str, tuple[str, ...]] = {value: tuple(users) for value, users in changed.reactions.items()}
    return c2s.Mark(changed.idx, changed.edits, edited, changed.erased, changed.erased_by, changed.reason, reactions)


def _peer(state: Room, user: UserId) -> str:
    return next((other for other in state.members if other != user), user) if state.kind == DIRECT else ""


def _small(state: Room) -> bool:
    return len(state.members) <= limits.RECEIPT_MEMBERS_MAX


def _size(raw: Raw, mark: Message | None) -> int:
    """Bytes of an entry and its mark, which may hold another whole text."""
    return len(bytes(raw)) + (0 if mark is None else len(encode(to_mark(mark))))


def _fit(sizes: list[int], *, back: bool) -> slice:
    """As many as one frame holds, from the end that was asked for; at least one."""
    total, kept = 0, 0
    for size in reversed(sizes) if back else sizes:
        total += size
        if kept and total > limits.ENTRIES_FRAME_BYTES_MAX:
            break
        kept += 1
    return slice(len(sizes) - kept, None) if back else slice(0, kept)


def to_receipt(marks: receipts.Marks) -> c2s.Receipt:
    """Marks of a member as devices get them."""
    return c2s.Receipt(marks.room, marks.user, marks.delivered_idx, marks.read_idx, marks.read_ms)
