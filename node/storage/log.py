"""The logs: append, look up, page, erase, verify. Each entry is stored as its parts and encoded for devices here.

`entries.seq` is the feed position. The counter lives in memory and is written once a batch; the same goes for
`author_seq`, which must rise even when the clock steps back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from node.base import limits
from node.base.ids import ClientId, EventId, RoomId, UserId
from node.core import content, hub, message
from node.core.content import Body
from node.core.message import Message
from node.storage.database import Database, Tx
from node.storage.rooms import RoomRow

_INSERT: Final = """
INSERT INTO entries (seq, room, idx, epoch, at_ms, event_id, log_hash, event, salt, body, kind, author, counts, device,
                     client_id, signature, author_seq)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ENTRIES: Final = "SELECT seq, epoch, idx, at_ms, event_id, event, salt, body FROM entries"
_MESSAGE: Final = """
SELECT e.event_id, e.idx, u.user, e.kind, e.at_ms, m.message
FROM entries e JOIN users u ON u.id = e.author LEFT JOIN marks m ON m.room = e.room AND m.idx = e.idx
"""
_encode_message: Final = msgspec.msgpack.Encoder().encode
_decode_message: Final = msgspec.msgpack.Decoder(Message).decode
_encode_entry: Final = msgspec.msgpack.Encoder().encode


class Appended(Struct, frozen=True):
    """An entry as it went into the log; `raw` is what devices get."""

    seq: int
    room: RoomId
    idx: int
    event_id: EventId
    at_ms: int
    raw: Raw


class Draft(Struct, frozen=True):
    """All that `append` needs to know of an event. `signature` is that of the author's node, when that is not the hub; salt and
    body of a replica's entry are None when they were erased before it arrived."""

    event: bytes
    event_id: EventId
    salt: bytes | None
    body: bytes | None
    kind: str
    author_pk: int
    counts: bool
    device_pk: int | None = None
    client_id: ClientId | None = None
    signature: bytes | None = None
    author_seq: int = 0  # only with a signature


class Link(Struct, frozen=True):
    """One place of a log, as nodes hand it on."""

    idx: int
    epoch: int
    at_ms: int
    log_hash: bytes
    event: bytes
    signature: bytes | None
    salt: bytes | None
    body: bytes | None


class Fault(Struct, frozen=True):
    """What `verify` found wrong."""

    room: RoomId
    idx: int
    text: str


