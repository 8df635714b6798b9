"""Signed acknowledgements: a follower says how far it has a room, the hub gathers and shows them to all.

An acknowledgement names the log hash, so it means nothing on another history. Who has enough of them knows what is *stable*
(core/hub.py), and the author of a message sees on which nodes it has arrived. Only the newest one of each node counts, so nothing
is queued: what was not confirmed is said again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Protocol

from node.base import limits
from node.base.errors import Rejected
from node.base.ids import NodeId, RoomId
from node.core import hub
from node.core import room as rules
from node.core.hub import Head
from node.runtime.clock import Clock
from node.services.feed import Feed
from node.services.ports import PeerLinks
from node.services.signers import Signers
from node.storage import acks
from node.storage.database import Database, Tx
from node.storage.log import Log
from node.storage.peers import Peer
from node.storage.rooms import RoomRow, Rooms
from node.wire import envelope, exchange
from node.wire.envelope import Key
from node.wire.exchange import Ack, Acks, SignerCert


class Signer(Protocol):
    """Whose node this is."""

    @property
    def nid(self) -> NodeId:
        """The node's id."""

    def ack(self, room: RoomId, head: Head) -> Ack:
        """This node has every entry up to `head`."""


class Nodes(Protocol):
    """Which nodes follow a room (`services.followers.Followers`)."""

    def of(self, row: RoomRow) -> tuple[NodeId, ...]:
        """The other nodes with a member."""


