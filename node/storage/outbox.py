"""What waits for other nodes: one numbered queue a peer, on disk until the peer has acknowledged it.

A row is written in the transaction of the effect that caused it, so nothing is announced that did not happen and nothing that
happened is forgotten. It carries its bytes, or refers to an entry (room, idx) whose bytes stay in the log once, however many
peers need them. Numbers (`seq`) rise and are used once within a run; a *run* is 8 random bytes that name one numbering.

Bounds, per peer: rows, bytes, age. Beyond them nothing is lost silently: `collapse` keeps one row a room, of class `HEAD`, which says
how far the room is (the peer catches up by itself), and gives back what has to be told to its author as undeliverable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from node.base import limits
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.storage.cursors import RUN_BYTES
from node.storage.database import Tx

ENTRY: Final = 0  # entries of rooms and submissions to their hubs
DIRECT: Final = 1  # invitations, receipts, keys
HEAD: Final = 2  # in this table only: entries of a room up to idx, collapsed; its body goes out as class 0
ROW_BYTES: Final = 32  # what a row without a body counts
_ROW: Final = "SELECT seq, class, room, idx, body, at_ms FROM outbox"


class OutRow(Struct, frozen=True):
    """One waiting item. `room` is the number of a room in this database, 0 when `body` is the item itself."""

    seq: int
    cls: int
    room: int
    idx: int
    body: bytes
    at_ms: int

    @property
    def by_reference(self) -> bool:
        """Whether its bytes have to be rendered."""
        return self.room != 0


class Run(Struct, frozen=True):
    """A numbering: its name, the next number, and what waits in it."""

    run: bytes
    next: int
    rows: int
    size_bytes: int

    @property
    def full(self) -> bool:
        """Whether it reached a bound of rows or bytes."""
        return self.rows >= limits.OUTBOX_ROWS_MAX or self.size_bytes >= limits.OUTBOX_BYTES_MAX


class _Count:
    """The next number, and rows and bytes that ``outbox_runs`` does not know yet."""

    __slots__ = ("next", "rows", "size_bytes")

    def __init__(self, next_seq: int) -> None:
        self.next = next_seq
        self.rows = 0
        self.size_bytes = 0


class Outbox:
    """The tables ``outbox`` and ``outbox_runs``."""

    def __init__(self, *, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy
        self._batch: Tx | None = None
        self._added: dict[int, _Count] = {}

    def run(self, tx: Tx, peer_pk: int) -> Run:
        """The numbering of this peer; made when there is none (writers only)."""
        self._flush(tx)
        return self._run(tx, peer_pk)

    def _run(self, tx: Tx, peer_pk: int) -> Run:
        found = self._peek(tx, peer_pk)
        if found is None:
            tx.execute("INSERT INTO outbox_runs (peer, run) VALUES (?, ?)", (peer_pk, self._new_run()))
            found = self._peek(tx, peer_pk)
            assert found is not None
        return found

    def peek(self, tx: Tx, peer_pk: int) -> Run | None:
        """The numbering of this peer, if it has one."""
        self._flush(tx)
        return self._peek(tx, peer_pk)

    def _peek(self, tx: Tx, peer_pk: int) -> Run | None:
        row = tx.one("SELECT run, next, rows, bytes FROM outbox_runs WHERE peer = ?", (peer_pk,))
        return None if row is None else Run(*row)

    def renew(self, tx: Tx, peer_pk: int) -> bytes:
        """A new name for the numbering: the peer has numbers of the old one that we do not know. Numbers go on."""
        self.run(tx, peer_pk)
        run = self._new_run()
        tx.execute("UPDATE outbox_runs SET run = ? WHERE peer = ?", (run, peer_pk))
        return run

    def enqueue(self, tx: Tx, peer_pk: int, cls: int, *, room_pk: int = 0, idx: int = 0, body: bytes = b"") -> int:
        """One more item for this peer; its number. The caller wakes the link after the commit."""
        assert (room_pk != 0) != bool(body), "a row refers to an entry or carries bytes"
        size = ROW_BYTES + len(body)
        count = self._counts(tx).get(peer_pk)
        if count is None:
            count = self._counted(tx, peer_pk)
        seq = count.next
        count.next, count.rows, count.size_bytes = seq + 1, count.rows + 1, count.size_bytes + size
        tx.execute(
            "INSERT INTO outbox (peer, seq, class, room, idx, body, bytes, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (peer_pk, seq, cls, room_pk, idx, body, size, self._clock.now_ms()),
        )
        return seq

    def _counts(self, tx: Tx) -> dict[int, _Count]:
        """What this batch has added for each peer and not yet written to ``outbox_runs``; an undone batch takes it along."""
        if self._batch is not tx:
            self._batch, self._added = tx, {}
        return self._added

    def _counted(self, tx: Tx, peer_pk: int) -> _Count:
        if not self._added:
            tx.before_commit(self, lambda: self._flush(tx))
        count = self._added[peer_pk] = _Count(self._run(tx, peer_pk).next)
        return count

    def _flush(self, tx: Tx) -> None:
        """Writes the counts; every look at ``outbox_runs`` inside a batch does so first."""
        if self._batch is not tx:
            return
        for peer_pk, count in self._added.items():
            if count.rows:
                tx.execute(
                    "UPDATE outbox_runs SET next = ?, rows = rows + ?, bytes = bytes + ? WHERE peer = ?",
                    (count.next, count.rows, count.size_bytes, peer_pk),
                )
                count.rows = count.size_bytes = 0

    def page(self, tx: Tx, peer_pk: int, after: int, limit: int) -> list[OutRow]:
        """Items with a number above `after`, in order."""
        return [
            OutRow(*row)
            for row in tx.all(f"{_ROW} WHERE peer = ? AND seq > ? ORDER BY seq LIMIT ?", (peer_pk, after, limit))
        ]

    def row(self, tx: Tx, peer_pk: int, seq: int) -> OutRow | None:
        """The item with this number, if it still waits."""
        found = tx.one(f"{_ROW} WHERE peer = ? AND seq = ?", (peer_pk, seq))
        return None if found is None else OutRow(*found)

    def delete(self, tx: Tx, peer_pk: int, upto: int) -> int:
        """Forgets the items up to and with `upto`: the peer has them on disk. How many they were."""
        return self._forget(tx, peer_pk, "seq <= ?", (upto,))

    def delete_one(self, tx: Tx, peer_pk: int, seq: int) -> bool:
        """Forgets one item; whether it was there."""
        return self._forget(tx, peer_pk, "seq = ?", (seq,)) > 0

    def waiting(self, tx: Tx, peer_pk: int) -> int:
        """Items that wait for this peer."""
        self._flush(tx)
        row = tx.one("SELECT rows FROM outbox_runs WHERE peer = ?", (peer_pk,))
        return 0 if row is None else int(row[0])

    def peers_waiting(self, tx: Tx) -> list[int]:
        """Peers for whom something waits."""
        self._flush(tx)
        return [int(pk) for (pk,) in tx.all("SELECT peer FROM outbox_runs WHERE rows > 0 ORDER BY peer")]

    # --- bounds -----------------------------------------------------------------------------------------

    def overdue(self, tx: Tx) -> list[int]:
        """Peers whose outbox is over a bound of rows, bytes or age."""
        self._flush(tx)
        oldest = self._clock.now_ms() - limits.OUTBOX_AGE_S_MAX * 1000
        found = tx.all(
            """SELECT peer FROM outbox_runs r WHERE rows > 0 AND (rows >= ? OR bytes >= ?
               OR (SELECT at_ms FROM outbox o WHERE o.peer = r.peer ORDER BY seq LIMIT 1) < ?) ORDER BY peer""",
            (limits.OUTBOX_ROWS_MAX, limits.OUTBOX_BYTES_MAX, oldest),
        )
        return [int(pk) for (pk,) in found]

    def collapse(self, tx: Tx, peer_pk: int) -> list[OutRow]:
        """Brings an outbox far under its bounds; what cannot be delivered any more is given back, for its authors.

        Entries become one head a room, in the place of the newest of them. If that is not enough, or rows are too old, items
        that carry bytes are given up, the oldest first. Nothing that was acknowledged is touched.
        """
        self._flush(tx)
        tx.execute(
            """DELETE FROM outbox WHERE peer = ? AND room <> 0 AND seq < (
                 SELECT max(seq) FROM outbox n WHERE n.peer = outbox.peer AND n.room = outbox.room)""",
            (peer_pk,),
        )
        tx.execute("UPDATE outbox SET class = ? WHERE peer = ? AND room <> 0", (HEAD, peer_pk))
        self._count(tx, peer_pk)
        lost = self._too_old(tx, peer_pk)
        run = self.run(tx, peer_pk)
        if run.rows >= limits.OUTBOX_ROWS_MAX // 2 or run.size_bytes >= limits.OUTBOX_BYTES_MAX // 2:
            lost += self._oldest_half(tx, peer_pk)
        for row in lost:
            self.delete_one(tx, peer_pk, row.seq)
        return lost

    def _too_old(self, tx: Tx, peer_pk: int) -> list[OutRow]:
        oldest = self._clock.now_ms() - limits.OUTBOX_AGE_S_MAX * 1000
        sql = f"{_ROW} WHERE peer = ? AND room = 0 AND at_ms < ? ORDER BY seq"
        return [OutRow(*row) for row in tx.all(sql, (peer_pk, oldest))]

    def _oldest_half(self, tx: Tx, peer_pk: int) -> list[OutRow]:
        kept_bytes, lost = 0, list[OutRow]()
        newest = tx.execute(f"{_ROW} WHERE peer = ? AND room = 0 ORDER BY seq DESC", (peer_pk,))
        for kept, found in enumerate((OutRow(*row) for row in newest), start=1):
            kept_bytes += ROW_BYTES + len(found.body)
            if kept > limits.OUTBOX_ROWS_MAX // 2 or kept_bytes > limits.OUTBOX_BYTES_MAX // 2:
                lost.append(found)
        lost.reverse()
        return lost

    # --- inside -----------------------------------------------------------------------------------------

    def _forget(self, tx: Tx, peer_pk: int, where: str, params: Sequence[Any]) -> int:
        gone = tx.execute(
            f"DELETE FROM outbox WHERE peer = ? AND {where} RETURNING bytes",  # noqa: S608 - the parts are constants
            (peer_pk, *params),
        ).fetchall()
        if gone:
            tx.execute(
                "UPDATE outbox_runs SET rows = rows - ?, bytes = bytes - ? WHERE peer = ?",
                (len(gone), sum(size for (size,) in gone), peer_pk),
            )
        return len(gone)

    def _count(self, tx: Tx, peer_pk: int) -> None:
        tx.execute(
            """UPDATE outbox_runs SET rows = (SELECT count(*) FROM outbox o WHERE o.peer = outbox_runs.peer),
               bytes = (SELECT coalesce(sum(bytes), 0) FROM outbox o WHERE o.peer = outbox_runs.peer) WHERE peer = ?""",
            (peer_pk,),
        )

    def _new_run(self) -> bytes:
        return self._entropy.token_bytes(RUN_BYTES)