class Log:
    """The table ``entries`` with ``marks`` and ``mentions``."""

    def __init__(self, db: Database) -> None:
        self._seq = -1
        self._author_seq = -1
        self._saved = True
        db.on_abort(self._forget)

    # --- numbers ----------------------------------------------------------------------------------------

    def next_seq(self, tx: Tx) -> int:
        """The next feed position, for anything durable a device must learn."""
        self._load(tx)
        self._seq += 1
        return self._seq

    def next_author_seq(self, tx: Tx, now_ms: int) -> int:
        """max(previous + 1, now)."""
        self._load(tx)
        self._author_seq = max(self._author_seq + 1, now_ms)
        return self._author_seq

    def head_seq(self, tx: Tx) -> int:
        """The last feed position on disk."""
        row = tx.one("SELECT value FROM meta WHERE key = 'seq'")
        return 0 if row is None else int(row[0])

    def _load(self, tx: Tx) -> None:
        if self._seq < 0:
            values = dict(tx.all("SELECT key, value FROM meta WHERE key IN ('seq', 'author_seq')"))
            self._seq, self._author_seq = values.get("seq", 0), values.get("author_seq", 0)
        if self._saved:
            self._saved = False
            tx.before_commit(self, lambda: self._save(tx))

    def _save(self, tx: Tx) -> None:
        self._saved = True
        tx.executemany(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [("seq", self._seq), ("author_seq", self._author_seq)],
        )

    def _forget(self) -> None:
        self._seq, self._author_seq, self._saved = -1, -1, True

    # --- writing ----------------------------------------------------------------------------------------

    def append(self, tx: Tx, row: RoomRow, draft: Draft, at_ms: int) -> Appended:
        """One more entry; moves the head of `row`. The caller touches the row."""
        seq = self.next_seq(tx)
        head = hub.append(row.room, row.head, draft.event_id, at_ms)
        tx.execute(
            _INSERT,
            (seq, row.pk, head.idx, head.epoch, at_ms, draft.event_id, head.hash, draft.event, draft.salt, draft.body,
             draft.kind, draft.author_pk, draft.counts, draft.device_pk, draft.client_id, draft.signature,
             draft.author_seq),
        )  # fmt: skip
        row.head, row.head_seq = head, seq
        raw = _entry(row.room, (seq, head.epoch, head.idx, at_ms, draft.event_id, draft.event, draft.salt, draft.body))
        return Appended(seq, row.room, head.idx, draft.event_id, at_ms, raw)

    def save_marks(self, tx: Tx, row: RoomRow, changed: Message) -> None:
        """The present state of a message; an erased one loses body and salt, and counts no more."""
        sql = "INSERT INTO marks (room, idx, message) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET message = excluded.message"
        tx.execute(sql, (row.pk, changed.idx, _encode_message(changed)))
        if changed.erased:
            self._erase(tx, row, changed)

    def _erase(self, tx: Tx, row: RoomRow, changed: Message) -> None:
        sql = "UPDATE entries SET body = NULL, salt = NULL, counts = 0 WHERE room = ? AND idx = ?"
        tx.execute(sql, (row.pk, changed.idx))
        tx.execute("DELETE FROM mentions WHERE room = ? AND idx = ?", (row.pk, changed.idx))
        edits = "SELECT idx, body FROM entries WHERE room = ? AND kind = 'edit' AND idx > ? AND body IS NOT NULL"
        for idx, body in tx.all(edits, (row.pk, changed.idx)) if changed.edits else ():
            edit = content.decode_body("edit", body)
            if message.target_of(edit) == changed.event:
                tx.execute("UPDATE entries SET body = NULL, salt = NULL WHERE room = ? AND idx = ?", (row.pk, idx))

    def mention(self, tx: Tx, room_pk: int, idx: int, user_pks: list[int]) -> None:
        """Remembers who was named."""
        sql = "INSERT OR IGNORE INTO mentions (user, room, idx) VALUES (?, ?, ?)"
        tx.executemany(sql, [(user, room_pk, idx) for user in user_pks])

    # --- reading ----------------------------------------------------------------------------------------

    def find_post(self, tx: Tx, device_pk: int, client_id: ClientId) -> Appended | None:
        """What an earlier post with this client id became."""
        found = tx.one(f"{_ENTRIES} WHERE device = ? AND client_id = ?", (device_pk, client_id))
        if found is None:
            return None
        sql = "SELECT r.room FROM rooms r JOIN entries e ON e.room = r.id WHERE e.seq = ?"
        room = RoomId((tx.one(sql, (found[0],)) or (b"",))[0])
        return Appended(found[0], room, found[2], EventId(found[4]), found[3], _entry(room, found))

    def has_event(self, tx: Tx, event: EventId) -> bool:
        """Whether this event has a place in some log."""
        return tx.one("SELECT 1 FROM entries WHERE event_id = ?", (event,)) is not None

    def has_authored(self, tx: Tx, author_pk: int, author_seq: int) -> bool:
        """Whether this event of another node's user has a place in some log."""
        sql = "SELECT 1 FROM entries WHERE author = ? AND author_seq = ? AND signature IS NOT NULL"
        return tx.one(sql, (author_pk, author_seq)) is not None

    def hash_at(self, tx: Tx, room_pk: int, idx: int) -> bytes | None:
        """The log hash at a place."""
        row = tx.one("SELECT log_hash FROM entries WHERE room = ? AND idx = ?", (room_pk, idx))
        return None if row is None else bytes(row[0])

    def links(self, tx: Tx, room_pk: int, first: int, limit: int) -> Iterator[Link]:
        """At most `limit` places from `first` on, as nodes hand them on."""
        sql = """SELECT idx, epoch, at_ms, log_hash, event, signature, salt, body FROM entries
                 WHERE room = ? AND idx >= ? ORDER BY idx LIMIT ?"""
        for row in tx.execute(sql, (room_pk, first, limit)):
            yield Link(*row)

    def find_message(self, tx: Tx, room_pk: int, event: EventId) -> Message | None:
        """The content entry with this event id, with its marks."""
        found = tx.one(f"{_MESSAGE} WHERE e.event_id = ? AND e.room = ?", (event, room_pk))
        if found is None or not content.is_content(found[3]):
            return None
        return _message(found)

    def target(self, tx: Tx, room_pk: int, body: Body) -> Message | None:
        """The message that a body acts on or replies to, if it is in this room."""
        event = message.named_by(body)
        return None if event is None else self.find_message(tx, room_pk, event)

    def page(self, tx: Tx, room: RoomId, room_pk: int, first: int, last: int, limit: int, *, back: bool) -> list[Raw]:
        """At most `limit` entries with first ≤ idx ≤ last, in rising idx; from the end if `back`."""
        order = "DESC" if back else "ASC"
        sql = f"{_ENTRIES} WHERE room = ? AND idx BETWEEN ? AND ? ORDER BY idx {order} LIMIT ?"
        found = [_entry(room, row) for row in tx.execute(sql, (room_pk, first, last, limit))]
        return found[::-1] if back else found

    def since(
        self, tx: Tx, room: RoomId, room_pk: int, seq: int, first: int, last: int, limit: int
    ) -> list[tuple[int, int, Raw]]:
        """(seq, idx, entry) after feed position `seq` and within [first, last]; rising."""
        sql = f"{_ENTRIES} WHERE room = ? AND idx BETWEEN ? AND ? ORDER BY idx LIMIT ?"
        low = self._first_after(tx, room_pk, seq, first, last)
        return [(row[0], row[2], _entry(room, row)) for row in tx.execute(sql, (room_pk, low, last, limit))]

    def _first_after(self, tx: Tx, room_pk: int, seq: int, first: int, last: int) -> int:
        """The lowest idx in [first, last + 1] whose entry lies behind feed position `seq`: seq rises with idx, so bisect."""
        low, high = first, last + 1
        while low < high:
            middle = (low + high) // 2
            row = tx.one("SELECT seq FROM entries WHERE room = ? AND idx = ?", (room_pk, middle))
            if row is None or row[0] > seq:  # None: `last` is the writer's head, and this entry is not on disk yet
                high = middle
            else:
                low = middle + 1
        return low

    def marks(self, tx: Tx, room_pk: int, first: int, last: int) -> list[Message]:
        """Messages of this range that something was done to."""
        sql = "SELECT message FROM marks WHERE room = ? AND idx BETWEEN ? AND ?"
        return [_decode_message(row[0]) for row in tx.execute(sql, (room_pk, first, last))]

    def last_content(self, tx: Tx, room: RoomId, room_pk: int, first: int, last: int) -> tuple[int, Raw] | None:
        """(idx, entry) of the newest message that still has content."""
        sql = f"""{_ENTRIES} WHERE room = ? AND counts = 1 AND idx BETWEEN ? AND ?
                  ORDER BY idx DESC LIMIT 1"""
        row = tx.one(sql, (room_pk, first, last))
        return None if row is None else (row[2], _entry(room, row))

    def unread(self, tx: Tx, room_pk: int, user_pk: int, read_idx: int, last: int) -> tuple[int, int]:
        """(unread, mentions) behind the read mark; counted up to `UNREAD_COUNT_MAX`."""
        sql = """SELECT count(*) FROM (SELECT 1 FROM entries WHERE room = ? AND counts = 1 AND idx > ? AND idx <= ?
                 AND author <> ? LIMIT ?)"""
        row = tx.one(sql, (room_pk, read_idx, last, user_pk, limits.UNREAD_COUNT_MAX))
        named = tx.one(
            "SELECT count(*) FROM mentions WHERE user = ? AND room = ? AND idx > ?", (user_pk, room_pk, read_idx)
        )
        assert row is not None
        assert named is not None
        calls = self._calls_not_missed(tx, room_pk, user_pk, read_idx, last) if row[0] else 0
        return max(0, int(row[0]) - calls), int(named[0])

    def _calls_not_missed(self, tx: Tx, room_pk: int, user_pk: int, read_idx: int, last: int) -> int:
        """Counted calls of others that `user_pk` did not miss."""
        sql = """SELECT count(*) FROM entries e WHERE room = ? AND kind = 'call' AND counts = 1 AND idx > ? AND idx <= ?
                 AND author <> ? AND NOT EXISTS (
                   SELECT 1 FROM mentions m WHERE m.user = ? AND m.room = e.room AND m.idx = e.idx)"""
        found = tx.one(sql, (room_pk, read_idx, last, user_pk, user_pk))
        assert found is not None
        return int(found[0])


