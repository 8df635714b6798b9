"""Entries on their way between hub and follower: rendered for the link, served by range, pulled where a replica lacks some.

*Hub*: an entry is rendered when it is sent, so one that was erased meanwhile goes out without its body. The last entry of each batch and
room carries a signed head; a third node's identity goes along with the first entry of a link that needs it.
*Follower*: when a link opens, heads are compared; what is missing is pulled in pages, checked like any entry, one transaction a page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, RoomId
from node.core.hub import Head
from node.services.ports import PeerLinks
from node.services.replicas import Replicas
from node.services.signers import Signers
from node.storage import heads
from node.storage.database import Database, Tx
from node.storage.log import Link, Log
from node.storage.outbox import OutRow
from node.storage.peers import Peer
from node.storage.rooms import RoomRow, Rooms
from node.wire import envelope, exchange
from node.wire.exchange import Entry, Heads, News, Range, RangePage, RoomHead, Seen, SeenHead, Shown, SignerCert

PAGE_BYTES: Final = limits.ENTRIES_FRAME_BYTES_MAX - 8 * 1024  # room for the frame around it
FIXED_BYTES: Final = 320  # of an entry beside event, body and identities


class Signer(Protocol):
    """Whose node this is."""

    @property
    def nid(self) -> NodeId:
        """The node's id."""

    def sign_head(self, room: RoomId, head: Head) -> bytes:
        """The hub's word for every entry up to `head`."""


class Nodes(Protocol):
    """Which nodes follow a room (`services.followers.Followers`)."""

    def of(self, row: RoomRow) -> Sequence[NodeId]:
        """The other nodes with a member."""


