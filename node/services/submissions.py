"""The hub's side of posts from other nodes: each gets a place in the log or a signed refusal, once.

The link has proved which node speaks; the event must be signed by that node's op key and be of a user of that node. Then the same rules
hold as for a post from here. A refusal is final and goes back signed: it is remembered (storage/refusals.py), and a post that comes again
gets it again, whatever changed meanwhile, since its author was told no. The submission itself counts as received either way, so one bad
post never holds up the next.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from node.base.errors import Code, Rejected
from node.base.ids import EventId, NodeId, RoomId, UserId, parse_user
from node.core import commands, content, hub, room
from node.core.content import Body
from node.core.room import Command
from node.runtime.clock import Clock
from node.services.appending import Appender
from node.services.budget import Budget
from node.services.followers import Followers
from node.services.signers import Signers
from node.storage import contacts, refusals
from node.storage.contacts import ContactState
from node.storage.database import Database, Tx
from node.storage.log import Draft, Log
from node.storage.peers import Peer
from node.storage.refusals import Refusal
from node.storage.rooms import RoomRow, Rooms
from node.storage.users import Users
from node.wire import envelope
from node.wire.envelope import Event, Key, Verified
from node.wire.exchange import Reject, Submit

AGREED_MAX: Final = 4_096  # peers


class RoomLinks(Protocol):
    """Links into rooms."""

    def room_of(self, tx: Tx, token: bytes, now_ms: int) -> int:
        """The number of the room a live link leads to. Raises Rejected."""

    def spend(self, tx: Tx, token: bytes, now_ms: int) -> None:
        """Takes one use of a live link. Raises Rejected."""


class Signer(Protocol):
    """Whose node this is (`services.identity.Identity`)."""

    @property
    def nid(self) -> NodeId:
        """The node's id."""

    def sign_reject(self, room: RoomId, event: EventId, code: str) -> bytes:
        """The word of this node, as the hub of `room`, that it refused an event for good."""


class People(Protocol):
    """Accounts of this node."""

    def exists(self, tx: Tx, user: UserId) -> bool:
        """Whether this user can be written to."""


class Submission(Struct, frozen=True):
    """A submission whose signature was checked."""

    event: Verified[Event]
    event_id: EventId
    item: Submit
    body: Body | None  # None: it cannot be understood, and `refusal` says why
    refusal: Rejected | None = None