def _entry(room: RoomId, row: tuple[Any, ...]) -> Raw:
    """The device encoding of an entry (node/wire/c2s.py `Entry`) from the columns of `_ENTRIES`."""
    seq, epoch, idx, at_ms, event_id, event, salt, body = row
    return Raw(_encode_entry((seq, room, epoch, idx, at_ms, event_id, event, salt, body)))


def _message(found: tuple[Any, ...]) -> Message:
    if found[5] is not None:
        return _decode_message(found[5])
    return Message(event=EventId(found[0]), idx=found[1], author=UserId(found[2]), kind=found[3], at_ms=found[4])


def verify(tx: Tx, row: RoomRow) -> Iterator[Fault]:
    """Walks a room's log and yields every place where ids, body hashes, chain or head do not fit."""
    head = hub.Head()
    sql = """SELECT idx, epoch, at_ms, event_id, log_hash, event, salt, body, kind, counts FROM entries WHERE room = ?
             ORDER BY idx"""
    for idx, epoch, at_ms, event_id, log_hash, event, salt, body, kind, counts in tx.execute(sql, (row.pk,)):
        if idx != head.idx + 1:
            yield Fault(row.room, head.idx + 1, f"entries are missing before {idx}")
        if hub.digest(event) != event_id:
            yield Fault(row.room, idx, "the event does not have its id")
        elif fault := _body_fault(event, salt, body, kind, counts=bool(counts)):
            yield Fault(row.room, idx, fault)
        previous = hub.Head(epoch, idx - 1, head.hash)
        head = hub.append(row.room, previous, EventId(event_id), at_ms)
        if head.hash != log_hash:
            yield Fault(row.room, idx, "the hash chain is broken")
            head = hub.Head(epoch, idx, log_hash)
    if (head.idx, head.hash) != (row.head.idx, row.head.hash):
        yield Fault(row.room, head.idx, f"the head says {row.head.idx}, the log ends at {head.idx}")


def _body_fault(event: bytes, salt: bytes | None, body: bytes | None, kind: str, *, counts: bool) -> str:
    """What is wrong with the part of an entry that may be erased; `event` is whole."""
    fields = msgspec.msgpack.decode(event)
    if fields[7] != kind:
        return "the kind is not the event's"
    if body is None:
        erasable = content.is_content(kind) or kind == "edit"
        return "" if erasable and not counts else "the body is missing"
    if salt is None or fields[8] != hub.body_hash(salt, body):
        return "the body does not fit its hash"
    return ""
