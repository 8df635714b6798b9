"""Who may link: what the pins and policies of peers say of an identity that is dialled, or dials."""

from __future__ import annotations

from collections.abc import Callable

from node.base.errors import Code, Rejected
from node.base.ids import NodeId
from node.federation.proto.handshake import HandshakeRefused, Proven
from node.runtime.clock import Clock
from node.storage.database import Database, Tx
from node.storage.peers import ALLOW, BLOCK, Peer, PeerRow, PeerStore, Proof
from node.wire.keys import Certified


class Gate:
    """`allowed_only`: whether nodes are kept out unless their policy is ``allow``."""

    def __init__(self, *, db: Database, peers: PeerStore, clock: Clock, allowed_only: Callable[[], bool]) -> None:
        self._db = db
        self._peers = peers
        self._clock = clock
        self.allowed_only = allowed_only

    def shut(self, row: PeerRow) -> bool:
        """Whether this node does not talk to that one."""
        return row.policy == BLOCK or (self.allowed_only() and row.policy != ALLOW)

    async def admit(self, nid: NodeId) -> None:
        """Allows it, unless it is blocked."""
        now_ms = self._clock.now_ms()

        def allow(tx: Tx) -> None:
            row = self._peers.ensure(tx, nid, now_ms, known=True)
            if row.policy != BLOCK:
                self._peers.set_policy(tx, row.pk, ALLOW)

        await self._db.write(allow)

    def accept(self, who: Certified) -> None:
        """Looks at an identity that we dialled, before we show ours. Raises HandshakeRefused."""
        row = self._db.view(lambda tx: self._peers.find(tx, who.nid))
        if row is not None and row.proved and who.order < (row.rotations, row.incarnation):
            raise HandshakeRefused(Code.KEY_CHANGED, "this is an older copy of a node that has moved on")
        self.accept_call(who)

    def accept_call(self, who: Certified) -> None:
        """Looks at an identity that dialled us; an older copy is shown its later state once it is proved. Raises HandshakeRefused."""
        row = self._db.view(lambda tx: self._peers.find(tx, who.nid))
        if row is not None and row.proved and who.order == (row.rotations, row.incarnation) and who.op != row.op:
            raise HandshakeRefused(Code.KEY_CHANGED, "a second op key at the same incarnation")

    def binding_required(self, nid: NodeId, url: str) -> bool:
        """Whether that address was bound to the peer by its TLS certificate before."""

        def look(tx: Tx) -> bool:
            row = self._peers.find(tx, nid)
            return row is not None and any(one.url == url and one.tls for one in self._peers.addresses(tx, row.pk))

        return self._db.view(look)

    async def prove(self, proven: Proven, *, known: bool = False) -> Peer:
        """The pin moves forward, on disk. Raises Rejected."""
        who = proven.who
        proof = Proof(
            nid=who.nid,
            chain=proven.chain,
            cert=proven.cert,
            op=who.op,
            rotations=who.rotations,
            incarnation=who.incarnation,
        )
        now_ms = self._clock.now_ms()
        row = await self._db.write(lambda tx: self._peers.prove(tx, proof, now_ms, known=known))
        if row is None:
            raise Rejected(Code.KEY_CHANGED, "This is an older copy of a node that has moved on.")
        return row.peer
