"""How far each peer was heard: one cursor a peer, moved in the transaction of the effect.

A cursor is (run, last): the numbering that the peer uses, and the highest number whose effect is on disk. `advance` compares
before it sets, so of two connections that carry the same numbers only one can write, and an effect happens exactly once although
messages are sent at least once.
"""

from __future__ import annotations

from msgspec import Struct

from node.storage.database import Tx

RUN_BYTES = 8


class Heard(Struct, frozen=True):
    """A cursor; `since_ms` is when this run was begun."""

    run: bytes = b""
    last: int = 0
    since_ms: int = 0


class Cursors:
    """The table ``peer_in``."""

    def heard(self, tx: Tx, peer_pk: int) -> Heard:
        """The cursor of this peer; an empty run when nothing was ever heard."""
        row = tx.one("SELECT run, last, since_ms FROM peer_in WHERE peer = ?", (peer_pk,))
        return Heard() if row is None else Heard(*row)

    def begin(self, tx: Tx, peer_pk: int, run: bytes, now_ms: int) -> None:
        """The peer numbers anew; what it sends again is known by its ids."""
        assert len(run) == RUN_BYTES
        tx.execute(
            """INSERT INTO peer_in (peer, run, last, since_ms) VALUES (?, ?, 0, ?)
               ON CONFLICT (peer) DO UPDATE SET run = excluded.run, last = 0, since_ms = excluded.since_ms""",
            (peer_pk, run, now_ms),
        )

    def advance(self, tx: Tx, peer_pk: int, run: bytes, *, before: int, last: int) -> bool:
        """Moves the cursor from `before` to `last`. False when it is elsewhere: somebody else writes, change nothing."""
        assert last > before
        sql = "UPDATE peer_in SET last = ? WHERE peer = ? AND run = ? AND last = ?"
        return tx.execute(sql, (last, peer_pk, run, before)).rowcount == 1
