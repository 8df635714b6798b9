"""Other nodes as an admin sees them: who they are, whether we talk to them, and what became of the last attempt.

The policy of a node is ``open`` (as everybody), ``allow`` (talk to it also where only allowed nodes are talked to) or ``block``: no link,
nothing is dialled, and an open link is closed at once. What waits for a blocked node stays until it is too old.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from node.base.errors import Code, Rejected
from node.base.ids import NodeId, format_node
from node.runtime.clock import Clock
from node.services.causes import told
from node.storage.database import Database, Tx
from node.storage.outbox import Outbox
from node.storage.peers import ALLOW, BLOCK, OPEN, AddressRow, PeerRow, PeerStore, Quarantine

POLICIES = frozenset({OPEN, ALLOW, BLOCK})


class PeerLink(Struct, frozen=True, kw_only=True):
    """An open link."""

    nid: NodeId
    address: str
    url: str  # where we dialled; empty when the peer did
    dialled: bool
    age_s: float
    rtt_ms: float | None
    skew_ms: int
    under_way: int  # items sent and not acknowledged


class LinkTable(Protocol):
    """The links of this node (`federation.service.Federation`)."""

    def open_links(self) -> Sequence[PeerLink]:
        """All open links."""

    @property
    def dialling(self) -> Sequence[NodeId]:
        """Peers that this node tries to link."""

    def wake(self, nid: NodeId) -> None:
        """Begins to dial, if there is no link and somebody wants one: the peer will not call soon after it was refused."""

    def drop(self, nid: NodeId, reason: str = "closed") -> None:
        """Closes the link with `nid`."""

    def nudge(self, nid: NodeId | None = None) -> None:
        """Dials now instead of later."""


class PeerState(Struct, frozen=True, kw_only=True):
    """One node on the page of peers. Times are unix ms, 0 for never."""

    nid: NodeId
    domain: str
    domain_state: str
    policy: str
    known: bool
    state: str  # linked, dialling, offline
    path: str  # out <url>, in <address>, or empty
    seen_ms: int
    rtt_ms: float | None
    skew_ms: int
    queue_rows: int
    queue_bytes: int
    under_way: int
    refused: int  # items of it in quarantine
    rotations: int
    incarnation: int
    dialled_ms: int
    dial_cause: str
    dial_error: str
    addresses: tuple[AddressRow, ...] = ()


class Peers:
    """Pins, policy and state of other nodes."""

    def __init__(self, *, db: Database, store: PeerStore, outbox: Outbox, quarantine: Quarantine, clock: Clock) -> None:
        self._db = db
        self._store = store
        self._outbox = outbox
        self._quarantine = quarantine
        self._clock = clock
        self._links: LinkTable | None = None

    def attach(self, links: LinkTable) -> None:
        """The edges are there."""
        self._links = links

    # --- reading ----------------------------------------------------------------------------------------

    async def all(self) -> list[PeerState]:
        """Every node we know of, those with a link first, then by the time they were seen."""
        links = self._open()
        states = await self._db.read(lambda tx: [self._state(tx, row, links) for row in self._store.all(tx)])
        return sorted(states, key=lambda one: (one.state != "linked", -one.seen_ms, one.nid))

    def get(self, nid: NodeId) -> PeerState:
        """One node, with its addresses. Raises Rejected with `not_found`."""
        links = self._open()

        def look(tx: Tx) -> PeerState | None:
            row = self._store.find(tx, nid)
            if row is None:
                return None
            return self._state(tx, row, links, tuple(self._store.addresses(tx, row.pk)))

        state = self._db.view(look)
        if state is None:
            raise _unknown(nid)
        return state

    def is_blocked(self, nid: NodeId) -> bool:
        """Whether this node does not talk to `nid`."""
        row = self._db.view(lambda tx: self._store.find(tx, nid))
        return row is not None and row.policy == BLOCK

    def name_of(self, nid: NodeId) -> str:
        """What people call it: its proved domain, else its text form."""
        row = self._db.view(lambda tx: self._store.find(tx, nid))
        return row.domain if row is not None and row.domain and row.domain_state == "verified" else format_node(nid)

    def has_domain(self, nid: NodeId) -> bool:
        """Whether a domain of `nid` is proved."""
        row = self._db.view(lambda tx: self._store.find(tx, nid))
        return row is not None and bool(row.domain) and row.domain_state == "verified"

    # --- deciding ---------------------------------------------------------------------------------------

    async def set_policy(self, nid: NodeId, policy: str) -> None:
        """``open``, ``allow`` or ``block``; on disk and in effect when this returns. Raises Rejected."""
        if policy not in POLICIES:
            raise Rejected(Code.BAD_REQUEST, "A policy is open, allow or block.", field="policy")
        now_ms = self._clock.now_ms()

        def decide(tx: Tx) -> None:
            row = self._store.ensure(tx, nid, now_ms, known=policy != BLOCK)
            self._store.set_policy(tx, row.pk, policy)

        await self._db.write(decide)
        if self._links is not None:
            if policy == BLOCK:
                self._links.drop(nid, "blocked")
            else:
                self._links.wake(nid)
                self._links.nudge(nid)

    async def pin_domain(self, nid: NodeId, domain: str, proof: str) -> None:
        """`domain` was seen to name `nid`. Raises Rejected with `key_changed` when it is pinned to another node."""
        now_ms = self._clock.now_ms()

        def pin(tx: Tx) -> bool:
            row = self._store.ensure(tx, nid, now_ms)
            fits = self._store.pin_domain(tx, domain, nid, now_ms, proof)
            self._store.set_domain(tx, row.pk, domain, "verified" if fits else "conflict", now_ms)
            return fits

        if not await self._db.write(pin):
            raise Rejected(
                Code.KEY_CHANGED, f"{domain} belonged to another node before. Compare keys with its owner first."
            )

    # --- inside -----------------------------------------------------------------------------------------

    def _open(self) -> dict[NodeId, PeerLink]:
        return {} if self._links is None else {link.nid: link for link in self._links.open_links()}

    def _state(
        self, tx: Tx, row: PeerRow, links: dict[NodeId, PeerLink], addresses: tuple[AddressRow, ...] = ()
    ) -> PeerState:
        link = links.get(row.nid)
        run = self._outbox.peek(tx, row.pk)
        cause, error = told(row.dial_error)
        return PeerState(
            nid=row.nid,
            domain=row.domain,
            domain_state=row.domain_state,
            policy=row.policy,
            known=bool(row.known),
            state="linked" if link else "dialling" if self._is_dialling(row.nid) else "offline",
            path="" if link is None else f"out {link.url}" if link.dialled else f"in {link.address}",
            seen_ms=self._clock.now_ms() if link else row.seen_ms,
            rtt_ms=link.rtt_ms if link else None,
            skew_ms=link.skew_ms if link else row.skew_ms,
            queue_rows=run.rows if run else 0,
            queue_bytes=run.size_bytes if run else 0,
            under_way=link.under_way if link else 0,
            refused=self._quarantine.count(tx, row.pk),
            rotations=row.rotations,
            incarnation=row.incarnation,
            dialled_ms=row.dialled_ms,
            dial_cause=cause,
            dial_error=error,
            addresses=addresses,
        )

    def _is_dialling(self, nid: NodeId) -> bool:
        return self._links is not None and nid in self._links.dialling


def _unknown(nid: NodeId) -> Rejected:
    return Rejected(Code.NOT_FOUND, f"Nothing is known of the node {format_node(nid)}.")
