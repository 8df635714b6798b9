"""Posts to rooms that another node orders: signed here, remembered as pending, sent to the hub, and shown as waiting meanwhile.

A forwarded post has no place yet: it is answered with idx and seq 0. It becomes an entry when the hub's log brings it back
(services/replicas.py), or is refused by the hub, or by the link's bounds, and then shown to its author with the reason. The check made
here against the replica is only for a quick answer; the hub decides.
"""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import Raw

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import ClientId, EventId, NodeId, RoomId, UserId, parse_user
from node.core import commands, content, hub, message, room
from node.core.content import Body
from node.core.room import Command
from node.runtime.entropy import Entropy
from node.services.access import knows
from node.services.actor import Actor
from node.services.feed import Feed
from node.services.followers import Followers
from node.services.post import Post
from node.storage import contacts, pending
from node.storage.contacts import ContactState
from node.storage.database import Database, Tx
from node.storage.log import Appended, Log
from node.storage.pending import NewPending, PendingRow
from node.storage.rooms import RoomRow, Rooms
from node.storage.users import Users
from node.wire import envelope
from node.wire.exchange import Profile, Submit

SPACES_MAX: Final = 4_096  # authors for whom it is remembered how many posts may wait


class Signer(Protocol):
    """Whose node this is (`services.identity.Identity`)."""

    @property
    def nid(self) -> NodeId:
        """The node's id."""

    @property
    def incarnation(self) -> int:
        """Of its op key."""

    def sign_event(self, event: bytes) -> bytes:
        """This node vouches for an event of its own user."""

    def profile(self, user: UserId, name: str, at_ms: int) -> Profile:
        """What an own user is called."""


