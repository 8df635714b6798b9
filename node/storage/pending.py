"""Posts that wait for the hub of their room on another node, and those it refused, until their author dismisses them.

A post is here from the moment its author's node accepted it until the hub's entry arrives, in whose transaction it is taken out:
so it is shown either as waiting or in its place, and never twice or not at all.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from node.base.ids import ClientId, EventId, NodeId, RoomId, UserId
from node.storage.database import Tx

_SELECT: Final = """SELECT p.id, p.event_id, p.hub, p.room, u.user, p.device, p.client_id, p.kind, p.body, p.at_ms, p.code, p.text
                    FROM pending p JOIN users u ON u.id = p.author"""


class PendingRow(Struct, frozen=True):
    """`code` is empty while it waits, else why it was refused."""

    pk: int
    event_id: EventId
    hub: NodeId
    room: RoomId
    author: UserId
    device_pk: int
    client_id: ClientId
    kind: str
    body: bytes
    at_ms: int
    code: str
    text: str


class NewPending(Struct, frozen=True, kw_only=True):
    """A post on its way."""

    event_id: EventId
    hub: NodeId
    room: RoomId
    author: UserId
    author_pk: int
    author_seq: int
    device_pk: int
    client_id: ClientId
    kind: str
    event: bytes
    salt: bytes
    body: bytes
    token: bytes
    at_ms: int


class Unsent(Struct, frozen=True):
    """What is sent again."""

    pk: int
    hub: NodeId
    event: bytes
    salt: bytes
    body: bytes
    token: bytes


def put(tx: Tx, new: NewPending) -> PendingRow:
    """Remembers a post."""
    sql = """INSERT INTO pending (event_id, hub, room, author, author_seq, device, client_id, kind, event, salt, body, token, at_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
    cursor = tx.execute(
        sql,
        (new.event_id, new.hub, new.room, new.author_pk, new.author_seq, new.device_pk, new.client_id, new.kind, new.event,
         new.salt, new.body, new.token, new.at_ms),
    )  # fmt: skip
    assert cursor.lastrowid is not None
    return PendingRow(
        cursor.lastrowid, new.event_id, new.hub, new.room, new.author, new.device_pk, new.client_id, new.kind, new.body,
        new.at_ms, "", "",
    )  # fmt: skip


def by_event(tx: Tx, event: EventId) -> PendingRow | None:
    """The post that became, or will become, this event."""
    return _row(tx.one(f"{_SELECT} WHERE p.event_id = ?", (event,)))


def by_client(tx: Tx, device_pk: int, client_id: ClientId) -> tuple[RoomId, EventId, int] | None:
    """(room, event, at_ms) of what an earlier post with this client id became."""
    sql = "SELECT room, event_id, at_ms FROM pending WHERE device = ? AND client_id = ?"
    row = tx.one(sql, (device_pk, client_id))
    return None if row is None else (RoomId(row[0]), EventId(row[1]), int(row[2]))


def of_author(tx: Tx, author_pk: int) -> list[PendingRow]:
    """All of one account, oldest first."""
    return [PendingRow(*row) for row in tx.all(f"{_SELECT} WHERE p.author = ? ORDER BY p.id", (author_pk,))]


def count(tx: Tx, author_pk: int) -> int:
    """How many posts of an account are here."""
    row = tx.one("SELECT count(*) FROM pending WHERE author = ?", (author_pk,))
    return 0 if row is None else int(row[0])


def expects(tx: Tx, hub: NodeId, room: RoomId) -> bool:
    """Whether somebody of this node asked that hub to let them into the room."""
    sql = "SELECT 1 FROM pending WHERE room = ? AND hub = ? AND kind = 'join' AND code = ''"
    return tx.one(sql, (room, hub)) is not None


def refuse(tx: Tx, event: EventId, code: str, text: str) -> PendingRow | None:
    """The hub said no, for good."""
    tx.execute("UPDATE pending SET code = ?, text = ? WHERE event_id = ?", (code, text, event))
    return by_event(tx, event)


def ordered(tx: Tx, author_pk: int, author_seq: int) -> tuple[int, ClientId] | None:
    """Its entry is here: (device, client id) of the post, which waits no more; None when it was not waiting."""
    sql = "DELETE FROM pending WHERE author = ? AND author_seq = ? RETURNING device, client_id"
    row = tx.execute(sql, (author_pk, author_seq)).fetchone()
    return None if row is None else (int(row[0]), ClientId(row[1]))


def unsent(tx: Tx) -> list[Unsent]:
    """Posts without an answer, oldest first."""
    rows = tx.all("SELECT id, hub, event, salt, body, token FROM pending WHERE code = '' ORDER BY id")
    return [Unsent(row[0], NodeId(row[1]), *row[2:]) for row in rows]


def unanswered(tx: Tx) -> dict[NodeId, list[int]]:
    """By hub, the numbers of posts without an answer, oldest first. Looks at the whole table."""
    found: dict[NodeId, list[int]] = {}
    for pk, hub in tx.execute("SELECT id, hub FROM pending WHERE code = '' ORDER BY id"):
        found.setdefault(NodeId(hub), []).append(pk)
    return found


def still_unsent(tx: Tx, pk: int) -> Unsent | None:
    """This post, if it has no answer yet."""
    row = tx.one("SELECT id, hub, event, salt, body, token FROM pending WHERE id = ? AND code = ''", (pk,))
    return None if row is None else Unsent(row[0], NodeId(row[1]), *row[2:])


def signed_again(tx: Tx, pk: int, event_id: EventId, event: bytes) -> None:
    """The same post under the present op key."""
    tx.execute("UPDATE pending SET event_id = ?, event = ? WHERE id = ?", (event_id, event, pk))


def take(tx: Tx, event: EventId) -> PendingRow | None:
    """Its author dismissed it."""
    row = by_event(tx, event)
    if row is not None:
        tx.execute("DELETE FROM pending WHERE id = ?", (row.pk,))
    return row


def take_declines(tx: Tx, author_pk: int, hub: NodeId, room: RoomId) -> list[PendingRow]:
    """Answers "no" of an account to an invitation that is gone: its hub keeps the entry to itself, so none will come."""
    where = "p.author = ? AND p.hub = ? AND p.room = ? AND p.kind = 'decline' AND p.code = ''"
    rows = [PendingRow(*row) for row in tx.all(f"{_SELECT} WHERE {where}", (author_pk, hub, room))]
    for row in rows:
        tx.execute("DELETE FROM pending WHERE id = ?", (row.pk,))
    return rows


def _row(found: tuple[Any, ...] | None) -> PendingRow | None:
    return None if found is None else PendingRow(*found)
