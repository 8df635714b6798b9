"""What earlier links left in the database, as the resolver wants it."""

from __future__ import annotations

from collections.abc import Sequence

from node.base.errors import RemoteError
from node.base.ids import NodeId
from node.discovery.resolver import LAN, Pin
from node.services.ports import Candidate
from node.storage.database import Database
from node.storage.peers import AddressRow, PeerRow, PeerStore
from node.wire.keys import decode_chain


class PeerMemory:
    """Implements `resolver.Memory` on the tables of peers."""

    def __init__(self, *, db: Database, peers: PeerStore) -> None:
        self._db = db
        self._peers = peers

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

    def owner(self, domain: str) -> NodeId | None:
        """Whom `domain` is pinned to."""
        return self._db.view(lambda tx: self._peers.domain_owner(tx, domain))


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
