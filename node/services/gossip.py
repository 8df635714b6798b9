"""Followers compare what their hub showed them, so that it cannot show two histories unseen.

Two followers of one room that have a link tell each other the newest head that the hub signed. A head of somebody else must lie on the
chain here once the replica reaches so far; if it does not, the two signed heads are a proof that needs no trust in whoever shows it. The
room then takes nothing more from that hub, its members see a banner, and the proof goes to the other nodes of the room. Heads of two
incarnations are not compared: a hub that was restored from a backup is no liar (core/hub.py).

The hub passes on what followers acknowledged; one that acknowledged another hash is a reason to look for a link to it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import EventId, NodeId, RoomId
from node.core import hub
from node.core import room as rules
from node.core.hub import Head
from node.runtime.clock import Clock
from node.services.identity import ShownHead
from node.services.ports import PeerLinks
from node.services.replicas import FORKED
from node.services.signers import Signers
from node.storage import heads
from node.storage.database import Database, Tx
from node.storage.heads import HubHead
from node.storage.log import Log
from node.storage.peers import Peer
from node.storage.rooms import RoomRow, Rooms
from node.wire import envelope, exchange
from node.wire.envelope import Key, SignedHead
from node.wire.exchange import Proof, Seen, SeenHead, Shown, Step


class Sender(Protocol):
    """Puts an item into an outbox (`services.followers.Followers`)."""

    def send(self, tx: Tx, node: NodeId, item: exchange.Item) -> None:
        """After the commit."""


class Own(Protocol):
    """Whose node this is (`services.identity.Identity`)."""

    def note_later_state(self, proof: ShownHead) -> bool:
        """Something later that this node signed: it is an old copy. Raises RemoteError when it is not true."""


GiveUp = Callable[[Tx, RoomRow, str], None]
Forgotten = Callable[[Peer, RoomId, Head], None]  # a head of our own that is beyond our log


class Gossip:
    """Compares heads and keeps proofs."""

    def __init__(
        self,
        *,
        db: Database,
        node: NodeId,
        rooms: Rooms,
        log: Log,
        signers: Signers,
        sender: Sender,
        give_up: GiveUp,
        own: Own,
        forgotten: Forgotten,
        clock: Clock,
    ) -> None:
        self._db = db
        self._node = node
        self._rooms = rooms
        self._log = log
        self._signers = signers
        self._sender = sender
        self._give_up = give_up
        self._own = own
        self._forgotten = forgotten
        self._clock = clock
        self._told: dict[NodeId, dict[int, int]] = {}
        self.links: PeerLinks | None = None

    # --- saying -------------------------------------------------------------------------------------------

    def forget(self, nid: NodeId) -> None:
        """A new link has carried no heads yet."""
        self._told.pop(nid, None)

    async def tell(self, peer: Peer) -> None:
        """Compares what is due, then shows the peer what hubs of common rooms showed here."""
        assert self.links is not None
        if self._db.view(heads.to_compare):
            await self._db.write(self._compare)
        told = self._told.setdefault(peer.nid, {})
        shown = self._db.view(lambda tx: self._to_show(tx, peer, told))
        for start in range(0, len(shown), limits.HEADS_AT_ONCE):
            part = shown[start : start + limits.HEADS_AT_ONCE]
            said = Seen(tuple(one for _, one in part))
            await self.links.request(peer.nid, exchange.SEEN, exchange.encode_item(said))
            told.update({pk: one.head.idx for pk, one in part})

    def _to_show(self, tx: Tx, peer: Peer, told: dict[int, int]) -> list[tuple[int, Shown]]:
        found = []
        for row in self._rooms.shared_with(tx, peer.nid):
            if row.hub in {self._node, peer.nid}:
                continue
            seen = heads.seen(tx, row.pk)
            if seen is not None and seen.idx > told.get(row.pk, 0):
                found.append((row.pk, Shown(row.room, row.hub, _wire(seen))))
        return found

    # --- hearing ------------------------------------------------------------------------------------------

    async def heard(self, peer: Peer, said: Seen) -> None:
        """Keeps heads that the hub did sign, until they can be compared."""
        self._reminded(peer, [shown for shown in said.shown if shown.hub == self._node])
        good = [shown for shown in said.shown if shown.hub != self._node and self._is_signed(shown)]

        def write(tx: Tx) -> None:
            for shown in good:
                row = self._rooms.load(tx, RoomId(shown.room))
                if row is not None and row.hub == shown.hub and peer.nid in rules.nodes_of(row.state):
                    heads.put_seen(tx, row.pk, peer.nid, _stored(shown.head))
            self._compare(tx)

        if good:
            await self._db.write(write, peer=peer.nid)

    def _reminded(self, peer: Peer, shown: list[Shown]) -> None:
        """Somebody has heads of ours beyond our own log: this is an old copy, or was one before it got new keys. A lie changes nothing."""
        for one in shown:
            row = self._db.view(lambda tx, one=one: self._rooms.peek(tx, RoomId(one.room)))  # type: ignore[misc]
            if row is None or (row.hub == self._node and one.head.idx > row.head.idx):
                with suppress(RemoteError):
                    if not self._own.note_later_state(_as_shown_head(one)):
                        self._forgotten(peer, RoomId(one.room), Head(one.head.epoch, one.head.idx, one.head.hash))

    def _is_signed(self, shown: Shown) -> bool:
        key = self._signers.find(NodeId(shown.hub), shown.head.incarnation)
        return key is not None and _is_signed(key, RoomId(shown.room), shown.head)

    # --- comparing ----------------------------------------------------------------------------------------

    def _compare(self, tx: Tx) -> None:
        for pk, source, theirs in heads.to_compare(tx):
            row = self._rooms.load(tx, self._rooms.peek_pk(tx, pk).room)
            assert row is not None, "it was just joined"
            if self._log.hash_at(tx, pk, theirs.idx) != theirs.hash:
                self._convict(tx, row, theirs)
            heads.forget_seen(tx, pk, source)

    def _convict(self, tx: Tx, row: RoomRow, theirs: HubHead) -> None:
        """Two histories: a proof when both heads are of one incarnation, else at least a doubt that people see."""
        proof = self._prove(tx, row, theirs)
        if proof is None:
            return
        heads.put_proof(tx, row.pk, exchange.encode_item(proof))
        self._give_up(tx, row, FORKED)
        for node in rules.nodes_of(row.state):
            if node not in {self._node, row.hub}:
                self._sender.send(tx, node, proof)

    def _prove(self, tx: Tx, row: RoomRow, theirs: HubHead) -> Proof | None:
        mine = heads.seen(tx, row.pk)
        cert = self._signers.cert(tx, row.hub, theirs.incarnation)
        if mine is None or cert is None or mine.incarnation != theirs.incarnation or mine.epoch != theirs.epoch:
            return None
        if mine.idx < theirs.idx or mine.idx - theirs.idx > limits.CATCH_UP_ENTRIES_MAX:
            return None
        fork = self._log.hash_at(tx, row.pk, theirs.idx)
        assert fork is not None, "the replica reaches so far"
        links = self._log.links(tx, row.pk, theirs.idx + 1, mine.idx - theirs.idx)
        steps = tuple(Step(envelope.event_id(link.event), link.at_ms) for link in links)
        return Proof(row.room, row.hub, _wire(theirs), _wire(mine), fork, steps, cert)

    # --- proofs of others ---------------------------------------------------------------------------------

    def check(self, proof: Proof) -> None:
        """Raises Rejected unless it proves that the hub signed two histories."""
        key = self._signers.learn(proof.signer, self._clock.now_ms() // 1000)
        one, other = proof.one, proof.other
        room = RoomId(proof.room)
        same = (one.epoch, one.incarnation) == (other.epoch, other.incarnation) == (other.epoch, key.incarnation)
        if key.nid != proof.hub or not same or not 0 <= other.idx - one.idx == len(proof.steps):
            raise _no_proof()
        if not (_is_signed(key, room, one) and _is_signed(key, room, other)) or proof.fork == one.hash:
            raise _no_proof()
        head = Head(one.epoch, one.idx, proof.fork)
        for step in proof.steps:
            head = hub.append(room, head, EventId(step.event_id), step.at_ms)
        if head.hash != other.hash:
            raise _no_proof()

    def convinced(self, tx: Tx, proof: Proof) -> None:
        """A checked proof against the hub of a room here."""
        row = self._rooms.load(tx, RoomId(proof.room))
        if row is not None and row.hub == proof.hub and not row.trouble:
            heads.put_proof(tx, row.pk, exchange.encode_item(proof))
            self._give_up(tx, row, FORKED)


def _as_shown_head(one: Shown) -> ShownHead:
    head = Head(one.head.epoch, one.head.idx, one.head.hash)
    signed = envelope.head_bytes(RoomId(one.room), head, NodeId(one.hub), one.head.incarnation)
    return ShownHead(RoomId(one.room), head, SignedHead(signed, one.head.signature))


def _is_signed(key: Key, room: RoomId, head: SeenHead) -> bool:
    signed = envelope.head_bytes(room, Head(head.epoch, head.idx, head.hash), key.nid, head.incarnation)
    try:
        envelope.check(key, signed, head.signature)
    except Rejected:
        return False
    return True


def _wire(seen: HubHead) -> SeenHead:
    return SeenHead(seen.epoch, seen.idx, seen.hash, seen.incarnation, seen.signature)


def _stored(head: SeenHead) -> HubHead:
    return HubHead(head.epoch, head.idx, head.hash, head.incarnation, head.signature)


def _no_proof() -> Rejected:
    return Rejected(Code.BAD_SIGNATURE, "This does not prove anything.")
