"""Words that an owner signed with the root keys: this identity ended, or goes on as another. They travel over links and prove themselves.

A tombstone is kept for ever and closes the link: nobody trusts what that node says from now on. A transfer moves the pin of the
domain to the new identity. Both are believed from whoever shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

import msgspec
from msgspec import Struct

from node.base.errors import RemoteError
from node.base.ids import NodeId
from node.runtime.clock import Clock
from node.services.causes import Cause, tell
from node.services.ports import PeerLinks
from node.storage.database import Database, Tx
from node.storage.peers import BLOCK, Peer, PeerStore
from node.wire import exchange, keys, record
from node.wire.exchange import Statements as Said
from node.wire.record import Record, RecordType, TransferBody

REVOKED = "Its owner ended this identity; ask them for the new one."
REVOKED_STATE = "revoked"  # beside verified and conflict: what is known of a peer's domain
PROOF = "transfer"


class Own(Protocol):
    """Whose node this is (`services.identity.Identity`)."""

    @property
    def statements(self) -> Mapping[bytes, bytes]:
        """Records that only the phrase could make and that hold now, by salt."""


class Dropper(Protocol):
    """Closes links."""

    def drop(self, nid: NodeId, reason: str = "closed") -> None:
        """The link with `nid`, if there is one."""


class _Judged(Struct, frozen=True):
    record: Record
    pk: int
    domain: str


class Statements:
    """Tells and believes them."""

    def __init__(self, *, db: Database, peers: PeerStore, own: Own, clock: Clock) -> None:
        self._db = db
        self._peers = peers
        self._own = own
        self._clock = clock
        self._told: set[NodeId] = set()
        self.links: PeerLinks | None = None
        self.dropper: Dropper | None = None

    def forget(self, nid: NodeId) -> None:
        """A new link has carried nothing yet."""
        self._told.discard(nid)

    async def tell(self, peer: Peer) -> None:
        """Shows the peer what the owner of this node said, once a link."""
        raws = tuple(raw for salt, raw in self._own.statements.items() if salt != record.SALT_ID)
        if peer.nid in self._told or not raws:
            return
        self._told.add(peer.nid)
        assert self.links is not None
        await self.links.request(peer.nid, exchange.STATEMENTS, exchange.encode_item(Said(raws)))

    async def heard(self, said: Said) -> None:
        """Believes what verifies, about nodes that are known here; the rest is ignored."""
        for raw in said.records:
            judged = self._judge(raw)
            if judged is None:
                continue
            await self._db.write(lambda tx, judged=judged: self._take(tx, judged))  # type: ignore[misc]
            if judged.record.typ is RecordType.REVOKE and self.dropper is not None:
                self.dropper.drop(judged.record.nid, "blocked")

    def _judge(self, raw: bytes) -> _Judged | None:
        with suppress(RemoteError, msgspec.DecodeError):
            nid = record.nid_of(raw)
            row = self._db.view(lambda tx: self._peers.find(tx, nid))
            if row is None:
                return None
            known = keys.decode_chain(row.chain) if row.chain else None
            found = record.verify_record(raw, now_s=self._clock.now_ms() // 1000, known=known)
            if found.typ in {RecordType.REVOKE, RecordType.TRANSFER}:
                return _Judged(found, row.pk, row.domain)
        return None

    def _take(self, tx: Tx, judged: _Judged) -> None:
        now_ms, body = self._clock.now_ms(), judged.record.body
        if judged.record.typ is RecordType.REVOKE:
            self._peers.put_record(tx, judged.pk, judged.record.raw, judged.record.seq)
            self._peers.set_policy(tx, judged.pk, BLOCK)
            self._peers.dialled(tx, judged.pk, now_ms, tell(Cause.REVOKED, REVOKED))
            self._peers.set_domain(tx, judged.pk, judged.domain, REVOKED_STATE, now_ms)
        elif isinstance(body, TransferBody) and body.transfer.domain:
            new = NodeId(body.transfer.new)
            if self._peers.domain_owner(tx, body.transfer.domain) == judged.record.nid:
                self._peers.ensure(tx, new, now_ms)
                self._peers.move_domain(tx, body.transfer.domain, new, now_ms, PROOF)
