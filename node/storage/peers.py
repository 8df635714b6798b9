"""Other nodes: pins, policy, addresses, and what this node noticed about them.

A pin is what a node has proved: its chain of roots, op key and incarnation. It only goes forward, (rotations, incarnation) never
falls, so an old copy of a node cannot take the place of the newer one. A domain pin ties a domain to a nid and is never replaced by
an answer of DNS or TLS; only a transfer signed by both identities moves it.

A *stranger* is a peer with ``known = 0``: nobody here asked for it and nothing waits for it. Its row exists while it is connected.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from node.base.ids import NodeId, format_node
from node.storage.database import Tx

OPEN: Final = "open"
ALLOW: Final = "allow"
BLOCK: Final = "block"
ADDRESSES_KEPT: Final = 16
_SELECT: Final = """SELECT id, nid, chain, cert, op, rotations, incarnation, domain, domain_state, domain_ms, record, record_seq, policy,
                     known, tls, skew_ms, created_ms, seen_ms, dialled_ms, dial_error, marks_seq FROM peers"""


class Peer(Struct, frozen=True):
    """A node that proved its identity."""

    pk: int
    nid: NodeId
    op: bytes
    incarnation: int
    rotations: int


class PeerRow(Struct, frozen=True):
    """A row of ``peers``."""

    pk: int
    nid: NodeId
    chain: bytes
    cert: bytes
    op: bytes
    rotations: int
    incarnation: int
    domain: str
    domain_state: str
    domain_ms: int
    record: bytes
    record_seq: int
    policy: str
    known: int
    tls: int
    skew_ms: int
    created_ms: int
    seen_ms: int
    dialled_ms: int
    dial_error: str
    marks_seq: int

    @property
    def proved(self) -> bool:
        """Whether the node ever showed its chain and certificate."""
        return bool(self.op)

    @property
    def peer(self) -> Peer:
        """The short form."""
        return Peer(self.pk, self.nid, self.op, self.incarnation, self.rotations)


class Proof(Struct, frozen=True, kw_only=True):
    """What a handshake or a log entry showed, checked."""

    nid: NodeId
    chain: bytes
    cert: bytes
    op: bytes
    rotations: int
    incarnation: int

    def is_newer(self, row: PeerRow) -> bool:
        """Whether it goes beyond the pin."""
        return (self.rotations, self.incarnation) > (row.rotations, row.incarnation)


class AddressRow(Struct, frozen=True):
    """An address of a peer; `tls` is 1 once TLS with a matching channel binding was seen there."""

    url: str
    source: str
    tls: int
    ok_ms: int
    failed_ms: int


class PeerStore:
    """The tables ``peers``, ``peer_addresses`` and ``domains``."""

    def find(self, tx: Tx, nid: NodeId) -> PeerRow | None:
        """The row of this node."""
        return _row(tx.one(f"{_SELECT} WHERE nid = ?", (nid,)))

    def get(self, tx: Tx, pk: int) -> PeerRow | None:
        """The row with this number."""
        return _row(tx.one(f"{_SELECT} WHERE id = ?", (pk,)))

    def all(self, tx: Tx) -> list[PeerRow]:
        """Every node we know of."""
        found = (_row(row) for row in tx.all(f"{_SELECT} ORDER BY id"))
        return [row for row in found if row is not None]

    def ensure(self, tx: Tx, nid: NodeId, now_ms: int, *, known: bool = True) -> PeerRow:
        """The row of this node, made when it is the first time. `known`: somebody here has to do with it."""
        tx.execute(
            """INSERT INTO peers (nid, known, created_ms) VALUES (?, ?, ?)
               ON CONFLICT (nid) DO UPDATE SET known = max(known, excluded.known)""",
            (nid, int(known), now_ms),
        )
        row = self.find(tx, nid)
        assert row is not None
        return row

    def know(self, tx: Tx, pk: int) -> None:
        """It is no stranger from now on: a contact, or a node of a shared room."""
        tx.execute("UPDATE peers SET known = 1 WHERE id = ? AND known = 0", (pk,))

    def prove(self, tx: Tx, proof: Proof, now_ms: int, *, known: bool = False) -> PeerRow | None:
        """Moves the pin forward and says what it is now. None, and nothing changes, when the proof is behind the pin."""
        row = self.ensure(tx, proof.nid, now_ms, known=known)
        place = (proof.rotations, proof.incarnation)
        if row.proved and place <= (row.rotations, row.incarnation):
            return row if place == (row.rotations, row.incarnation) and proof.op == row.op else None
        tx.execute(
            "UPDATE peers SET chain = ?, cert = ?, op = ?, rotations = ?, incarnation = ? WHERE id = ?",
            (proof.chain, proof.cert, proof.op, proof.rotations, proof.incarnation, row.pk),
        )
        return self.get(tx, row.pk)

    def forget_stranger(self, tx: Tx, pk: int) -> None:
        """Removes all that a stranger left behind, unless it asked somebody here for something. An identity costs nothing, so whatever
        is kept of strangers is kept of any number of them; what they send once more is known by its content."""
        bare = tx.one(
            """SELECT 1 FROM peers p WHERE id = ? AND known = 0 AND policy = 'open' AND domain = ''
               AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.peer = p.id)
               AND NOT EXISTS (SELECT 1 FROM offers o WHERE o.hub = p.nid)""",
            (pk,),
        )
        if bare is not None and not self._has_people(tx, pk):
            for table in ("outbox_runs", "peer_in", "quarantine", "refusals"):
                tx.execute(f"DELETE FROM {table} WHERE peer = ?", (pk,))  # noqa: S608 - names from above
            tx.execute("DELETE FROM peers WHERE id = ?", (pk,))

    def _has_people(self, tx: Tx, pk: int) -> bool:
        """Whether somebody of this node stands in the contacts of somebody here."""
        row = self.get(tx, pk)
        assert row is not None
        sql = "SELECT 1 FROM contacts c JOIN users u ON u.id = c.user WHERE substr(u.user, -52) = ? LIMIT 1"
        return tx.one(sql, (format_node(row.nid),)) is not None

    # --- what was noticed -------------------------------------------------------------------------------

    def seen(self, tx: Tx, pk: int, now_ms: int, skew_ms: int) -> None:
        """A link is open; the peer's clock differs by `skew_ms`."""
        tx.execute(
            "UPDATE peers SET seen_ms = max(seen_ms, ?), skew_ms = ?, dial_error = '' WHERE id = ?",
            (now_ms, skew_ms, pk),
        )

    def marks_sent(self, tx: Tx, pk: int, upto: int) -> None:
        """The peer confirmed the receipts up to this feed position."""
        tx.execute("UPDATE peers SET marks_seq = max(marks_seq, ?) WHERE id = ?", (upto, pk))

    def dialled(self, tx: Tx, pk: int, now_ms: int, error: str) -> None:
        """An attempt to dial ended, with `error` or empty."""
        tx.execute("UPDATE peers SET dialled_ms = ?, dial_error = ? WHERE id = ?", (now_ms, error, pk))

    def set_policy(self, tx: Tx, pk: int, policy: str) -> None:
        """``open``, ``allow`` or ``block``."""
        assert policy in {OPEN, ALLOW, BLOCK}
        tx.execute("UPDATE peers SET policy = ? WHERE id = ?", (policy, pk))

    def put_record(self, tx: Tx, pk: int, record: bytes, seq: int) -> None:
        """The newest signed location record; the caller compared."""
        tx.execute("UPDATE peers SET record = ?, record_seq = ? WHERE id = ?", (record, seq, pk))

    def linked_since(self, tx: Tx, since_ms: int) -> list[PeerRow]:
        """Known nodes that were linked after `since_ms`."""
        sql = f"{_SELECT} WHERE known = 1 AND policy <> 'block' AND seen_ms > ? ORDER BY seen_ms DESC"
        return [row for row in map(_row, tx.all(sql, (since_ms,))) if row is not None]

    # --- addresses --------------------------------------------------------------------------------------

    def addresses(self, tx: Tx, pk: int) -> list[AddressRow]:
        """Where the peer was or may be; the one that worked last comes first."""
        sql = """SELECT url, source, tls, ok_ms, failed_ms FROM peer_addresses WHERE peer = ?
                 ORDER BY ok_ms DESC, failed_ms, url"""
        return [AddressRow(*row) for row in tx.all(sql, (pk,))]

    def address_ok(self, tx: Tx, pk: int, url: str, source: str, now_ms: int, *, tls: bool) -> None:
        """A link was made there. A `tls` flag once set stays."""
        tx.execute(
            """INSERT INTO peer_addresses (peer, url, source, tls, ok_ms) VALUES (?, ?, ?, ?, ?)
               ON CONFLICT (peer, url) DO UPDATE SET source = excluded.source, tls = max(tls, excluded.tls), ok_ms = excluded.ok_ms""",
            (pk, url, source, int(tls), now_ms),
        )
        tx.execute(
            """DELETE FROM peer_addresses WHERE peer = ? AND url NOT IN (
                 SELECT url FROM peer_addresses WHERE peer = ? ORDER BY ok_ms DESC, url LIMIT ?)""",
            (pk, pk, ADDRESSES_KEPT),
        )

    def address_failed(self, tx: Tx, pk: int, url: str, now_ms: int) -> None:
        """Nobody, or somebody else, was there."""
        tx.execute("UPDATE peer_addresses SET failed_ms = ? WHERE peer = ? AND url = ?", (now_ms, pk, url))

    # --- domains ----------------------------------------------------------------------------------------

    def domain_owner(self, tx: Tx, domain: str) -> NodeId | None:
        """The nid that is pinned for `domain`."""
        row = tx.one("SELECT nid FROM domains WHERE domain = ?", (domain,))
        return None if row is None else NodeId(row[0])

    def pin_domain(self, tx: Tx, domain: str, nid: NodeId, now_ms: int, proof: str) -> bool:
        """Pins `domain` to `nid` unless it has a pin; whether it is pinned to `nid` now."""
        tx.execute(
            "INSERT INTO domains (domain, nid, since_ms, proof) VALUES (?, ?, ?, ?) ON CONFLICT (domain) DO NOTHING",
            (domain, nid, now_ms, proof),
        )
        return self.domain_owner(tx, domain) == nid

    def move_domain(self, tx: Tx, domain: str, nid: NodeId, now_ms: int, proof: str) -> None:
        """Moves a pin, by a transfer that both identities signed."""
        tx.execute("UPDATE domains SET nid = ?, since_ms = ?, proof = ? WHERE domain = ?", (nid, now_ms, proof, domain))

    def set_domain(self, tx: Tx, pk: int, domain: str, state: str, now_ms: int) -> None:
        """The domain a peer claims and what is known about the claim."""
        tx.execute(
            "UPDATE peers SET domain = ?, domain_state = ?, domain_ms = ? WHERE id = ?", (domain, state, now_ms, pk)
        )


