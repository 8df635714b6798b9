"""Calls that people here began and whose end is not in the log yet: what a crash would leave open. And where a call begins in a log."""

from __future__ import annotations

from msgspec import Struct

from node.base import limits
from node.base.errors import Rejected
from node.base.ids import EventId, RoomId, UserId
from node.core import content
from node.storage.database import Tx


class OpenCall(Struct, frozen=True, kw_only=True):
    """A call whose start is in the log (or on its way to it) and whose end is not. `account` and `device` are database numbers."""

    call: bytes
    room: RoomId
    event: EventId
    account: int
    device: int
    media: str


def put(tx: Tx, call: OpenCall) -> None:
    """Its start was posted."""
    tx.execute(
        "INSERT OR REPLACE INTO calls (call, room, event, account, device, media) VALUES (?, ?, ?, ?, ?, ?)",
        (call.call, call.room, call.event, call.account, call.device, call.media),
    )


def find(tx: Tx, call: bytes) -> OpenCall | None:
    """The call with this id."""
    row = tx.one("SELECT call, room, event, account, device, media FROM calls WHERE call = ?", (call,))
    return None if row is None else _call(row)


def drop(tx: Tx, call: bytes) -> None:
    """Its end was posted."""
    tx.execute("DELETE FROM calls WHERE call = ?", (call,))


def unfinished(tx: Tx) -> list[OpenCall]:
    """All of them."""
    return [_call(row) for row in tx.all("SELECT call, room, event, account, device, media FROM calls ORDER BY call")]


def start_of(tx: Tx, room_pk: int, author: UserId, call: bytes, head_idx: int) -> EventId | None:
    """The entry with which this call of that person begins, if it is not too far back."""
    sql = """SELECT event_id, body FROM entries WHERE room = ? AND idx > ? AND counts = 0 AND kind = 'call' AND body IS NOT NULL
             AND author = (SELECT id FROM users WHERE user = ?) ORDER BY idx DESC LIMIT ?"""
    first = head_idx - limits.CALL_START_BACK
    for event, raw in tx.execute(sql, (room_pk, first, author, limits.CALL_STARTS_MAX)):
        try:
            body = content.decode_body("call", bytes(raw))
        except Rejected:
            continue
        if isinstance(body, content.Call) and body.call == call and body.state == "start":
            return EventId(bytes(event))
    return None


def _call(row: tuple[bytes, bytes, bytes, int, int, str]) -> OpenCall:
    call, room, event, account, device, media = row
    return OpenCall(
        call=bytes(call), room=RoomId(room), event=EventId(event), account=account, device=device, media=media
    )
