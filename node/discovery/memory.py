"""What earlier links left in the database, as the resolver wants it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from node.base.errors import Rejected, RemoteError
from node.base.ids import NodeId
from node.discovery.resolver import LAN, Pin
from node.runtime.clock import Clock
from node.runtime.log import Log
from node.services.ports import Candidate
from node.storage.database import Database, Tx
from node.storage.peers import AddressRow, PeerRow, PeerStore, Proof
from node.wire.codec import encode
from node.wire.keys import decode_chain
from node.wire.record import Record

log = Log("discovery.memory")


class PeerMemory:
    """Implements `resolver.Memory` on the tables of peers."""

    def __init__(
        self, *, db: Database, peers: PeerStore, clock: Clock, moved: Callable[[NodeId], None] = lambda nid: None
    ) -> None:
        """`moved` hears of a known node that has said something newer: whoever waits to dial it may dial now."""
        self._db = db
        self._peers = peers
        self._clock = clock
        self._moved = moved

    def knows(self, nid: NodeId) -> bool:
        """Whether `nid` has proved itself here: mDNS entries of it are kept before those of strangers."""
        return self.pin(nid) is not None

    def pin(self, nid: NodeId) -> Pin | None:
        """The pin of `nid`, None if it never proved itself."""
        row = self._db.view(lambda tx: self._peers.find(tx, nid))
        return _pin(row) if row is not None and row.proved else None

    def addresses(self, nid: NodeId) -> Sequence[Candidate]:
        """Where a link was made before."""
        row = self._db.view(lambda tx: self._peers.find(tx, nid))
        if row is None:
            return ()
        return [_candidate(one) for one in self._db.view(lambda tx: self._peers.addresses(tx, row.pk))]

    def learned(self, record: Record) -> None:
        """Raises the pin to a newer record; a stranger's is not kept. Not kept either while the disk takes nothing."""
        if record.cert is None or record.op is None:
            return
        proof = Proof(
            nid=record.nid,
            chain=encode(record.chain),
            cert=encode(record.cert),
            op=record.op,
            rotations=record.rotations,
            incarnation=record.incarnation,
        )

        def note(tx: Tx) -> bool:
            row = self._peers.find(tx, record.nid)
            if row is None or not row.proved or _order(record) <= (row.rotations, row.incarnation, row.record_seq):
                return False
            if self._peers.prove(tx, proof, self._clock.now_ms()) is None:
                return False  # two op keys of one incarnation: the owner has to raise it
            self._peers.put_record(tx, row.pk, record.raw, record.seq)
            return True

        def done(noted: bool | None, error: Exception | None) -> None:
            if error is not None:
                log.info("A record could not be kept", reason=type(error).__name__)
            elif noted:
                self._moved(record.nid)

        with suppress(Rejected):
            self._db.submit(note, done)

    def owner(self, domain: str) -> NodeId | None:
        """Whom `domain` is pinned to."""
        return self._db.view(lambda tx: self._peers.domain_owner(tx, domain))


def _order(record: Record) -> tuple[int, int, int]:
    return record.rotations, record.incarnation, record.seq


def _pin(row: PeerRow) -> Pin:
    try:
        chain = decode_chain(row.chain) if row.chain else None
    except RemoteError:
        chain = None
    return Pin(rotations=row.rotations, incarnation=row.incarnation, seq=row.record_seq, chain=chain, domain=row.domain)


def _candidate(row: AddressRow) -> Candidate:
    """A private address is used again only if mDNS showed it, and a link then proved it."""
    named = row.source == "domain"
    return Candidate(row.url, row.source, check_certificate=named, lan=row.source == LAN)
