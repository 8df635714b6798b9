"""The follower's side: entries that the hub sends become a replica, each checked as if the hub lied.

An entry is taken when the link is the room's hub, its place is the next one, its log hash follows from the head here, its event is
signed by its author's node, and the rules of core/commands.py allow it at the hub's time. What is ahead of the next place marks the room as
behind; `services/exchange.py` then pulls the missing part with the same checks. What is wrong is never appended: an entry that
the rules forbid, or that does not lie on the chain, is proof against the hub, and nothing more is taken from it in that room.

Nobody is put into a room: a replica begins only when somebody here asked to be let in, or agreed to a direct chat.
"""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import Struct

from node.base.errors import Code, Rejected
from node.base.ids import EventId, NodeId, RoomId, UserId, parse_user
from node.core import commands, content, hub, room
from node.core.content import Body
from node.core.hub import Head
from node.core.message import Message
from node.core.room import Command
from node.services.appending import Appender
from node.services.feed import Feed
from node.services.signers import Signers
from node.storage import contacts, heads, pending
from node.storage.database import Database, Tx
from node.storage.heads import HubHead
from node.storage.log import Appended, Draft, Log
from node.storage.peers import Peer
from node.storage.rooms import RoomRow, Rooms
from node.storage.users import Users
from node.wire import envelope
from node.wire.envelope import Event, Key, Verified
from node.wire.exchange import Entry

FORKED: Final = "forked"  # the hub shows another history than before
INVALID: Final = "invalid"  # the hub accepted what the rules forbid
ERASABLE: Final = content.MARKS - {"recall", "redact", "reaction"}


class Signer(Protocol):
    """Whose node this is (`services.roomkeys.RoomKeys`)."""

    def has_signed(self, event: bytes, signature: bytes | None) -> bool:
        """Whether this very signature of an event was made here, lately."""


class Checked(Struct, frozen=True):
    """An entry whose signatures hold; whether it fits is seen when it is applied."""

    item: Entry
    event: Verified[Event]
    event_id: EventId
    body: Body | None  # None: erased before it came
    hub: Key


