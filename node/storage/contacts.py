"""Who may write to whom across nodes, and open invitations into groups of other nodes."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from node.base.ids import NodeId, RoomId, UserId
from node.storage.database import Tx


class ContactState(StrEnum):
    """How an account and somebody elsewhere stand."""

    ASKED = "asked"  # we asked, they did not answer yet
    ASKING = "asking"  # they ask
    CONTACT = "contact"
    IGNORED = "ignored"  # they asked and will not be answered
    BLOCKED = "blocked"


class ContactRow(Struct, frozen=True):
    """One side's view. `text` is what was said when asking; `device_pk` the device that asked."""

    account_pk: int
    user: UserId
    state: ContactState
    text: str
    device_pk: int
    at_ms: int
    name: str


class OfferRow(Struct, frozen=True):
    """An invitation of `user`; `accepted` once they said yes and wait for the hub."""

    user: UserId
    room: RoomId
    hub: NodeId
    name: str
    members: int
    by: UserId
    at_ms: int
    accepted: bool


_SELECT: Final = """SELECT c.account, u.user, c.state, c.text, c.device, c.at_ms, u.name FROM contacts c
                    JOIN users u ON u.id = c.user"""


def find(tx: Tx, account_pk: int, user: UserId) -> ContactRow | None:
    """How the account stands with `user`."""
    row = tx.one(f"{_SELECT} WHERE c.account = ? AND u.user = ?", (account_pk, user))
    return None if row is None else _contact(row)


def standing(tx: Tx, account_pk: int, user_pk: int) -> ContactState | None:
    """How the account stands with a user, by number: asked for each post into a direct chat across nodes, so it reads one row."""
    row = tx.one("SELECT state FROM contacts WHERE account = ? AND user = ?", (account_pk, user_pk))
    return None if row is None else ContactState(row[0])


def of_account(tx: Tx, account_pk: int) -> list[ContactRow]:
    """Everybody the account knows elsewhere, newest first."""
    return [_contact(row) for row in tx.all(f"{_SELECT} WHERE c.account = ? ORDER BY c.at_ms DESC", (account_pk,))]


def put(
    tx: Tx, account_pk: int, user_pk: int, state: ContactState, *, text: str = "", device_pk: int = 0, at_ms: int
) -> None:
    """Sets how they stand."""
    sql = """INSERT INTO contacts (account, user, state, text, device, at_ms) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (account, user) DO UPDATE SET state = excluded.state, text = excluded.text,
             device = excluded.device, at_ms = excluded.at_ms"""
    tx.execute(sql, (account_pk, user_pk, state.value, text, device_pk, at_ms))


def remove(tx: Tx, account_pk: int, user_pk: int) -> None:
    """They are strangers again."""
    tx.execute("DELETE FROM contacts WHERE account = ? AND user = ?", (account_pk, user_pk))


def forget_questions(tx: Tx, account_pk: int, before_ms: int) -> None:
    """Questions to the account that nobody answered since then."""
    sql = "DELETE FROM contacts WHERE account = ? AND state = ? AND at_ms < ?"
    tx.execute(sql, (account_pk, ContactState.ASKING.value, before_ms))


def count(tx: Tx, account_pk: int, state: ContactState) -> int:
    """How many of that state the account has."""
    row = tx.one("SELECT count(*) FROM contacts WHERE account = ? AND state = ?", (account_pk, state.value))
    return 0 if row is None else int(row[0])


def _contact(row: tuple[Any, ...]) -> ContactRow:
    return ContactRow(row[0], UserId(row[1]), ContactState(row[2]), row[3], row[4], row[5], row[6])


# --- offers ---------------------------------------------------------------------------------------------

_OFFER: Final = """SELECT u.user, o.room, o.hub, o.name, o.members, o.by_user, o.at_ms, o.accepted FROM offers o
                   JOIN users u ON u.id = o.user"""


def put_offer(tx: Tx, user_pk: int, offer: OfferRow) -> None:
    """An invitation came, or came again."""
    sql = """INSERT INTO offers (user, room, hub, name, members, by_user, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (user, room) DO UPDATE SET hub = excluded.hub, name = excluded.name, members = excluded.members,
             by_user = excluded.by_user, at_ms = excluded.at_ms"""
    tx.execute(sql, (user_pk, offer.room, offer.hub, offer.name, offer.members, offer.by, offer.at_ms))


def offer(tx: Tx, user_pk: int, room: RoomId) -> OfferRow | None:
    """The invitation of one person into one room."""
    row = tx.one(f"{_OFFER} WHERE o.user = ? AND o.room = ?", (user_pk, room))
    return None if row is None else _offer(row)


def answer_offer(tx: Tx, user_pk: int, room: RoomId, *, accepted: bool) -> bool:
    """The person said yes and waits for the hub, or the hub did not let them in; whether there is such an offer."""
    sql = "UPDATE offers SET accepted = ? WHERE user = ? AND room = ?"
    return tx.execute(sql, (int(accepted), user_pk, room)).rowcount > 0


def offers_of(tx: Tx, user_pk: int) -> list[OfferRow]:
    """Open invitations of one person."""
    return [_offer(row) for row in tx.all(f"{_OFFER} WHERE o.user = ? ORDER BY o.at_ms DESC", (user_pk,))]


def count_offers(tx: Tx, user_pk: int, hub: NodeId) -> tuple[int, int]:
    """How many open invitations one person has, and how many of all people's are from this hub."""
    row = tx.one(
        "SELECT (SELECT count(*) FROM offers WHERE user = ?), (SELECT count(*) FROM offers WHERE hub = ?)",
        (user_pk, hub),
    )
    assert row is not None
    return int(row[0]), int(row[1])


def drop_offer(tx: Tx, user_pk: int, room: RoomId) -> bool:
    """The invitation is no more; False when there was none."""
    return tx.execute("DELETE FROM offers WHERE user = ? AND room = ?", (user_pk, room)).rowcount > 0


def _offer(row: tuple[Any, ...]) -> OfferRow:
    return OfferRow(
        UserId(row[0]), RoomId(row[1]), NodeId(row[2]), row[3], row[4], UserId(row[5]), row[6], bool(row[7])
    )