class Submissions:
    """Sequences events of other nodes' users."""

    def __init__(
        self, *, db: Database, rooms: Rooms, log: Log, users: Users, appender: Appender, followers: Followers, signer: Signer, people: People,
        links: RoomLinks, signers: Signers, invitations: Budget, clock: Clock,
    ) -> None:  # fmt: skip
        self._rooms = rooms
        self._log = log
        self._users = users
        self._appender = appender
        self._followers = followers
        self._signer = signer
        self._people = people
        self._links = links
        self._signers = signers
        self._invitations = invitations  # of each node: who is invited may live on nodes that nobody here knows
        self._clock = clock
        self._agreed: set[int] = set()  # peers of whom no post was refused
        db.on_abort(self._agreed.clear)
        self.may_append: Callable[[RoomRow], None] = lambda row: None  # raises Rejected; set by the composition root

    def meet(self, peer: Peer) -> None:
        """Keeps what proves the peer's key: its users' events are handed on to others."""
        with suppress(
            Rejected
        ):  # a handshake proved it a moment ago; a certificate that ends now is the next link's matter
            self._signers.learn_peer(peer)

    def prepare(self, peer: Peer, item: Submit) -> Submission:
        """Checks the signature. Raises Rejected when it is not the peer's word: poison."""
        key = Key(peer.nid, peer.incarnation, peer.op)
        event = envelope.verify_event(key, item.event, item.signature, RoomId(item.room))
        if not event.value.room:
            raise Rejected(Code.BAD_REQUEST, "Only the hub itself creates a chat.")
        if event.value.body_hash != hub.body_hash(item.salt, item.body):
            raise Rejected(Code.BAD_REQUEST, "The body is not the one that was signed.")
        event_id = envelope.event_id(item.event)
        try:
            return Submission(event, event_id, item, content.decode_body(event.value.kind, item.body))
        except Rejected as refusal:  # well signed and not understood: its author is told
            return Submission(event, event_id, item, None, refusal)

    def apply(self, tx: Tx, peer: Peer, submission: Submission) -> None:
        """The entry, or the refusal in the peer's outbox; for a post that was refused before, that refusal."""
        event = submission.event.value
        author = UserId(event.author)
        pk = self._users.known(tx, author)
        if pk is not None and self._log.has_authored(tx, pk, event.author_seq):
            return
        told = None if peer.pk in self._agreed else self._told(tx, peer, author, event.author_seq)
        if told is None:
            try:
                self._sequence(tx, submission)
            except Rejected as refusal:
                if refusal.code is Code.READ_ONLY:
                    return  # the room waits for what others kept; the author's node sends this again until there is an answer
                told = Refusal(refusal.code, refusal.text[:300])
                self._agreed.discard(peer.pk)
                refusals.put(tx, peer.pk, author, event.author_seq, told, self._clock.now_ms())
        if told is not None:
            self._refuse(tx, peer, submission, told)

    def _told(self, tx: Tx, peer: Peer, author: UserId, author_seq: int) -> Refusal | None:
        """What was said to this post before; of a peer that was never refused anything is remembered that it need not be asked."""
        told = refusals.find(tx, peer.pk, author, author_seq)
        if told is None and not refusals.has_any(tx, peer.pk):
            if len(self._agreed) >= AGREED_MAX:
                self._agreed.clear()
            self._agreed.add(peer.pk)
        return told

    def _refuse(self, tx: Tx, peer: Peer, submission: Submission, told: Refusal) -> None:
        room_id, event_id = RoomId(submission.item.room), submission.event_id
        signature = self._signer.sign_reject(room_id, event_id, told.code)
        self._followers.send(tx, peer.nid, Reject(room_id, event_id, told.code, told.text, signature))

    def refuse_again(self, tx: Tx, peer: Peer, said: Reject) -> None:
        """The same refusal under the present op key; nothing when it was signed by that (a signature of Ed25519 is always the same)."""
        signature = self._signer.sign_reject(RoomId(said.room), EventId(said.event_id), said.code)
        if signature != said.signature:
            self._followers.send(tx, peer.nid, replace(said, signature=signature))

    def _sequence(self, tx: Tx, submission: Submission) -> None:
        """Every refusal comes before the first change."""
        if submission.body is None:
            assert submission.refusal is not None
            raise submission.refusal
        event, body, now_ms = submission.event.value, submission.body, self._clock.now_ms()
        author = UserId(event.author)
        row = self._row(tx, submission, author, body, now_ms)
        self.may_append(row)
        target = self._log.target(tx, row.pk, body)
        command = commands.decide(row.state, Command(author, event.kind, body), now_ms, target)
        self._check_person(tx, body)
        if isinstance(body, content.Invite):
            self._invitations.spend(event.nid)
        if isinstance(body, content.Join) and body.via == "link":
            self._links.spend(tx, submission.item.token, now_ms)
        draft = Draft(
            event=submission.item.event,
            event_id=submission.event_id,
            salt=submission.item.salt,
            body=submission.item.body,
            kind=event.kind,
            author_pk=self._users.pk(tx, author),
            counts=content.counts(event.kind, body),
            signature=submission.item.signature,
            author_seq=event.author_seq,
        )
        self._signers.store(tx, submission.event.key)
        self._appender.append(tx, row, command, draft, now_ms, target)

    def _row(self, tx: Tx, submission: Submission, author: UserId, body: Body, now_ms: int) -> RoomRow:
        """The room, if its author may know that it exists. Raises Rejected."""
        row = self._rooms.load(tx, RoomId(submission.item.room))
        if row is not None and row.hub != self._signer.nid:
            raise Rejected(Code.NOT_HUB, "This chat is ordered by another node.")
        if isinstance(body, content.Join) and body.via == "link":
            if row is None or self._links.room_of(tx, submission.item.token, now_ms) != row.pk:
                raise Rejected(Code.INVITE_INVALID, "This link does not lead into this chat.")
            return row
        if row is None or not (author in row.state.members or author in row.state.invited):
            raise Rejected(Code.NOT_MEMBER, "You are not a member of this chat.")
        if row.kind == room.DIRECT:
            self._check_consent(tx, row, author)
        return row

    def _check_consent(self, tx: Tx, row: RoomRow, author: UserId) -> None:
        """In a direct chat the person here must not have taken back that they agree."""
        for user in row.state.members:
            if parse_user(user)[1] != self._signer.nid:
                continue
            pk = self._users.known(tx, author)
            state = None if pk is None else contacts.standing(tx, self._users.pk(tx, user), pk)
            if state is ContactState.BLOCKED:
                raise Rejected(Code.BLOCKED, "This person does not take messages from you.")
            if state is not ContactState.CONTACT:
                raise Rejected(Code.CONSENT_NEEDED, "Ask this person first; they have to agree.")

    def _check_person(self, tx: Tx, body: Body) -> None:
        """Somebody of this node who is named must exist; of other nodes only their node knows."""
        if not isinstance(body, (content.Invite, content.Ban)):
            return
        try:
            nid = parse_user(body.user)[1]
        except ValueError as error:
            raise Rejected(Code.BAD_REQUEST, f"This is not a user id: {error}.", field="user") from None
        if nid == self._signer.nid and not self._people.exists(tx, UserId(body.user)):
            raise Rejected(Code.NOT_FOUND, "There is no such person on this node.", field="user")
