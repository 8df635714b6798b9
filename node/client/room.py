"""A room as a device sees it: its card, its newest messages with everything later entries did to them, receipts, counts.

The same fold as everywhere (core/message.py). Entries may come twice (page and feed) and pages may come from the past; a
message therefore keeps the state of whoever knows more: a page's marks, or the marks folded here since.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from node.base.ids import EventId, RoomId, UserId
from node.client.news import Entry
from node.core import content, message
from node.core.message import Message
from node.wire import c2s

MESSAGES_KEPT: Final = 2_000  # of one room, in memory; older ones are read again with `history`


class Room:
    """What is known of one room. Changed only by the client that owns it."""

    def __init__(self, card: c2s.Card, me: UserId) -> None:
        self.card = card
        self.me = me
        self.entries: dict[int, Entry] = {}
        self.messages: dict[EventId, Message] = {}
        self.receipts: dict[UserId, c2s.Receipt] = {}
        self._later: dict[int, bool] = {}  # idx of unread messages behind the card -> names me
        self._read_idx = card.read_idx

    @property
    def id(self) -> RoomId:
        """The room's id."""
        return RoomId(self.card.room)

    @property
    def head_idx(self) -> int:
        """The newest entry heard of."""
        return max(self.card.head_idx, max(self.entries, default=0))

    @property
    def read_idx(self) -> int:
        """How far this user has read, on any device."""
        return self._read_idx

    @property
    def unread(self) -> int:
        """Messages of others behind the read mark."""
        return self._counted(self.card.unread) + len(self._later)

    @property
    def mentions(self) -> int:
        """Those of them that name this user."""
        return self._counted(self.card.mentions) + sum(self._later.values())

    def _counted(self, count: int) -> int:
        return count if self._read_idx <= self.card.read_idx else 0

    def texts(self) -> list[str]:
        """The messages as one would read them now, oldest first; erased ones are empty."""
        return [
            self.shown(self.entries[idx]) for idx in sorted(self.entries) if content.is_content(self.entries[idx].kind)
        ]

    def shown(self, entry: Entry) -> str:
        """What `entry` says now, after edits; empty when erased."""
        known = self.messages.get(entry.event_id)
        if known is not None and (known.erased or known.edited):
            return "" if known.erased or known.edited is None else known.edited.text
        return entry.text

    # --- changes ----------------------------------------------------------------------------------------

    def take_card(self, card: c2s.Card) -> None:
        """The card anew; true at `card.as_of`."""
        self.card = card
        self.read(card.read_idx)
        self._read_idx = max(card.read_idx, self._read_idx)
        behind = {entry.idx for entry in self.entries.values() if entry.seq > card.as_of}
        self._later = {idx: named for idx, named in self._later.items() if idx in behind}

    def take_entry(self, entry: Entry) -> bool:
        """An entry of the feed. Returns whether it is new."""
        if entry.idx in self.entries:
            return False
        self._keep(entry)
        if entry.author == self.me:
            self.read(entry.idx)
        elif content.is_content(entry.kind) and entry.seq > self.card.as_of and entry.idx > self._read_idx:
            named = _mentions(entry)
            if entry.kind != "call" or self.me in named:  # a call is unread for who missed it
                self._later[entry.idx] = self.me in named or content.MENTION_ALL in named
        self._mark(entry)
        return True

    def take_page(self, entries: list[Entry], marks: tuple[c2s.Mark, ...]) -> None:
        """A page of history: entries with the state that later entries gave them."""
        by_idx = {mark.idx: mark for mark in marks}
        for entry in entries:
            self._keep(entry)
            mark = by_idx.get(entry.idx)
            if mark is not None and content.is_content(entry.kind):
                self.messages[entry.event_id] = _folded(entry, mark)

    def take_receipt(self, receipt: c2s.Receipt) -> None:
        """Marks only grow."""
        user = UserId(receipt.user)
        known = self.receipts.get(user, receipt)
        self.receipts[user] = replace(
            receipt,
            delivered_idx=max(known.delivered_idx, receipt.delivered_idx),
            read_idx=max(known.read_idx, receipt.read_idx),
            read_ms=max(known.read_ms, receipt.read_ms),
        )
        if user == self.me:
            self.read(receipt.read_idx)

    def read(self, idx: int) -> None:
        """This user has read up to `idx`."""
        self._read_idx = max(self._read_idx, idx)
        self._later = {later: named for later, named in self._later.items() if later > self._read_idx}

    def _keep(self, entry: Entry) -> None:
        self.entries[entry.idx] = entry
        if content.is_content(entry.kind) and entry.event_id not in self.messages:
            self.messages[entry.event_id] = _message(entry)
        if len(self.entries) > MESSAGES_KEPT:
            oldest = self.entries.pop(min(self.entries))
            self.messages.pop(oldest.event_id, None)

    def _mark(self, entry: Entry) -> None:
        target = None if entry.body is None else message.target_of(entry.body)
        known = None if target is None else self.messages.get(target)
        if known is None or entry.body is None or target is None:
            return
        changed = message.evolve(known, entry.author, entry.body)
        self.messages[target] = changed
        if changed.erased:
            self._later.pop(changed.idx, None)
            kept = self.entries.get(changed.idx)
            if kept is not None:
                self.entries[changed.idx] = replace(kept, body=None)


def _message(entry: Entry) -> Message:
    return Message(event=entry.event_id, idx=entry.idx, author=entry.author, kind=entry.kind, at_ms=entry.at_ms)


def _folded(entry: Entry, mark: c2s.Mark) -> Message:
    edited = None if mark.edited is None else content.decode_body("edit", mark.edited)
    return replace(
        _message(entry),
        edits=mark.edits,
        edited=edited if isinstance(edited, content.Edit) else None,
        erased=mark.erased,
        erased_by=None if mark.erased_by is None else UserId(mark.erased_by),
        reason=mark.reason,
        reactions={value: tuple(UserId(user) for user in users) for value, users in mark.reactions.items()},
    )


def _mentions(entry: Entry) -> tuple[str, ...]:
    return () if entry.body is None else message.mentions(entry.body, entry.author)