class Forwarding:
    """The author's side of rooms elsewhere."""

    def __init__(
        self,
        *,
        db: Database,
        rooms: Rooms,
        log: Log,
        users: Users,
        feed: Feed,
        followers: Followers,
        signer: Signer,
        entropy: Entropy,
    ) -> None:
        self._rooms = rooms
        self._log = log
        self._users = users
        self._feed = feed
        self._followers = followers
        self._signer = signer
        self._entropy = entropy
        self._batch: Tx | None = None
        self._news: list[PendingRow] = []
        self._space: dict[int, int] = {}  # by author: how many more posts may wait, at least
        db.on_abort(self._space.clear)

    # --- where does it go? ------------------------------------------------------------------------------

    def find(self, tx: Tx, actor: Actor, client_id: ClientId) -> Appended | None:
        """What an earlier post with this client id became, while it has no place."""
        found = pending.by_client(tx, actor.device_pk, client_id)
        return None if found is None else waiting(*found)

    def hub_of(self, tx: Tx, actor: Actor, post: Post, body: Body) -> NodeId:
        """The node that orders the room, as far as the actor may know; this node when nobody knows better."""
        row = self._rooms.load(tx, RoomId(post.room))
        if row is not None:
            return row.hub
        if isinstance(body, content.Join) and body.via == "link" and len(post.hub) == len(self._signer.nid):
            return NodeId(post.hub)
        if isinstance(body, (content.Join, content.Decline)):
            offer = contacts.offer(tx, actor.user_pk, RoomId(post.room))
            if offer is not None:
                return offer.hub
        return self._signer.nid

    def require_contact(self, tx: Tx, actor: Actor, other: UserId) -> None:
        """Raises Rejected unless `other`, of another node, agreed to be written to."""
        pk = self._users.known(tx, other)
        state = None if pk is None else contacts.standing(tx, actor.user_pk, pk)
        if state is ContactState.BLOCKED:
            raise Rejected(Code.BLOCKED, "You blocked this person; unblock them to write.", field="user")
        if state is not ContactState.CONTACT:
            self.require_met(tx, other)
            raise Rejected(Code.CONSENT_NEEDED, "Ask this person first; they have to agree.", field="user")

    def require_met(self, tx: Tx, user: UserId) -> None:
        """Raises Rejected unless the node of `user` is known here: by a link, or because somebody was introduced."""
        if not self._followers.met(tx, parse_user(user)[1]):
            raise Rejected(
                Code.NOT_FOUND, "The node of this person is not known here; add them by address first.", field="user"
            )

    def check_consent(self, tx: Tx, actor: Actor, row: RoomRow) -> None:
        """For a post into a direct chat across nodes. Raises Rejected."""
        if row.kind == room.DIRECT:
            for other in row.state.members:
                if parse_user(other)[1] != self._signer.nid:
                    self.require_contact(tx, actor, other)

    # --- on its way -------------------------------------------------------------------------------------

    def forward(self, tx: Tx, actor: Actor, post: Post, body: Body, hub_nid: NodeId, now_ms: int) -> Appended:
        """Signs the event and sends it to the hub. Raises Rejected when it has no chance."""
        row = self._rooms.load(tx, RoomId(post.room))
        if row is not None:
            self._check(tx, actor, row, post, body, now_ms)
        self._require_space(tx, actor.user_pk)
        salt, author_seq = self._entropy.token_bytes(hub.SALT_BYTES), self._log.next_author_seq(tx, now_ms)
        event = envelope.make_event(
            room=RoomId(post.room),
            author=actor.user,
            device=actor.device,
            nid=self._signer.nid,
            incarnation=self._signer.incarnation,
            author_seq=author_seq,
            kind=post.kind,
            body_hash=hub.body_hash(salt, post.body),
            seen=None if row is None else (row.head.epoch, row.head.idx),
        )
        event_id = envelope.event_id(event)
        new = NewPending(
            event_id=event_id, hub=hub_nid, room=RoomId(post.room), author=actor.user, author_pk=actor.user_pk,
            author_seq=author_seq, device_pk=actor.device_pk, client_id=post.client_id, kind=post.kind, event=event, salt=salt,
            body=post.body, token=post.token, at_ms=now_ms,
        )  # fmt: skip
        waits = pending.put(tx, new)
        signature = self._signer.sign_event(event)
        self._followers.send(tx, hub_nid, Submit(post.room, event, signature, salt, post.body, post.token))
        if isinstance(body, content.Join):  # who comes in is shown by name at once
            name, since_ms = self._users.named(tx, actor.user) or (actor.name, 0)
            if name:
                self._followers.send(tx, hub_nid, self._signer.profile(actor.user, name, since_ms))
            self._answer_offer(tx, actor.user, actor.user_pk, RoomId(post.room), accepted=True)
        self._tell(tx, waits)
        return waiting(RoomId(post.room), event_id, now_ms)

    def _require_space(self, tx: Tx, author_pk: int) -> None:
        """Takes one of the posts that may still wait. Counted only when as many were taken as fitted at the last count: since then
        some may have got their place, and what was left is too low at worst. Raises Rejected."""
        left = self._space.get(author_pk, 0) or limits.PENDING_MAX - pending.count(tx, author_pk)
        if left <= 0:
            raise Rejected(
                Code.LIMIT_REACHED,
                f"{limits.PENDING_MAX} of your messages wait for other nodes already; wait until they are reached.",
                limit=limits.PENDING_MAX,
            )
        if len(self._space) >= SPACES_MAX:
            self._space.clear()
        self._space[author_pk] = left - 1

    def _check(self, tx: Tx, actor: Actor, row: RoomRow, post: Post, body: Body, now_ms: int) -> None:
        """Against the replica, which may be behind: what it does not know yet is left to the hub."""
        if row.trouble:
            raise Rejected(Code.CONFLICT, "The node that orders this chat broke its rules; nothing more is sent to it.")
        if isinstance(body, content.Join):
            return
        if not knows(tx, self._rooms, row, actor):
            raise Rejected(Code.NOT_FOUND, "This chat does not exist, or you are not in it.")
        self.check_consent(tx, actor, row)
        named = message.named_by(body)
        if named is not None and pending.by_event(tx, named) is not None:
            return
        commands.decide(row.state, Command(actor.user, post.kind, body), now_ms, self._log.target(tx, row.pk, body))

    def sign_again(self, tx: Tx) -> int:
        """At the start: posts signed by an earlier op key, which no hub takes any more, are signed by the present one."""
        number = 0
        for row in pending.unsent(tx):
            event = envelope.decode_event(row.event)
            if event.incarnation == self._signer.incarnation:
                continue
            raw = envelope.with_incarnation(event, self._signer.incarnation)
            pending.signed_again(tx, row.pk, envelope.event_id(raw), raw)
            signature = self._signer.sign_event(raw)
            self._followers.send(tx, row.hub, Submit(event.room, raw, signature, row.salt, row.body, row.token))
            number += 1
        return number

    # --- how it ends ------------------------------------------------------------------------------------

    def refused(self, tx: Tx, event: EventId, code: str, text: str) -> None:
        """The hub, or the link, gave it up."""
        row = pending.refuse(tx, event, code, text)
        if row is None:
            return
        self._tell(tx, row)
        if row.kind == "join":
            self._answer_offer(tx, row.author, self._users.pk(tx, row.author), row.room, accepted=False)

    def _answer_offer(self, tx: Tx, user: UserId, user_pk: int, room_id: RoomId, *, accepted: bool) -> None:
        """The card of an invitation says that it waits for the hub, or is open again."""
        if contacts.answer_offer(tx, user_pk, room_id, accepted=accepted):
            self._feed.stage_card(tx, user, room_id)

    def refused_by(self, tx: Tx, nid: NodeId, event: EventId, code: str, text: str) -> None:
        """The hub refused it; only the hub it was sent to can."""
        row = pending.by_event(tx, event)
        if row is not None and row.hub == nid:
            self.refused(tx, event, code, text)

    def dismiss(self, tx: Tx, actor: Actor, event: EventId) -> None:
        """Its author does not want to see a refused post any more. Raises Rejected."""
        row = pending.by_event(tx, event)
        if row is None or row.author != actor.user:
            raise Rejected(Code.NOT_FOUND, "There is no such message.")
        if not row.code:
            raise Rejected(Code.CONFLICT, "This message is on its way and cannot be taken back yet.")
        pending.take(tx, event)
        tx.after_commit(lambda: self._feed.waiting_gone(actor.user, row))

    def _tell(self, tx: Tx, row: PendingRow) -> None:
        """The author's devices hear of it after the commit, of all that one batch brings together."""
        if self._batch is not tx:
            self._batch, self._news = tx, []
            news = self._news
            tx.after_commit(lambda: self._feed.waiting(news))
        self._news.append(row)


def waiting(room_id: RoomId, event_id: EventId, at_ms: int) -> Appended:
    """The answer to a post that has no place yet."""
    return Appended(0, room_id, 0, event_id, at_ms, Raw())
