"""Op keys of nodes that vouched for an event: kept for ever, since what they signed must stay checkable.

One row for each (node, incarnation). A certificate is judged when its row is made and never again: an entry does not become
wrong because time passes.
"""

from __future__ import annotations

from msgspec import Struct

from node.base.ids import NodeId
from node.storage.database import Tx
from node.wire.envelope import Key
from node.wire.exchange import SignerCert


class SignerRow(Struct, frozen=True):
    """A key with the identity that proves it."""

    key: Key
    cert: SignerCert


def find(tx: Tx, nid: NodeId, incarnation: int) -> SignerRow | None:
    """The key a node signed with at that incarnation, if it is known here."""
    row = tx.one("SELECT op, chain, cert FROM signers WHERE nid = ? AND incarnation = ?", (nid, incarnation))
    return None if row is None else SignerRow(Key(nid, incarnation, row[0]), SignerCert(row[1], row[2]))


def put(tx: Tx, row: SignerRow) -> None:
    """Remembers a key; the first one of an incarnation stays."""
    sql = "INSERT OR IGNORE INTO signers (nid, incarnation, op, chain, cert) VALUES (?, ?, ?, ?, ?)"
    tx.execute(sql, (row.key.nid, row.key.incarnation, row.key.op, row.cert.chain, row.cert.cert))


def newest_incarnation(tx: Tx, nid: NodeId) -> int:
    """The highest incarnation known of a node; 0 for none."""
    row = tx.one("SELECT max(incarnation) FROM signers WHERE nid = ?", (nid,))
    return 0 if row is None or row[0] is None else int(row[0])