class Acknowledging:
    """Says, hears and gathers acknowledgements."""

    def __init__(
        self,
        *,
        db: Database,
        rooms: Rooms,
        log: Log,
        feed: Feed,
        signer: Signer,
        signers: Signers,
        nodes: Nodes,
        clock: Clock,
    ) -> None:
        self._db = db
        self._rooms = rooms
        self._log = log
        self._feed = feed
        self._signer = signer
        self._signers = signers
        self._nodes = nodes
        self._clock = clock
        self._owed: defaultdict[NodeId, set[int]] = defaultdict(set)
        self.links: PeerLinks | None = None

    def linked(self, peer: Peer) -> None:
        """A new link: the peer may have missed what others acknowledged."""
        self._owed[peer.nid] |= self._db.view(lambda tx: set(acks.rooms_with(tx, self._signer.nid)))

    # --- saying -------------------------------------------------------------------------------------------

    async def say(self, peer: Peer) -> None:
        """To a hub: how far we are. To a follower: how far the others are."""
        await self._say_own(peer)
        await self._say_others(peer)

    async def _say_own(self, peer: Peer) -> None:
        while mine := self._db.view(lambda tx: self._rooms.unacked(tx, peer.nid, limits.HEADS_AT_ONCE)):
            said = Acks(tuple(self._signer.ack(room, head) for _, room, head in mine))
            await self._request(peer, said)
            await self._db.write(lambda tx, mine=mine: self._confirm(tx, mine))  # type: ignore[misc]

    def _confirm(self, tx: Tx, mine: list[tuple[int, RoomId, Head]]) -> None:
        for room_pk, _, head in mine:
            self._rooms.acked(tx, room_pk, head.idx)

    async def _say_others(self, peer: Peer) -> None:
        owed = sorted(self._owed.pop(peer.nid, ()))
        for start in range(0, len(owed), limits.HEADS_AT_ONCE // limits.VOTERS_MAX):
            part = owed[start : start + limits.HEADS_AT_ONCE // limits.VOTERS_MAX]
            gathered = self._db.view(lambda tx, part=part: self._gather(tx, peer, part))  # type: ignore[misc]
            if gathered.acks:
                await self._request(peer, gathered)

    def _gather(self, tx: Tx, peer: Peer, room_pks: list[int]) -> Acks:
        found: list[Ack] = []
        certs: dict[tuple[bytes, int], SignerCert] = {}
        for pk in room_pks:
            row = self._rooms.peek_pk(tx, pk)
            if row.hub != self._signer.nid or peer.nid not in self._nodes.of(row):
                continue
            for nid, ack in list(acks.of_room(tx, pk, row.room).items())[: limits.VOTERS_MAX]:
                cert = self._signers.cert(tx, nid, ack.incarnation)
                if nid != peer.nid and cert is not None:
                    found.append(ack)
                    certs[nid, ack.incarnation] = cert
        return Acks(tuple(found), tuple(certs.values()))

    # --- hearing ------------------------------------------------------------------------------------------

    async def heard(self, peer: Peer, said: Acks) -> None:
        """Checks each and keeps the newest ones. Those that do not fit are ignored: the peer may be ahead of us, or lie. Signatures
        cost, so only those that would matter are checked, and others have their turn between two of them."""
        wanted = self._db.view(lambda tx: [ack for ack in said.acks if self._matters(tx, peer, ack)])
        nids, at_s = {ack.nid for ack in wanted}, self._clock.now_ms() // 1000
        for cert in said.signers if wanted else ():
            if self._signers.names(cert) in nids:
                self._signers.learn(cert, at_s)
                await asyncio.sleep(0)
        good: list[Ack] = []
        for ack in wanted:
            if self._is_signed(peer, ack):
                good.append(ack)
            await asyncio.sleep(0)
        if good:
            await self._db.write(lambda tx: self._keep(tx, peer, good), peer=peer.nid)

    def _matters(self, tx: Tx, peer: Peer, ack: Ack) -> bool:
        row = self._rooms.peek(tx, RoomId(ack.room))
        return (
            row is not None
            and self._may_say(row, peer, NodeId(ack.nid))
            and self._log.hash_at(tx, row.pk, ack.idx) is not None
        )

    def _is_signed(self, peer: Peer, ack: Ack) -> bool:
        nid = NodeId(ack.nid)
        key = Key(peer.nid, peer.incarnation, peer.op) if nid == peer.nid else self._signers.find(nid, ack.incarnation)
        if key is None or key.incarnation != ack.incarnation:
            return False
        signed = envelope.ack_bytes(RoomId(ack.room), Head(ack.epoch, ack.idx, ack.hash), nid, ack.incarnation)
        try:
            envelope.check(key, signed, ack.signature)
        except Rejected:
            return False
        return True

    def _keep(self, tx: Tx, peer: Peer, good: list[Ack]) -> None:
        for ack in good:
            row = self._rooms.load(tx, RoomId(ack.room))
            if row is None or not self._may_say(row, peer, NodeId(ack.nid)):
                continue
            known = self._log.hash_at(tx, row.pk, ack.idx)
            first = not acks.has(tx, row.pk, NodeId(ack.nid))
            if known == ack.hash and acks.put(tx, row.pk, ack):
                tx.after_commit(lambda row=row, first=first: self._moved(row, first=first))  # type: ignore[misc]
            elif known is not None and known != ack.hash:
                self._suspect(NodeId(ack.nid))

    def _suspect(self, nid: NodeId) -> None:
        """That node was shown another history, or lies: a link to it will tell (services/gossip.py)."""
        if self.links is not None and not self.links.linked(nid):
            self.links.wake(nid)

    def _may_say(self, row: RoomRow, peer: Peer, nid: NodeId) -> bool:
        """A follower speaks for itself to the hub; the hub shows what others signed."""
        if nid == self._signer.nid:
            return False
        if row.hub == self._signer.nid:
            return nid == peer.nid and nid in self._nodes.of(row)
        return row.hub == peer.nid

    def _moved(self, row: RoomRow, *, first: bool) -> None:
        if first:
            self._feed.entered(row.pk)  # its node holds the room from now on and can be told who is there
        if row.hub == self._signer.nid:
            for node in self._nodes.of(row):
                self._owed[node].add(row.pk)
        self._feed.nodes_moved(row.pk, row.room)

    # --- what they mean -------------------------------------------------------------------------------------

    def reached(self, tx: Tx, row: RoomRow) -> dict[NodeId, int]:
        """How far each other node of a room is known to have it; the hub of a replica as far as it sent."""
        found = {nid: ack.idx for nid, ack in acks.of_room(tx, row.pk, row.room).items()}
        if row.hub != self._signer.nid:
            found[row.hub] = row.head.idx
        return {nid: found.get(nid, 0) for nid in self._nodes.of(row)}

    def stable_idx(self, tx: Tx, row: RoomRow) -> int:
        """The last entry that a majority of the voters holds."""
        others = [nid for nid in rules.nodes_of(row.state) if nid != row.hub][: limits.VOTERS_MAX - 1]
        found = {nid: ack.idx for nid, ack in acks.of_room(tx, row.pk, row.room).items()}
        if row.hub != self._signer.nid:
            found[self._signer.nid] = row.head.idx
        return hub.stable_idx([found.get(nid, 0) for nid in others], len(others) + 1, row.head.idx)

    async def _request(self, peer: Peer, said: Acks) -> None:
        assert self.links is not None
        await self.links.request(peer.nid, exchange.ACKS, exchange.encode_item(said))
