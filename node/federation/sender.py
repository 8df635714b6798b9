"""From the outbox to the peer: one loop over the rows of one peer, the same when the link is new and when it is busy.

Nothing is queued here. `wake` says that there may be rows; the pump reads a page after the last number sent, as long as there is
credit and the socket takes it. What the peer has acknowledged is deleted; what it refuses (nack) goes back to its author. A row that
refers to an entry gets its bytes now; when it concerns the peer no more, or rows are missing (they were collapsed), one empty item
skips their numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from node.base import limits
from node.base.errors import Code, Rejected
from node.federation.proto.link import Link
from node.runtime.log import Log
from node.services.ports import PeerInbox
from node.storage.database import Database, Tx
from node.storage.outbox import ENTRY, Outbox, OutRow, Run
from node.storage.peers import Peer
from node.wire import s2s

PAGE: Final = 64
_PASSING: Final = frozenset({Code.READ_ONLY, Code.RATE_LIMITED})  # why the own disk takes nothing now
log = Log("federation.sender")


class Sender:
    """Of one open link. `flush` writes what the link has to send; `buffered` is what the socket has not taken."""

    def __init__(
        self,
        *,
        peer: Peer,
        link: Link,
        db: Database,
        outbox: Outbox,
        inbox: PeerInbox,
        flush: Callable[[], None],
        buffered: Callable[[], int],
    ) -> None:
        self._peer = peer
        self._link = link
        self._db = db
        self._outbox = outbox
        self._inbox = inbox
        self._flush = flush
        self._buffered = buffered
        self._armed = False
        self._stopped = False
        self._acked = self._deleted = 0
        self._refused: dict[int, str] = {}  # numbers that the peer refuses, until that is on disk
        self._settling = False

    def wake(self) -> None:
        """There may be something to send."""
        if not self._armed and not self._stopped:
            self._armed = True
            asyncio.get_running_loop().call_soon(self._pump)

    def stop(self) -> None:
        """The link is over."""
        self._stopped = True

    def resume_after(self, hello: s2s.Hello, run: Run) -> int | None:
        """Where to go on, by what the peer has. None: it has numbers of this run that were never given."""
        if hello.run_in != run.run:
            return 0
        return hello.last_in if hello.last_in < run.next else None

    def _pump(self) -> None:
        self._armed = False
        while not self._stopped and self._link.room:
            if self._buffered() > limits.SOCKET_BUFFER_BYTES_MAX:
                self._armed = True
                asyncio.get_running_loop().call_later(limits.CONGESTED_POLL_S, self._pump)
                return
            if not self._send_page():
                return

    def _send_page(self) -> bool:
        """Whether there may be more."""
        limit = min(PAGE, self._link.room)
        rows, bodies = self._db.view(lambda tx: self._page(tx, limit))
        done = True
        for row, body in zip(rows, bodies, strict=True):
            if body is not None and not (done := self._send(row, body)):
                break
        if rows and done and self._link.sent < rows[-1].seq and self._link.room:
            self._link.item(rows[-1].seq, ENTRY, b"")
        self._flush()
        return bool(rows)

    def _page(self, tx: Tx, limit: int) -> tuple[list[OutRow], list[bytes | None]]:
        rows = self._fitting(self._outbox.page(tx, self._peer.pk, self._link.sent, limit))
        rendered = iter(self._rendered(tx, [row for row in rows if row.by_reference]))
        return rows, [next(rendered) if row.by_reference else row.body for row in rows]

    def _rendered(self, tx: Tx, rows: list[OutRow]) -> list[bytes | None]:
        """Bytes of entries. One that makes this node fail is skipped, or everything behind it would wait for ever: the peer misses it,
        and asks for its room."""
        try:
            return self._inbox.render(tx, self._peer, rows)
        except Exception as error:  # noqa: BLE001 - the boundary of one row: the queue goes on
            log.error("An item for a peer could not be made and is skipped", error)
            return [None] if len(rows) == 1 else [one for row in rows for one in self._rendered(tx, [row])]

    def _fitting(self, rows: list[OutRow]) -> list[OutRow]:
        """Those for which there is credit: what is rendered must be sent, since rendering remembers what was told."""
        room, last = self._link.room, self._link.sent
        for count, row in enumerate(rows):
            room -= 1 if row.seq == last + 1 else 2
            if room < 0:
                return rows[:count]
            last = row.seq
        return rows

    def _send(self, row: OutRow, body: bytes) -> bool:
        """Whether there was credit for it."""
        link = self._link
        if len(body) > limits.LINK_BODY_BYTES_MAX:
            log.error("An item for a peer is too large and is skipped", size_bytes=len(body))
            return True
        if link.sent + 1 != row.seq:
            if not link.room:
                return False
            link.item(row.seq - 1, ENTRY, b"")
        if not link.room:
            return False
        link.item(row.seq, row.cls if not row.by_reference else ENTRY, body)
        return True

    # --- answers of the peer ----------------------------------------------------------------------------

    def acked(self, cum: int) -> None:
        """The peer has everything up to `cum`, and has said before what of it it refuses."""
        self._acked = max(self._acked, cum)
        self._settle()
        self.wake()

    def nacked(self, seq: int, code: str) -> None:
        """The peer refuses item `seq` for ever."""
        self._refused[seq] = code
        self._settle()

    def _settle(self) -> None:
        """Forgets what the peer has or refuses, refusals first: or nobody would learn of them. One write at a time."""
        cum, refused = self._acked, dict(self._refused)
        if self._settling or (cum <= self._deleted and not refused):
            return
        self._settling = True

        def write(tx: Tx) -> None:
            for seq, code in refused.items():
                self._give_back(tx, seq, code)
            self._outbox.delete(tx, self._peer.pk, cum)

        try:
            self._db.submit(write, lambda _, error: self._settled(cum, refused, error))
        except Rejected as error:
            self._settled(cum, refused, error)

    def _settled(self, cum: int, refused: dict[int, str], error: Exception | None) -> None:
        self._settling = False
        if isinstance(error, Rejected) and error.code in _PASSING:
            if not self._stopped:
                asyncio.get_running_loop().call_later(limits.LINK_RETRY_S, self._settle)
            return
        if error is not None:
            log.error("A refusal of a peer could not be handed on", error)
        else:
            self._deleted = cum
        for seq in refused:
            self._refused.pop(seq, None)
        self._settle()

    def _give_back(self, tx: Tx, seq: int, code: str) -> None:
        row = self._outbox.row(tx, self._peer.pk, seq)
        if row is None:
            return  # said before
        body = self._inbox.render(tx, self._peer, [row])[0] if row.by_reference else row.body
        self._inbox.nacked(tx, self._peer, row.cls, body or b"", code)
        self._outbox.delete_one(tx, self._peer.pk, seq)