class Replicas:
    """Keeps replicas of rooms that other nodes order."""

    def __init__(
        self,
        *,
        db: Database,
        node: NodeId,
        rooms: Rooms,
        log: Log,
        users: Users,
        feed: Feed,
        appender: Appender,
        signer: Signer,
        signers: Signers,
    ) -> None:
        self._db = db
        self._node = node
        self._rooms = rooms
        self._log = log
        self._users = users
        self._feed = feed
        self._appender = appender
        self._signer = signer
        self._signers = signers

    # --- outside the transaction --------------------------------------------------------------------------

    def prepare(self, peer: Peer, item: Entry) -> Checked:
        """Checks everything that needs no state of the room. Raises Rejected: poison."""
        if len(item.signers) > 1:
            raise Rejected(Code.BAD_REQUEST, "An entry comes with the identity of its author's node and no other.")
        for cert in item.signers:
            self._signers.learn(cert, item.at_ms // 1000)
        event = self._verified(peer, item)
        key = Key(peer.nid, peer.incarnation, peer.op)
        if item.head is not None:
            head = Head(item.epoch, item.idx, item.log_hash)
            envelope.check(key, envelope.head_bytes(RoomId(item.room), head, peer.nid, peer.incarnation), item.head)
        return Checked(item, event, envelope.event_id(item.event), self._body(item, event.value), key)

    def _verified(self, peer: Peer, item: Entry) -> Verified[Event]:
        seen = envelope.decode_event(item.event)
        author = NodeId(seen.nid)
        if author == peer.nid and item.signature is None:
            key = Key(peer.nid, seen.incarnation, b"")  # the hub's own user: the chain on this link vouches
        elif item.signature is None:
            raise Rejected(Code.BAD_SIGNATURE, "An event of another node's user comes with that node's signature.")
        else:
            key = self._signers.require(author, seen.incarnation)
        if author == self._node and self._signer.has_signed(item.event, item.signature):
            return envelope.own_event(key, item.event, RoomId(item.room))
        return envelope.verify_event(key, item.event, item.signature, RoomId(item.room))

    def _body(self, item: Entry, event: Event) -> Body | None:
        if (item.idx == 1 and not event.room) != (not event.room):
            raise Rejected(Code.BAD_REQUEST, "Only the first event of a room is without its id.")
        if item.body is None or item.salt is None:
            if not (content.is_content(event.kind) or event.kind in ERASABLE):
                raise Rejected(Code.BAD_REQUEST, "What changes a chat is never erased.")
            return None
        if event.body_hash != hub.body_hash(item.salt, item.body):
            raise Rejected(Code.BAD_REQUEST, "The body is not the one that was signed.")
        return content.decode_body(event.kind, item.body)

    # --- inside the transaction -------------------------------------------------------------------------

    def apply(self, tx: Tx, peer: Peer, checked: Checked) -> Appended | None:
        """The next entry of a replica; None when it was there already or lies ahead. Raises Rejected when nobody here wants it."""
        item = checked.item
        row = self._row(tx, peer, RoomId(item.room))
        if row.trouble:
            raise Rejected(Code.CONFLICT, "This hub broke the rules of this room.")
        if item.idx > row.head.idx + 1:
            self._rooms.hub_reaches(tx, row, item.idx)
            return None
        if item.idx <= row.head.idx:
            if self._log.hash_at(tx, row.pk, item.idx) != item.log_hash:
                self.give_up(tx, row, FORKED)
            return None
        head = hub.append(row.room, row.head, checked.event_id, item.at_ms)
        if (head.epoch, head.hash) != (item.epoch, item.log_hash):
            self.give_up(tx, row, FORKED)
            return None
        return self._append(tx, row, checked)

    def _append(self, tx: Tx, row: RoomRow, checked: Checked) -> Appended | None:
        item, event = checked.item, checked.event.value
        author = UserId(event.author)
        target = None if checked.body is None else self._log.target(tx, row.pk, checked.body)
        command = Command(author, event.kind, content.NO_BODY if checked.body is None else checked.body)
        if self._is_second(tx, author, checked) or not self._is_legal(
            row, command, item, target, names_room=bool(event.room)
        ):
            self.give_up(tx, row, INVALID)
            return None
        if item.signature is not None:
            self._signers.store(tx, checked.event.key)
        if item.head is not None:
            self._signers.store(tx, checked.hub)
            seen = HubHead(item.epoch, item.idx, item.log_hash, checked.hub.incarnation, item.head)
            heads.put_seen(tx, row.pk, heads.FROM_HUB, seen)
        author_pk = self._users.pk(tx, author)
        said_no = pending.by_event(tx, checked.event_id) if isinstance(command.body, content.Decline) else None
        mine = pending.ordered(tx, author_pk, event.author_seq) if parse_user(author)[1] == self._node else None
        draft = Draft(
            event=item.event,
            event_id=checked.event_id,
            salt=item.salt,
            body=item.body,
            kind=event.kind,
            author_pk=author_pk,
            counts=item.body is not None and content.counts(event.kind, command.body),
            device_pk=None if mine is None else mine[0],
            client_id=None if mine is None else mine[1],
            signature=item.signature,
            author_seq=event.author_seq,
        )
        entry = self._appender.append(tx, row, command, draft, item.at_ms, target)
        if isinstance(command.body, (content.Join, content.Decline)) and parse_user(author)[1] == self._node:
            contacts.drop_offer(tx, draft.author_pk, row.room)
            self._feed.stage_card(tx, author, row.room)
        if said_no is not None:  # who was never inside gets no entry that would take its place
            tx.after_commit(lambda: self._feed.waiting_gone(author, said_no))
        return entry

    def _is_second(self, tx: Tx, author: UserId, checked: Checked) -> bool:
        """Whether an event has a place already: a hub gives it only one, another node's even when it was signed anew."""
        if self._log.has_event(tx, checked.event_id):
            return True
        if checked.item.signature is None:
            return False
        pk = self._users.known(tx, author)
        return pk is not None and self._log.has_authored(tx, pk, checked.event.value.author_seq)

    def _is_legal(
        self, row: RoomRow, command: Command, item: Entry, target: Message | None, *, names_room: bool
    ) -> bool:
        """Whether the rules allow it at the hub's time, as they did for the hub. A group begins with the event whose id is its own, made
        by a user of its hub: so nobody else can order it, or give it a second beginning."""
        first = row.kind == room.GROUP and item.idx == 1
        if isinstance(command.body, content.Create) or first:
            begins = isinstance(command.body, content.Create) and first and not names_room
            return begins and parse_user(command.actor)[1] == row.hub
        if item.body is None:
            return command.actor in row.state.members
        try:
            commands.decide(row.state, command, item.at_ms, target)
        except Rejected:
            return False
        return True

    def give_up(self, tx: Tx, row: RoomRow, why: str) -> None:
        """Nothing more is taken from this hub; members here see it."""
        self._rooms.set_trouble(tx, row, why)
        for user in row.state.members:
            if parse_user(user)[1] == self._node:
                self._feed.stage_card(tx, user, row.room)

    def _row(self, tx: Tx, peer: Peer, room_id: RoomId) -> RoomRow:
        """The replica, begun when somebody here asked for it. Raises Rejected."""
        row = self._rooms.load(tx, room_id)
        if row is None:
            if not pending.expects(tx, peer.nid, room_id):
                raise Rejected(Code.FORBIDDEN, "Nobody here asked to be in this room.")
            row = self._rooms.insert(tx, room_id, peer.nid, room.Room(kind=room.GROUP))
        if row.hub != peer.nid:
            raise Rejected(Code.NOT_HUB, "This node does not order this room.")
        return row

    def hear(self, tx: Tx, peer: Peer, room_id: RoomId, idx: int) -> None:
        """The hub says that its log reaches to `idx`. Raises Rejected when nobody here wants it."""
        self._rooms.hub_reaches(tx, self._row(tx, peer, room_id), idx)