class Quarantined(Struct, frozen=True):
    """An item that was refused."""

    seq: int
    cls: int
    code: str
    body: bytes
    at_ms: int


class Quarantine:
    """The table ``quarantine``: refused items, kept for inquiry."""

    def put(self, tx: Tx, peer_pk: int, run: bytes, item: Quarantined, keep: int) -> None:
        """One more; the oldest of this peer beyond `keep` are forgotten."""
        tx.execute(
            "INSERT INTO quarantine (peer, run, seq, class, code, body, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (peer_pk, run, item.seq, item.cls, item.code, item.body, item.at_ms),
        )
        if self.count(tx, peer_pk) > keep:  # some at once, so that in a flood not each costs a look at all of them
            tx.execute(
                """DELETE FROM quarantine WHERE peer = ? AND id NOT IN (
                     SELECT id FROM quarantine WHERE peer = ? ORDER BY id DESC LIMIT ?)""",
                (peer_pk, peer_pk, keep - keep // 16),
            )

    def of_run(self, tx: Tx, peer_pk: int, run: bytes, limit: int) -> list[tuple[int, str]]:
        """(seq, code) of the newest of this run, rising: the peer may not have heard of them."""
        sql = "SELECT seq, code FROM quarantine WHERE peer = ? AND run = ? ORDER BY seq DESC LIMIT ?"
        return [(int(seq), str(code)) for seq, code in reversed(tx.all(sql, (peer_pk, run, limit)))]

    def count(self, tx: Tx, peer_pk: int) -> int:
        """How many of this peer are kept."""
        row = tx.one("SELECT count(*) FROM quarantine WHERE peer = ?", (peer_pk,))
        assert row is not None
        return int(row[0])

    def forget(self, tx: Tx, before_ms: int) -> None:
        """Forgets what is older."""
        tx.execute("DELETE FROM quarantine WHERE at_ms < ?", (before_ms,))


def _row(found: tuple[Any, ...] | None) -> PeerRow | None:
    return None if found is None else PeerRow(found[0], NodeId(found[1]), *found[2:])
