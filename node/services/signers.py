"""Which op key a node signed with: what makes an event of a third node checkable.

An identity proves itself, so whoever hands it over need not be trusted. What was checked once is kept in memory (bounded) and, with
the first entry that needs it, on disk. A certificate is judged at the time of that entry and never again.
"""

from __future__ import annotations

from typing import Final

import msgspec

from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId
from node.runtime.clock import Clock
from node.storage import signers
from node.storage.database import Database, Tx
from node.storage.peers import Peer, PeerStore
from node.storage.signers import SignerRow
from node.wire import keys
from node.wire.envelope import Key
from node.wire.exchange import SignerCert

CACHE_MAX: Final = 4_096
_decode_cert: Final = msgspec.msgpack.Decoder(keys.OpCert).decode


class Signers:
    """Looks keys up and learns new ones."""

    def __init__(self, *, db: Database, peers: PeerStore, clock: Clock) -> None:
        self._db = db
        self._peers = peers
        self._clock = clock
        self._checked: dict[tuple[NodeId, int], SignerRow] = {}
        self._stored: set[tuple[NodeId, int]] = set()
        db.on_abort(self._stored.clear)

    def learn(self, cert: SignerCert, at_s: int) -> Key:
        """The key that an identity proves at that time. Raises Rejected with `bad_signature`."""
        try:
            op_cert = _decode_cert(cert.cert)
            proved = keys.check_identity(keys.decode_chain(cert.chain), op_cert, now_s=at_s)
        except (RemoteError, msgspec.DecodeError, RecursionError) as error:
            raise Rejected(Code.BAD_SIGNATURE, f"The identity of a signer does not hold: {error}") from None
        key = Key(proved.nid, proved.incarnation, proved.op)
        known = self.find(proved.nid, proved.incarnation)
        if known is not None and known.op != key.op:
            raise Rejected(Code.BAD_SIGNATURE, "A node has two op keys at one incarnation.")
        self._remember(SignerRow(key, cert))
        return key

    def names(self, cert: SignerCert) -> NodeId:
        """Whose identity this is, if it holds: cheap, and proves nothing. Raises Rejected."""
        try:
            return keys.node_id(keys.decode_chain(cert.chain)[0])
        except (RemoteError, IndexError) as error:
            raise Rejected(Code.BAD_SIGNATURE, f"The identity of a signer does not hold: {error}") from None

    def learn_peer(self, peer: Peer) -> None:
        """The key of a linked peer, with the identity that its handshake showed. Raises Rejected."""
        row = self._db.view(lambda tx: self._peers.get(tx, peer.pk))
        if row is not None and row.proved:
            self.learn(SignerCert(row.chain, row.cert), self._clock.now_ms() // 1000)

    def find(self, nid: NodeId, incarnation: int) -> Key | None:
        """The key of a node at that incarnation."""
        row = self._checked.get((nid, incarnation))
        if row is None:
            row = self._db.view(lambda tx: signers.find(tx, nid, incarnation))
            if row is None:
                return None
            self._remember(row)
        return row.key

    def require(self, nid: NodeId, incarnation: int) -> Key:
        """`find`, for an event that cannot be checked without it. Raises Rejected with `bad_signature`."""
        key = self.find(nid, incarnation)
        if key is None:
            raise Rejected(Code.BAD_SIGNATURE, "The node that signed this event is not known here.")
        return key

    def store(self, tx: Tx, key: Key) -> None:
        """Puts a key on disk, with the entry that needs it."""
        place = (key.nid, key.incarnation)
        if place not in self._stored and place in self._checked:
            signers.put(tx, self._checked[place])
            self._stored.add(place)

    def cert(self, tx: Tx, nid: NodeId, incarnation: int) -> SignerCert | None:
        """The identity to hand on."""
        row = self._checked.get((nid, incarnation)) or signers.find(tx, nid, incarnation)
        return None if row is None else row.cert

    def _remember(self, row: SignerRow) -> None:
        if len(self._checked) >= CACHE_MAX:
            self._checked.clear()
            self._stored.clear()
        self._checked[row.key.nid, row.key.incarnation] = row