class CatchUp:
    """Moves entries."""

    def __init__(
        self,
        *,
        db: Database,
        rooms: Rooms,
        log: Log,
        signer: Signer,
        signers: Signers,
        nodes: Nodes,
        replicas: Replicas,
    ) -> None:
        self._db = db
        self._rooms = rooms
        self._log = log
        self._signer = signer
        self._signers = signers
        self._nodes = nodes
        self._replicas = replicas
        self._told: dict[NodeId, set[tuple[bytes, int]]] = {}
        self.links: PeerLinks | None = None

    def forget(self, nid: NodeId) -> None:
        """A new link has carried no identities yet."""
        self._told.pop(nid, None)

    # --- hub: entries for the link ------------------------------------------------------------------------

    def render(self, tx: Tx, peer: Peer, rows: Sequence[OutRow], *, head_class: int) -> list[bytes | None]:
        """Bytes of rows that refer to entries; the last one of each room gets a signed head."""
        told = self._told.setdefault(peer.nid, set())
        found: dict[int, bytes] = {}
        for room_pk, mine in _by_room(rows).items():
            room = self._rooms.peek_pk(tx, room_pk).room
            entries = {row.idx: row.seq for row in mine if row.cls != head_class}
            for link in self._links(tx, room_pk, entries):
                entry = self._entry(tx, room, link, peer, told, with_head=link.idx == max(entries))
                found[entries[link.idx]] = exchange.encode_item(entry)
            found |= {row.seq: exchange.encode_item(News(room, row.idx)) for row in mine if row.cls == head_class}
        return [found.get(row.seq) for row in rows]

    def _links(self, tx: Tx, room_pk: int, places: Iterable[int]) -> Iterator[Link]:
        """The entries at these places, by as few queries as there are gaps."""
        for first, number in _runs(sorted(places)):
            yield from self._log.links(tx, room_pk, first, number)

    def _entry(
        self, tx: Tx, room: RoomId, link: Link, to: Peer, told: set[tuple[bytes, int]], *, with_head: bool
    ) -> Entry:
        head = self._signer.sign_head(room, Head(link.epoch, link.idx, link.log_hash)) if with_head else None
        return Entry(
            room=room, epoch=link.epoch, idx=link.idx, at_ms=link.at_ms, log_hash=link.log_hash, event=link.event,
            signature=link.signature, salt=link.salt, body=link.body, head=head,
            signers=self._identities(tx, link, to, told),
        )  # fmt: skip

    def _identities(self, tx: Tx, link: Link, to: Peer, told: set[tuple[bytes, int]]) -> tuple[SignerCert, ...]:
        """Of the node that signed the event, unless the receiver is that node or was told."""
        if link.signature is None:
            return ()
        event = envelope.decode_event(link.event)
        place = (event.nid, event.incarnation)
        if place == (to.nid, to.incarnation) or place in told:
            return ()
        cert = self._signers.cert(tx, NodeId(event.nid), event.incarnation)
        if cert is None:
            return ()
        told.add(place)
        return (cert,)

    # --- hub: requests ------------------------------------------------------------------------------------

    async def serve_range(self, peer: Peer, asked: Range) -> bytes:
        """A page of a room the peer follows or followed, or orders and lost. Raises Rejected with `not_found`."""
        return await self._db.read(lambda tx: self._range(tx, peer, asked))

    def _range(self, tx: Tx, peer: Peer, asked: Range) -> bytes:
        row, end = self._followed(tx, peer, RoomId(asked.room))
        told: set[tuple[bytes, int]] = set()
        entries: list[Entry] = []
        size = 0
        for link in self._log.links(tx, row.pk, asked.first, asked.limit):
            if link.idx > end:
                break
            entry = self._entry(tx, row.room, link, peer, told, with_head=False)
            size += _size(entry)
            if entries and size > PAGE_BYTES:
                break
            entries.append(entry)
        if entries and row.hub == self._signer.nid:
            entries[-1] = self._with_head(entries[-1])
        return exchange.encode_item(RangePage(tuple(entries), end))

    def _with_head(self, entry: Entry) -> Entry:
        from msgspec.structs import replace

        room = RoomId(entry.room)
        return replace(entry, head=self._signer.sign_head(room, Head(entry.epoch, entry.idx, entry.log_hash)))

    def serve_heads(self, peer: Peer, asked: Heads) -> bytes:
        """Those of the rooms asked about that go on, or differ, here."""
        return exchange.encode_item(self._db.view(lambda tx: Heads(tuple(self._differing(tx, peer, asked)))))

    def _differing(self, tx: Tx, peer: Peer, asked: Heads) -> Iterable[RoomHead]:
        for theirs in asked.heads:
            row = self._rooms.peek(tx, RoomId(theirs.room))
            if row is None or row.hub != self._signer.nid or not (end := self._end(tx, peer, row)):
                continue
            log_hash = row.head.hash if end == row.head.idx else self._log.hash_at(tx, row.pk, end)
            assert log_hash is not None, "the log has no holes"
            if (end, log_hash) != (theirs.idx, theirs.hash):
                yield RoomHead(row.room, row.head.epoch, end, log_hash)

    def _followed(self, tx: Tx, peer: Peer, room: RoomId) -> tuple[RoomRow, int]:
        """A room of this hub and the last entry of it for the peer. Raises Rejected with `not_found`."""
        row = self._rooms.peek(tx, room)
        if row is not None and row.hub == peer.nid:
            return row, row.head.idx  # its hub comes back from an old backup
        if row is None or row.hub != self._signer.nid or not (end := self._end(tx, peer, row)):
            raise Rejected(Code.NOT_FOUND, "There is no such room for you.")
        return row, end

    def _end(self, tx: Tx, peer: Peer, row: RoomRow) -> int:
        """The last entry that the peer may have: the head while it has a member, else the one with which its last member went;
        0 when it never had one."""
        return row.head.idx if peer.nid in self._nodes.of(row) else self._rooms.last_of(tx, row.pk, peer.nid)

    # --- follower -----------------------------------------------------------------------------------------

    async def compare(self, peer: Peer) -> None:
        """Learns which rooms of this hub go on beyond what is here."""
        after = 0
        while page := self._own_heads(peer.nid, after):
            after = page[-1][0]
            mine = Heads(tuple(RoomHead(room, head.epoch, head.idx, head.hash) for _, room, head in page))
            answer = exchange.decode_heads(await self._request(peer, exchange.HEADS, exchange.encode_item(mine)))
            await self._remind(peer, mine.heads, answer.heads)
            if answer.heads:
                await self._db.write(lambda tx, heads=answer.heads: self._note(tx, peer, heads), peer=peer.nid)  # type: ignore[misc]

    async def _remind(self, peer: Peer, mine: tuple[RoomHead, ...], theirs: tuple[RoomHead, ...]) -> None:
        """A hub that has less than it sent before was restored from an old backup: it is shown what it signed. One with new keys is shown
        all of it: it may know of a room no more."""
        behind = {head.room: head.idx for head in theirs}
        shown: list[Shown] = []
        for head in mine:
            row = self._db.view(lambda tx, head=head: self._rooms.peek(tx, RoomId(head.room)))  # type: ignore[misc]
            seen = None if row is None else self._db.view(lambda tx, pk=row.pk: heads.seen(tx, pk))  # type: ignore[misc]
            if row is None or seen is None:
                continue
            if seen.idx > behind.get(head.room, seen.idx) or seen.incarnation < peer.incarnation:
                word = SeenHead(seen.epoch, seen.idx, seen.hash, seen.incarnation, seen.signature)
                shown.append(Shown(row.room, row.hub, word))
        if shown:
            await self._request(peer, exchange.SEEN, exchange.encode_item(Seen(tuple(shown))))

    def _own_heads(self, nid: NodeId, after: int) -> list[tuple[int, RoomId, Head]]:
        return self._db.view(lambda tx: self._rooms.heads_of(tx, nid, after, limits.HEADS_AT_ONCE))

    def _note(self, tx: Tx, peer: Peer, heads: tuple[RoomHead, ...]) -> None:
        for head in heads:
            row = self._rooms.load(tx, RoomId(head.room))
            if row is not None and row.hub == peer.nid:
                self._rooms.hub_reaches(tx, row, head.idx)

    async def pull(self, peer: Peer) -> None:
        """Fetches what replicas of this hub's rooms lack; one that cannot be had now holds up no other. Raises Rejected then."""
        refusal: Rejected | None = None
        for room in self._db.view(lambda tx: self._rooms.behind(tx, peer.nid)):
            try:
                await self._pull_room(peer, room)
            except Rejected as error:
                refusal = error
        if refusal is not None:
            raise refusal

    async def _pull_room(self, peer: Peer, room: RoomId) -> None:
        more = True
        while more:
            row = self._db.view(lambda tx: self._rooms.peek(tx, room))
            assert row is not None, "it was just listed"
            if row.trouble:
                return
            asked = exchange.encode_item(Range(room, row.head.idx + 1))
            answer = await self._request(peer, exchange.LOG_RANGE, asked)
            page = exchange.decode_range_page(answer)
            if not page.entries:
                return
            checked = [self._replicas.prepare(peer, entry) for entry in page.entries if entry.room == room]
            taken = await self._db.write(
                lambda tx, checked=checked: self._take(tx, peer, checked),  # type: ignore[misc]
                peer=peer.nid,
                size_bytes=len(answer),
            )
            more = taken > 0 and page.entries[-1].idx < page.head_idx

    def _take(self, tx: Tx, peer: Peer, checked: Sequence[object]) -> int:
        taken = 0
        for entry in checked:
            taken += self._replicas.apply(tx, peer, entry) is not None  # type: ignore[arg-type]
        return taken

    async def _request(self, peer: Peer, method: str, args: bytes) -> bytes:
        assert self.links is not None
        return await self.links.request(peer.nid, method, args)


def _by_room(rows: Sequence[OutRow]) -> dict[int, list[OutRow]]:
    found: dict[int, list[OutRow]] = {}
    for row in rows:
        found.setdefault(row.room, []).append(row)
    return found


def _runs(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first, number) of each stretch without a gap."""
    first = number = 0
    for place in places:
        if number and place == first + number:
            number += 1
            continue
        if number:
            yield first, number
        first, number = place, 1
    if number:
        yield first, number


def _size(entry: Entry) -> int:
    identities = sum(len(cert.chain) + len(cert.cert) for cert in entry.signers)
    return FIXED_BYTES + len(entry.event) + len(entry.body or b"") + identities
