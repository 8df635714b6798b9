"""A hub that came back from an old backup: before its first new entry in a room it asks the other nodes what it lacks.

They hold entries of its rooms that the backup does not have, under heads that this node signed itself. Whoever follows such a room shows
the newest of these heads (``log.seen``) when a link opens; it is our own word, so the entries that lead to it are adopted as they are:
the chain proves them, and signatures of third nodes are checked once more. Meanwhile nothing is appended to a room that another node has
a part in, or there would be two histories. A room opens once a majority of its other nodes have no more than we do.

``restored`` in the data directory says that this is such a copy: `startalk restore` makes it, and so does being shown a later state. It
goes away with the last room that waited, or at the owner's word (`startalk identity move --alone`), when the others are gone for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from msgspec.structs import replace

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import EventId, NodeId, RoomId
from node.core import hub
from node.core import room as rules
from node.core.hub import Head
from node.runtime.log import Log as Diary
from node.services.ports import PeerLinks
from node.services.replicas import Checked, Replicas
from node.storage.database import Database, Tx
from node.storage.peers import Peer
from node.storage.rooms import RoomRow, Rooms
from node.wire import envelope, exchange
from node.wire.exchange import Entry, Range, RoomHead

_diary: Final = Diary("restoring")


class Own(Protocol):
    """Whose node this is."""

    @property
    def nid(self) -> NodeId:
        """The node's id."""

    @property
    def incarnation(self) -> int:
        """Of its op key."""


class Restoring:
    """Adopts what others kept."""

    def __init__(self, *, db: Database, marker: Path, rooms: Rooms, replicas: Replicas, own: Own) -> None:
        self._db = db
        self._marker = marker
        self._rooms = rooms
        self._replicas = replicas
        self._own = own
        self._shown: dict[NodeId, dict[RoomId, Head]] = {}
        self._open: dict[RoomId, set[NodeId]] = {}  # rooms that wait, with the nodes that have no more than we do
        self.links: PeerLinks | None = None
        if marker.exists():
            self._open = {row.room: set() for row in db.view(lambda tx: list(self._shared(tx)))}
            self._finish()

    def _shared(self, tx: Tx) -> Sequence[RoomRow]:
        return [row for row in self._rooms.everyone(tx) if row.hub == self._own.nid and self._others(row)]

    def _others(self, row: RoomRow) -> set[NodeId]:
        return set(rules.nodes_of(row.state)) - {self._own.nid}

    def suspect(self, reason: str) -> None:
        """This copy was shown a later state: what it lacks has to be asked for when it is let to write again."""
        self._marker.touch(mode=0o600)

    @property
    def waiting(self) -> int:
        """Rooms that take nothing until others were asked."""
        return len(self._open)

    def check(self, row: RoomRow) -> None:
        """Raises Rejected while the room waits."""
        if row.room in self._open:
            raise Rejected(
                Code.READ_ONLY,
                "This node came back from a backup and first asks the other nodes of this chat what it lacks; try again later, or ask the admin.",
            )

    # --- what others say ----------------------------------------------------------------------------------

    def compared(self, peer: Peer, heads: Sequence[RoomHead]) -> None:
        """A follower says how far it has rooms of ours; who has no more than we do agrees that they go on."""
        for theirs in heads:
            agreed = self._open.get(RoomId(theirs.room))
            row = self._db.view(lambda tx, theirs=theirs: self._rooms.peek(tx, RoomId(theirs.room)))  # type: ignore[misc]
            if agreed is not None and row is not None and theirs.idx <= row.head.idx:
                self._agree(row, peer.nid)

    def _agree(self, row: RoomRow, nid: NodeId) -> None:
        agreed, others = self._open.get(row.room), self._others(row)
        if agreed is None or nid not in others:
            return
        agreed.add(nid)
        if 2 * len(agreed & others) > len(others):
            del self._open[row.room]
            self._finish()

    def _finish(self) -> None:
        if not self._open:
            self._marker.unlink(missing_ok=True)

    def shown(self, peer: Peer, room: RoomId, head: Head) -> None:
        """The peer has a head that this node signed and does not have."""
        known = self._shown.setdefault(peer.nid, {})
        if len(known) < limits.HEADS_AT_ONCE or room in known:
            known[room] = head

    # --- adopting -----------------------------------------------------------------------------------------

    async def adopt(self, peer: Peer) -> None:
        """Fetches what the peer showed. Raises Rejected; it will be shown again with the next link."""
        for room, head in self._shown.pop(peer.nid, {}).items():
            await self._adopt_room(peer, room, head)

    async def _adopt_room(self, peer: Peer, room: RoomId, head: Head) -> None:
        row = self._db.view(lambda tx: self._rooms.peek(tx, room))
        start = Head() if row is None else row.head
        if start.idx >= head.idx or head.idx - start.idx > limits.OUTBOX_ROWS_MAX:
            return
        entries = await self._fetch(peer, room, start, head)
        if not entries:
            _diary.warning("A follower has a history of a room that does not go on from ours", room=room.hex()[:8])
            return
        own = Peer(0, self._own.nid, b"", self._own.incarnation, 0)
        checked = [self._replicas.prepare(own, replace(entry, head=None)) for entry in entries]
        for at in range(0, len(checked), limits.CATCH_UP_ENTRIES_MAX):
            part = checked[at : at + limits.CATCH_UP_ENTRIES_MAX]
            await self._db.write(lambda tx, part=part: self._append(tx, own, room, part))  # type: ignore[misc]
        adopted = self._db.view(lambda tx: self._rooms.peek(tx, room))
        _diary.info("adopted entries that others kept", room=room.hex()[:8], number=len(checked))
        if adopted is not None and adopted.head.idx >= head.idx:
            self._agree(adopted, peer.nid)

    async def _fetch(self, peer: Peer, room: RoomId, start: Head, head: Head) -> list[Entry]:
        """The entries from `start` to `head`; empty when they do not lead there."""
        assert self.links is not None
        at, entries = start, list[Entry]()
        while at.idx < head.idx:
            asked = exchange.encode_item(Range(room, at.idx + 1))
            page = exchange.decode_range_page(await self.links.request(peer.nid, exchange.LOG_RANGE, asked))
            for entry in page.entries:
                if entry.idx != at.idx + 1 or entry.room != room or at.idx == head.idx:
                    break
                at = hub.append(room, at, EventId(envelope.event_id(entry.event)), entry.at_ms)
                entries.append(entry)
            if not page.entries or (at.idx < page.entries[-1].idx and at.idx != head.idx):
                return []
        return entries if at == head else []

    def _append(self, tx: Tx, own: Peer, room: RoomId, part: Sequence[Checked]) -> None:
        row = self._rooms.load(tx, room)
        if row is None:
            if part[0].event.value.room:
                return  # a direct chat: it begins again when its people write
            row = self._rooms.insert(tx, room, own.nid, rules.Room(kind=rules.GROUP))
        if part[0].item.idx != row.head.idx + 1:
            return
        for entry in part:
            self._replicas.apply(tx, own, entry)
