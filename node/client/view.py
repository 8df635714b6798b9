"""What a device knows: rooms, names, what waits for other nodes; and up to where, its cursor.

`take` folds one frame and yields what happened while it does so. The caller hands each event on before it asks for the next
one, so the cursor moves only when everything before it was folded and handed on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from node.base.ids import EventId, RoomId, UserId
from node.client.news import (
    CardChanged,
    ContactsChanged,
    Entry,
    Event,
    Named,
    NodesChanged,
    PresenceChanged,
    ReceiptMoved,
    TypingShown,
    WaitingChanged,
    parse_entry,
)
from node.client.room import Room
from node.wire import c2s


class View:
    """The account as one device sees it."""

    def __init__(self, cursor: int | None) -> None:
        self.user = UserId("")
        self.cursor = cursor
        self.rooms: dict[RoomId, Room] = {}
        self.names: dict[UserId, str] = {}
        self.waiting: dict[EventId, c2s.WaitingItem] = {}
        self.nodes: dict[RoomId, c2s.Nodes] = {}
        self.contacts_seen = 0

    def begin(self, welcome: c2s.Welcome) -> None:
        """A connection began: what follows goes on from the cursor, or is a snapshot."""
        self.user = UserId(welcome.user)
        if not welcome.resumed:
            self.rooms.clear()
            self.cursor = None

    def entry(self, room: RoomId, event: EventId) -> Entry | None:
        """The entry that an event became, if it is known."""
        known = self.rooms.get(room)
        entries = () if known is None else tuple(known.entries.values())
        return next((entry for entry in reversed(entries) if entry.event_id == event), None)

    def refusal(self, event: EventId) -> c2s.WaitingItem | None:
        """Why another node refused a post, if it did."""
        item = self.waiting.get(event)
        return item if item is not None and item.code else None

    def take_page(self, room: RoomId, page: c2s.Page) -> list[Entry]:
        """A page of history."""
        entries = [parse_entry(bytes(raw)) for raw in page.entries]
        self._name(page.people)
        known = self.rooms.get(room)
        if known is not None:
            known.take_page(entries, page.marks)
        return entries

    def take(self, frame: c2s.NodeFrame) -> Iterator[Event]:
        """What one frame means; nothing for a frame that is no news."""
        match frame:
            case c2s.Entries():
                yield from self._entries(frame)
            case c2s.Rooms():
                self._name(frame.people)
                for card in frame.rooms:
                    yield self._card(card)
            case c2s.RoomChanged():
                self._name(frame.people)
                yield self._card(frame.card)
            case c2s.Receipts():
                yield from self._receipts(frame)
            case c2s.People():
                self._name(frame.people)
                for person in frame.people:
                    yield Named(UserId(person.user), person.name)
            case c2s.Waiting():
                for waiting in frame.items:
                    self._wait(waiting)
                    yield WaitingChanged(waiting)
            case _:
                yield from self._signal(frame)

    def _signal(self, frame: c2s.NodeFrame) -> Iterator[Event]:
        match frame:
            case c2s.TypingSignal():
                yield TypingShown(RoomId(frame.room), UserId(frame.user), frame.on)
            case c2s.PresenceSignal():
                yield PresenceChanged(UserId(frame.user), frame.state)
            case c2s.Nodes():
                self.nodes[RoomId(frame.room)] = frame
                yield NodesChanged(frame)
            case c2s.ContactsChanged():
                self.contacts_seen += 1
                yield ContactsChanged()
            case _:
                pass  # a pong: hearing it was enough

    def _entries(self, frame: c2s.Entries) -> Iterator[Event]:
        seq = self.cursor or 0
        for raw in frame.entries:
            entry = parse_entry(bytes(raw))
            seq = max(seq, entry.seq)
            self.waiting.pop(entry.event_id, None)
            room = self.rooms.get(entry.room)
            if room is None or room.take_entry(entry):
                yield entry
        self.cursor = seq

    def _receipts(self, frame: c2s.Receipts) -> Iterator[Event]:
        for receipt in frame.receipts:
            room = self.rooms.get(RoomId(receipt.room))
            if room is not None:
                room.take_receipt(receipt)
            yield ReceiptMoved(receipt)
        if self.cursor is not None:
            self.cursor = max(self.cursor, frame.seq)

    def _wait(self, item: c2s.WaitingItem) -> None:
        event = EventId(item.event_id)
        if item.gone:
            self.waiting.pop(event, None)
        else:
            self.waiting[event] = item

    def _card(self, card: c2s.Card) -> Event:
        known = self.rooms.get(RoomId(card.room))
        if known is None:
            self.rooms[RoomId(card.room)] = Room(card, self.user)
        else:
            known.take_card(card)
        return CardChanged(card)

    def _name(self, people: Sequence[c2s.Person]) -> None:
        self.names.update((UserId(person.user), person.name) for person in people)
