"""How far the other nodes of a room have it, for people: which are linked, what they are called, what is stable."""

from __future__ import annotations

from typing import Protocol

from node.base.ids import NodeId
from node.services.ports import PeerLinks
from node.storage.database import Tx
from node.storage.peers import PeerStore
from node.storage.rooms import RoomRow
from node.wire import c2s

VERIFIED = "verified"


class Acknowledged(Protocol):
    """What nodes acknowledged (`services.acknowledging.Acknowledging`)."""

    def reached(self, tx: Tx, row: RoomRow) -> dict[NodeId, int]:
        """How far each other node of a room is known to have it."""

    def stable_idx(self, tx: Tx, row: RoomRow) -> int:
        """The last entry that a majority of the voters holds."""


class Reach:
    """Implements `services.sync.NodeMarks`. `acks` and `links` are set when they exist."""

    def __init__(self, *, peers: PeerStore) -> None:
        self._peers = peers
        self.acks: Acknowledged | None = None
        self.links: PeerLinks | None = None

    def marks(self, tx: Tx, row: RoomRow) -> tuple[tuple[c2s.NodeMark, ...], int]:
        """The other nodes of the room, and the last stable entry."""
        if self.acks is None:
            return (), row.head.idx
        reached = self.acks.reached(tx, row)
        if not reached:
            return (), row.head.idx
        marks = tuple(c2s.NodeMark(nid, idx, self._linked(nid), self._domain(tx, nid)) for nid, idx in reached.items())
        return marks, self.acks.stable_idx(tx, row)

    def _linked(self, nid: NodeId) -> bool:
        return self.links is not None and self.links.linked(nid)

    def _domain(self, tx: Tx, nid: NodeId) -> str:
        row = self._peers.find(tx, nid)
        return row.domain if row is not None and row.domain_state == VERIFIED else ""
