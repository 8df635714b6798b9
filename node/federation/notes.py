"""What is noted of peers on disk: dials that failed, who was there and when, and what is to be thrown away.

Notes are no part of any effect: one that the disk does not take now is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId
from node.runtime.clock import Clock
from node.runtime.log import Log
from node.services.causes import Cause, tell
from node.services.ports import PeerInbox
from node.storage.database import Database, Tx
from node.storage.outbox import Outbox
from node.storage.peers import Peer, PeerStore, Quarantine

log = Log("federation")


class Notes:
    """Writes them."""

    def __init__(
        self,
        *,
        db: Database,
        peers: PeerStore,
        outbox: Outbox,
        quarantine: Quarantine,
        inbox: PeerInbox,
        clock: Clock,
    ) -> None:
        self._db = db
        self._peers = peers
        self._outbox = outbox
        self._quarantine = quarantine
        self._inbox = inbox
        self._clock = clock

    async def dial(self, nid: NodeId, error: str) -> None:
        """Why no address of a peer led to it."""
        now_ms = self._clock.now_ms()

        def note(tx: Tx) -> None:
            row = self._peers.find(tx, nid)
            if row is not None:
                self._peers.dialled(tx, row.pk, now_ms, error[:400])

        with suppress(Rejected):
            await self._db.write(note)

    def address_failed(self, nid: NodeId, url: str) -> None:
        """Nobody, or somebody else, was there."""
        now_ms = self._clock.now_ms()

        def note(tx: Tx) -> None:
            row = self._peers.find(tx, nid)
            if row is not None:
                self._peers.address_failed(tx, row.pk, url, now_ms)

        with suppress(Rejected):
            self._db.submit(note, _report)

    def turned_away(self, peer: Peer, reason: str) -> None:
        """A dial led to the peer, but not to a link: the word of its farewell, or what else came between."""
        now_ms, pk, error = self._clock.now_ms(), peer.pk, tell(Cause.CLOSED, reason)
        with suppress(Rejected):
            self._db.submit(lambda tx: self._peers.dialled(tx, pk, now_ms, error), _report)

    def waits(self, nid: NodeId) -> bool:
        """Whether something is in the outbox for this node."""
        row = self._db.view(lambda tx: self._peers.find(tx, nid))
        return row is not None and self._db.view(lambda tx: self._outbox.waiting(tx, row.pk)) > 0

    def proved_addresses(self, nid: NodeId) -> list[str]:
        """Where this very node was before: nobody else is dialled for its sake when these are tried."""
        row = self._db.view(lambda tx: self._peers.find(tx, nid))
        found = [] if row is None else self._db.view(lambda tx: self._peers.addresses(tx, row.pk))
        return [one.url for one in found if one.ok_ms]

    def seen(self, peer: Peer, skew_ms: int) -> None:
        """The peer is linked, or was until now."""
        now_ms, pk = self._clock.now_ms(), peer.pk
        with suppress(Rejected):
            self._db.submit(lambda tx: self._peers.seen(tx, pk, now_ms, skew_ms), _report)

    def gone(self, peer: Peer, *, is_back: Callable[[], bool]) -> None:
        """A stranger that leaves is forgotten, unless it came back before this is on disk."""

        def forget(tx: Tx) -> None:
            if not is_back():
                self._peers.forget_stranger(tx, peer.pk)

        with suppress(Rejected):
            self._db.submit(forget, _report, peer=peer.nid)

    def sweep(self) -> None:
        """Outboxes over their bounds, and refused items that were kept long enough."""
        before_ms = self._clock.now_ms() - limits.QUARANTINE_S * 1000

        def sweep(tx: Tx) -> None:
            self._quarantine.forget(tx, before_ms)
            for pk in self._outbox.overdue(tx):
                row = self._peers.get(tx, pk)
                assert row is not None
                for lost in self._outbox.collapse(tx, pk):
                    self._inbox.nacked(tx, row.peer, lost.cls, lost.body, Code.UNDELIVERABLE)

        with suppress(Rejected):
            self._db.submit(sweep, _report)


def _report(result: object, error: Exception | None) -> None:
    if error is not None and not isinstance(error, Rejected):
        log.error("A note about a peer was not stored", error)
