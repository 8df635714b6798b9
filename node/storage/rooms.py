"""Rooms as rows: the folded state, the head of the log, and who may read which part of it.

The writer keeps hot rooms in memory: a post then costs no look-up, and the state blob is written only when
members or settings change. Only the writer's transactions fill the cache; a batch that is undone empties it.
Readers `peek`: they may see a head that is being committed at this moment, never a membership that was refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from node.base import limits
from node.base.ids import NodeId, RoomId, UserId, format_node, parse_node
from node.core import hub
from node.core import room as rules
from node.core.hub import Head
from node.core.room import Member, Room
from node.storage.database import Database, Tx
from node.storage.users import Users

_encode_state: Final = msgspec.msgpack.Encoder().encode
_decode_state: Final = msgspec.msgpack.Decoder(Room).decode
_SELECT: Final = "SELECT id, room, kind, hub, state, epoch, head_idx, head_hash, head_seq, trouble FROM rooms"
_SMALL: Final = "SELECT id, room, kind, hub, epoch, head_idx, head_hash, head_seq, trouble FROM rooms"
_NONE: Final = RoomId(b"")
_BEHIND: Final = "The log of a room has grown behind the writer's back."


class RoomRow:
    """A room in the hands of a transaction. Assign, then `Rooms.touch`."""

    __slots__ = ("changed", "head", "head_seq", "hub", "kind", "pk", "room", "state", "stored_idx", "trouble")

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.pk: int = row[0]
        self.room = RoomId(row[1])
        self.kind: str = row[2]
        self.hub = NodeId(row[3])
        self.state: Room = _decode_state(row[4])
        self.head = Head(row[5], row[6], row[7])
        self.head_seq: int = row[8]
        self.trouble: str = row[9]  # why nothing more is taken from this hub
        self.changed = False  # state differs from the row
        self.stored_idx = self.head.idx  # where the log ends as the row has it


class Rooms:
    """The table ``rooms`` with ``members`` and ``invitations``, which repeat the state in a form SQL can ask."""

    def __init__(self, db: Database, users: Users) -> None:
        self._users = users
        self._rows: dict[RoomId, RoomRow] = {}
        self._by_pk: dict[int, RoomId] = {}  # of these
        self._dirty: dict[RoomId, RoomRow] = {}
        self._seen: dict[int, RoomRow] = {}  # decoded for readers; never changed
        db.on_abort(self._forget)

    def load(self, tx: Tx, room: RoomId) -> RoomRow | None:
        """For writers: the one live object of this room."""
        row = self._rows.get(room)
        if row is None:
            row = self._select(tx, room)
            if row is not None:
                self._remember(row)
        return row

    def peek(self, tx: Tx, room: RoomId) -> RoomRow | None:
        """For readers."""
        return self._rows.get(room) or self._look(tx, tx.one(f"{_SMALL} WHERE room = ?", (room,)))

    def peek_pk(self, tx: Tx, pk: int) -> RoomRow:
        """For readers that have the number from a join."""
        row = self._rows.get(self._by_pk.get(pk, _NONE))
        if row is not None:
            return row
        found = tx.one(f"{_SMALL} WHERE id = ?", (pk,))
        assert found is not None, "a foreign key names this room"
        row = self._rows.get(RoomId(found[1])) or self._look(tx, found)
        assert row is not None
        return row

    def _look(self, tx: Tx, found: tuple[Any, ...] | None) -> RoomRow | None:
        """A row for readers; the state is decoded once for each head, since it changes only with a new entry."""
        if found is None:
            return None
        pk, head_idx = found[0], found[5]
        seen = self._seen.get(pk)
        if seen is None or seen.head.idx != head_idx or seen.trouble != found[8]:
            state = tx.one("SELECT state FROM rooms WHERE id = ?", (pk,))
            assert state is not None
            if len(self._seen) >= limits.ROOM_CACHE_MAX:
                self._seen.clear()
            seen = self._seen[pk] = RoomRow((*found[:4], state[0], *found[4:]))
        return seen

    def insert(self, tx: Tx, room: RoomId, node: NodeId, state: Room) -> RoomRow:
        """A new room with an empty log, whose hub is `node`."""
        sql = "INSERT INTO rooms (room, kind, hub, state, head_hash) VALUES (?, ?, ?, ?, ?)"
        cursor = tx.execute(sql, (room, state.kind, node, _encode_state(state), bytes(32)))
        row = RoomRow((cursor.lastrowid, room, state.kind, node, _encode_state(state), 1, 0, bytes(32), 0, ""))
        self._remember(row)
        return row

    def insert_direct(self, tx: Tx, a: UserId, b: UserId) -> RoomRow:
        """The direct chat of two people, with its implied first state."""
        row = self.insert(tx, hub.direct_room_id(a, b), hub.direct_hub(a, b), rules.new_direct(a, b))
        self.enter_all(tx, row)
        return row

    def touch(self, tx: Tx, row: RoomRow) -> None:
        """Head or state changed: write it once, at the end of the batch, if the head is still where this writer left it: so no two
        entries get one place, whatever goes wrong with what is remembered of a room."""
        if not self._dirty:
            tx.before_commit(self, lambda: self._flush(tx))
        if self._dirty.setdefault(row.room, row) is not row:
            raise RuntimeError(_BEHIND)
        self._hold(row)

    def set_state(self, tx: Tx, row: RoomRow, state: Room, idx: int) -> None:
        """Replaces the state and makes ``members`` and ``invitations`` agree with it."""
        before, row.state, row.changed = row.state, state, True
        if state.members is not before.members:
            for user in state.members.keys() - before.members.keys():
                self._enter(tx, row.pk, user, state.members[user])
            for user in before.members.keys() - state.members.keys():
                self._leave(tx, row.pk, user, idx)
        if state.invited is not before.invited:
            for user in state.invited.keys() - before.invited.keys():
                asked = state.invited[user]
                sql = "INSERT OR REPLACE INTO invitations (user, room, by_user, at_ms) VALUES (?, ?, ?, ?)"
                tx.execute(sql, (self._users.pk(tx, user), row.pk, asked.by, asked.at_ms))
            for user in before.invited.keys() - state.invited.keys():
                tx.execute("DELETE FROM invitations WHERE user = ? AND room = ?", (self._users.pk(tx, user), row.pk))
        self.touch(tx, row)

    def set_trouble(self, tx: Tx, row: RoomRow, why: str) -> None:
        """From now on nothing more is taken from this hub."""
        row.trouble = why
        tx.execute("UPDATE rooms SET trouble = ? WHERE id = ?", (why, row.pk))

    # --- rooms of other hubs ------------------------------------------------------------------------------

    def hub_reaches(self, tx: Tx, row: RoomRow, idx: int) -> None:
        """The hub's log is known to reach to `idx`."""
        tx.execute("UPDATE rooms SET hub_idx = max(hub_idx, ?) WHERE id = ?", (idx, row.pk))

    def behind(self, tx: Tx, node: NodeId) -> list[RoomId]:
        """Rooms of this hub whose log goes on beyond what is here."""
        sql = "SELECT room FROM rooms WHERE hub = ? AND hub_idx > head_idx AND trouble = '' ORDER BY id"
        return [RoomId(row[0]) for row in tx.all(sql, (node,))]

    def unacked(self, tx: Tx, node: NodeId, limit: int) -> list[tuple[int, RoomId, Head]]:
        """(number, id, head) of rooms of this hub to which it did not confirm our acknowledgement yet."""
        sql = """SELECT id, room, epoch, head_idx, head_hash FROM rooms WHERE hub = ? AND head_idx > acked_idx AND trouble = ''
                 ORDER BY id LIMIT ?"""
        return [(row[0], RoomId(row[1]), Head(row[2], row[3], row[4])) for row in tx.all(sql, (node, limit))]

    def acked(self, tx: Tx, room_pk: int, idx: int) -> None:
        """The hub has our acknowledgement up to `idx`."""
        tx.execute("UPDATE rooms SET acked_idx = max(acked_idx, ?) WHERE id = ?", (idx, room_pk))

    def heads_of(self, tx: Tx, node: NodeId, after: int, limit: int) -> list[tuple[int, RoomId, Head]]:
        """(number, id, head) of rooms of this hub, by number after `after`."""
        sql = """SELECT id, room, epoch, head_idx, head_hash FROM rooms WHERE hub = ? AND id > ? AND trouble = ''
                 ORDER BY id LIMIT ?"""
        return [(row[0], RoomId(row[1]), Head(row[2], row[3], row[4])) for row in tx.all(sql, (node, after, limit))]

    def shared_with(self, tx: Tx, node: NodeId) -> list[RoomRow]:
        """Rooms in which this other node has a present member."""
        sql = """SELECT DISTINCT m.room FROM members m JOIN users u ON u.id = m.user
                 WHERE m.last_idx IS NULL AND substr(u.user, -52) = ?"""
        return [self.peek_pk(tx, row[0]) for row in tx.all(sql, (format_node(node),))]

    def seen_by(self, tx: Tx, node: NodeId, users: Iterable[UserId]) -> list[UserId]:
        """Those of `users` that share a room with somebody of this other node."""
        sql = """SELECT 1 FROM users u JOIN members m ON m.user = u.id AND m.last_idx IS NULL
                 JOIN members o ON o.room = m.room AND o.last_idx IS NULL JOIN users v ON v.id = o.user
                 WHERE u.user = ? AND substr(v.user, -52) = ? LIMIT 1"""
        return [user for user in users if tx.one(sql, (user, format_node(node))) is not None]

    def nodes_seeing(self, tx: Tx, user: UserId, hub: NodeId | None = None) -> set[NodeId]:
        """Other nodes with a member in a room of this person; `hub`: only in rooms that this node orders."""
        sql = """SELECT DISTINCT substr(v.user, -52) FROM users u JOIN members m ON m.user = u.id AND m.last_idx IS NULL
                 JOIN members o ON o.room = m.room AND o.last_idx IS NULL JOIN users v ON v.id = o.user
                 JOIN rooms r ON r.id = m.room WHERE u.user = ? AND (? IS NULL OR r.hub = ?)"""
        own = user[-52:]
        return {parse_node(row[0]) for row in tx.all(sql, (user, hub, hub)) if row[0] != own}

    def enter_all(self, tx: Tx, row: RoomRow) -> None:
        """Membership rows of a room that begins with members (a direct chat)."""
        for user, member in row.state.members.items():
            self._enter(tx, row.pk, user, member)

    def span(self, tx: Tx, room_pk: int, user_pk: int) -> tuple[int, int | None] | None:
        """(first, last or None) readable idx for a present or former member."""
        row = tx.one("SELECT first_idx, last_idx FROM members WHERE room = ? AND user = ?", (room_pk, user_pk))
        return None if row is None else (row[0], row[1])

    def last_of(self, tx: Tx, room_pk: int, node: NodeId) -> int:
        """With which entry the last member of a node that has none any more went; 0 when it never had one."""
        sql = """SELECT max(m.last_idx) FROM members m JOIN users u ON u.id = m.user
                 WHERE m.room = ? AND substr(u.user, -52) = ?"""
        row = tx.one(sql, (room_pk, format_node(node)))
        return 0 if row is None or row[0] is None else int(row[0])

    def of_user(self, tx: Tx, user_pk: int) -> list[tuple[int, RoomId]]:
        """(number, id) of the rooms where the user is a member now."""
        sql = """SELECT r.id, r.room FROM members m JOIN rooms r ON r.id = m.room
                 WHERE m.user = ? AND m.last_idx IS NULL"""
        return [(pk, RoomId(room)) for pk, room in tx.all(sql, (user_pk,))]

    def changed_since(self, tx: Tx, user_pk: int, seq: int | None) -> list[RoomId]:
        """Rooms to show in a list, latest first: all present ones, or (`seq` given) those with news or
        in trouble, left ones included."""
        low = -1 if seq is None else seq
        sql = """SELECT r.room FROM members m JOIN rooms r ON r.id = m.room
                 WHERE m.user = ? AND (r.head_seq > ? OR m.receipt_seq > ? OR r.trouble <> '') AND (m.last_idx IS NULL OR ? >= 0)
                 AND (r.kind = 'group' OR r.head_idx > 0) ORDER BY r.head_seq DESC"""
        return [RoomId(row[0]) for row in tx.all(sql, (user_pk, low, low, low))]

    def with_news(self, tx: Tx, user_pk: int, seq: int) -> list[tuple[int, int, int | None]]:
        """(number, first, last or None) of present and former rooms whose log grew after feed position `seq`."""
        sql = """SELECT m.room, m.first_idx, m.last_idx FROM members m JOIN rooms r ON r.id = m.room
                 WHERE m.user = ? AND r.head_seq > ?"""
        return [(row[0], row[1], row[2]) for row in tx.all(sql, (user_pk, seq))]

    def invitations_of(self, tx: Tx, user_pk: int) -> list[RoomId]:
        """Rooms the user is asked into."""
        sql = "SELECT r.room FROM invitations i JOIN rooms r ON r.id = i.room WHERE i.user = ?"
        return [RoomId(row[0]) for row in tx.all(sql, (user_pk,))]

    def count_of_user(self, tx: Tx, user_pk: int) -> int:
        """How many rooms the user is in."""
        row = tx.one("SELECT count(*) FROM members WHERE user = ? AND last_idx IS NULL", (user_pk,))
        assert row is not None
        return int(row[0])

    def everyone(self, tx: Tx) -> Iterable[RoomRow]:
        """Every room, for checks of the whole log."""
        for found in tx.all(f"{_SELECT} ORDER BY id"):
            yield RoomRow(found)

    # --- inside -----------------------------------------------------------------------------------------

    def _select(self, tx: Tx, room: RoomId) -> RoomRow | None:
        found = tx.one(f"{_SELECT} WHERE room = ?", (room,))
        return None if found is None else RoomRow(found)

    def _remember(self, row: RoomRow) -> None:
        if len(self._rows) >= limits.ROOM_CACHE_MAX:
            for room in [room for room in self._rows if room not in self._dirty][: limits.ROOM_CACHE_MAX // 4]:
                del self._by_pk[self._rows.pop(room).pk]
        self._hold(row)

    def _hold(self, row: RoomRow) -> None:
        self._rows[row.room] = row
        self._by_pk[row.pk] = row.room

    def _forget(self) -> None:
        self._rows.clear()
        self._by_pk.clear()
        self._dirty.clear()

    def _flush(self, tx: Tx) -> None:
        dirty, self._dirty = self._dirty, {}
        for row in dirty.values():
            if row.changed:
                tx.execute("UPDATE rooms SET state = ? WHERE id = ?", (_encode_state(row.state), row.pk))
                row.changed = False
        cursor = tx.executemany(
            "UPDATE rooms SET epoch = ?, head_idx = ?, head_hash = ?, head_seq = ? WHERE id = ? AND head_idx = ?",
            [
                (row.head.epoch, row.head.idx, row.head.hash, row.head_seq, row.pk, row.stored_idx)
                for row in dirty.values()
            ],
        )
        if cursor.rowcount != len(dirty):
            raise RuntimeError(_BEHIND)
        for row in dirty.values():
            row.stored_idx = row.head.idx

    def _enter(self, tx: Tx, room_pk: int, user: UserId, member: Member) -> None:
        sql = """INSERT INTO members (room, user, first_idx, read_idx, delivered_idx) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT (room, user) DO UPDATE SET first_idx = excluded.first_idx, last_idx = NULL,
                 read_idx = max(read_idx, excluded.read_idx), delivered_idx = max(delivered_idx, excluded.delivered_idx)"""
        before = member.joined_idx - 1
        tx.execute(sql, (room_pk, self._users.pk(tx, user), member.joined_idx, before, before))

    def _leave(self, tx: Tx, room_pk: int, user: UserId, idx: int) -> None:
        sql = "UPDATE members SET last_idx = ? WHERE room = ? AND user = ?"
        tx.execute(sql, (idx, room_pk, self._users.pk(tx, user)))
