"""Posts of other nodes' users that this node, as the hub, refused: a refusal is final, so it is the same when the post comes again.

A post comes again when a link broke before the acknowledgement and its node numbers anew, or was signed again with a new op key. Its
author_seq is the same then, its event id need not be: so that is what it is known by. Bounded and aged: `REFUSALS_PER_PEER_MAX` of each
peer, for `REFUSAL_LIFE_S`, after which no outbox holds it any more. Of a stranger nothing is kept beyond its link
(`PeerStore.forget_stranger`).
"""

from __future__ import annotations

from msgspec import Struct

from node.base import limits
from node.base.ids import UserId
from node.storage.database import Tx


class Refusal(Struct, frozen=True):
    """Why, as it was said: `code` for programs, `text` for people."""

    code: str
    text: str


def find(tx: Tx, peer_pk: int, author: UserId, author_seq: int) -> Refusal | None:
    """What was said to this post before."""
    sql = "SELECT code, text FROM refusals WHERE peer = ? AND author = ? AND author_seq = ?"
    row = tx.one(sql, (peer_pk, author, author_seq))
    return None if row is None else Refusal(*row)


def has_any(tx: Tx, peer_pk: int) -> bool:
    """Whether any post of this peer was refused and is remembered."""
    return tx.one("SELECT 1 FROM refusals WHERE peer = ? LIMIT 1", (peer_pk,)) is not None


def put(tx: Tx, peer_pk: int, author: UserId, author_seq: int, refusal: Refusal, now_ms: int) -> None:
    """Remembers the first answer to a post; the oldest of the peer beyond the bound, and what is too old of all, is forgotten."""
    tx.execute(
        "INSERT OR IGNORE INTO refusals (peer, author, author_seq, code, text, at_ms) VALUES (?, ?, ?, ?, ?, ?)",
        (peer_pk, author, author_seq, refusal.code, refusal.text, now_ms),
    )
    tx.execute(
        """DELETE FROM refusals WHERE peer = ? AND id <= (
             SELECT id FROM refusals WHERE peer = ? ORDER BY id DESC LIMIT 1 OFFSET ?)""",
        (peer_pk, peer_pk, limits.REFUSALS_PER_PEER_MAX),
    )
    tx.execute("DELETE FROM refusals WHERE at_ms < ?", (now_ms - limits.REFUSAL_LIFE_S * 1000,))
