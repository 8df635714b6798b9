"""The one door for what people of this node post: of any kind, from any edge, it becomes an entry, or waits for the hub of its
room, or is refused.

In one transaction: is it a repeat (same device and client id)? is this node the room's hub? may this person do this
(core/commands.py)? then append (services/appending.py). For a room of another hub the event is signed, remembered as pending and put
into the outbox (services/forwarding.py). The answer comes after the commit. Nothing is awaited in between.

What other nodes bring enters by its own two doors, with the same rules: services/submissions.py and services/replicas.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import RoomId, UserId, parse_user
from node.core import commands, content, hub, room
from node.core.content import Body
from node.core.message import Message
from node.core.room import Command
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.runtime.metrics import Metrics
from node.services.access import knows
from node.services.actor import Actor
from node.services.appending import Appender
from node.services.budget import Budget, Rates
from node.services.forwarding import Forwarding, Signer
from node.services.post import Post
from node.storage.database import Database, Tx
from node.storage.log import Appended, Draft, Log
from node.storage.rooms import RoomRow, Rooms
from node.storage.users import Users
from node.wire import envelope


class RoomLinks(Protocol):
    """Links into rooms, as far as joining needs them."""

    def room_of(self, tx: Tx, token: bytes, now_ms: int) -> int:
        """The number of the room a live link leads to. Raises Rejected."""

    def spend(self, tx: Tx, token: bytes, now_ms: int) -> None:
        """Takes one use of a live link. Raises Rejected."""


class People(Protocol):
    """Accounts of this node, as far as rooms need them."""

    def exists(self, tx: Tx, user: UserId) -> bool:
        """Whether this user can be written to."""


Answer = Callable[[Appended | None, Exception | None], None]


class Posting:
    """Takes posts of this node's people."""

    def __init__(
        self,
        *,
        db: Database,
        rooms: Rooms,
        log: Log,
        users: Users,
        appender: Appender,
        forwarding: Forwarding,
        signer: Signer,
        people: People,
        links: RoomLinks,
        rates: Rates,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
    ) -> None:
        self._db = db
        self._rooms = rooms
        self._log = log
        self._users = users
        self._appender = appender
        self._forwarding = forwarding
        self._signer = signer
        self._people = people
        self._links = links
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        budget = {"clock": clock, "rates": rates}
        self._by_account = Budget(**budget, per_s="posts_per_account_per_s", burst="posts_per_account_burst")  # type: ignore[arg-type]
        self._by_room = Budget(**budget, per_s="posts_per_room_per_s", burst="posts_per_room_burst")  # type: ignore[arg-type]
        self._creations = Budget(**budget, per_s="rooms_created_per_h", burst="rooms_created_per_h", scale=3600)  # type: ignore[arg-type]
        self.may_append: Callable[[RoomRow], None] = lambda row: None  # raises Rejected; set by the composition root
        self._invitations = Budget(**budget, per_s="invitations_per_h", burst="invitations_per_h", scale=3600)  # type: ignore[arg-type]

    # --- doors ------------------------------------------------------------------------------------------

    def submit(self, actor: Actor, post: Post, answer: Answer) -> None:
        """Queues the post; `answer` is called with the entry after it is on disk, or with the refusal."""
        began = self._clock.monotonic()

        def done(entry: Appended | None, error: Exception | None) -> None:
            self._count(post.kind, began, error)
            answer(entry, error)

        try:
            body = content.decode_body(post.kind, post.body)
            if isinstance(body, content.Call):
                raise Rejected(Code.FORBIDDEN, "Calls are noted by the node; begin one instead.", field="kind")
            self._charge(actor, post, body)
            self._db.submit(lambda tx: self._append(tx, actor, post, body), done)
        except Rejected as error:
            done(None, error)

    def _count(self, kind: str, began: float, error: Exception | None) -> None:
        if isinstance(error, Rejected):
            self._metrics.refusals.inc(of=error.code)
        elif error is None:
            self._metrics.posts.inc(of=kind if kind in content.KINDS else "other")
            self._metrics.post_seconds.observe(self._clock.monotonic() - began)

    async def post(self, actor: Actor, post: Post) -> Appended:
        """`submit` as a coroutine. Raises Rejected."""
        future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()

        def answer(entry: Appended | None, error: Exception | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                assert entry is not None
                future.set_result(entry)

        self.submit(actor, post, answer)
        return await future

    def post_in(self, tx: Tx, actor: Actor, post: Post) -> Appended:
        """A post as a part of another effect, in its transaction. Raises Rejected before it changes anything."""
        return self._append(tx, actor, post, content.decode_body(post.kind, post.body))

    async def open_direct(self, actor: Actor, other: UserId) -> RoomId:
        """The direct chat with `other`, made when it does not exist. Raises Rejected."""
        _check_user(other, "user")
        if other == actor.user:
            raise Rejected(Code.BAD_REQUEST, "Choose somebody other than yourself.", field="user")
        return await self._db.write(lambda tx: self._open_direct(tx, actor, other))

    # --- inside the transaction -------------------------------------------------------------------------

    def _append(self, tx: Tx, actor: Actor, post: Post, body: Body) -> Appended:
        earlier = self._log.find_post(tx, actor.device_pk, post.client_id)
        if earlier is not None:
            return earlier
        now_ms = self._clock.now_ms()
        if isinstance(body, content.Create):
            return self._create(tx, actor, post, body, now_ms)
        hub_nid = self._forwarding.hub_of(tx, actor, post, body)
        if hub_nid != self._signer.nid:
            earlier = self._forwarding.find(tx, actor, post.client_id)
            if earlier is not None:
                return earlier
            if isinstance(body, content.Join):
                self._check_room_count(tx, actor)
            self._check_person(tx, body)
            return self._forwarding.forward(tx, actor, post, body, hub_nid, now_ms)
        row = self._row(tx, actor, post, body, now_ms)
        self.may_append(row)
        self._forwarding.check_consent(tx, actor, row)
        target = self._log.target(tx, row.pk, body)
        command = commands.decide(row.state, Command(actor.user, post.kind, body), now_ms, target)
        self._check_person(tx, body)
        if isinstance(body, content.Join):
            self._check_room_count(tx, actor)
            if body.via == "link":
                self._links.spend(tx, post.token, now_ms)
        return self._commit(tx, actor, row, command, post, now_ms, target)

    def _row(self, tx: Tx, actor: Actor, post: Post, body: Body, now_ms: int) -> RoomRow:
        """The room, if the actor may know that it exists."""
        row = self._rooms.load(tx, RoomId(post.room))
        if isinstance(body, content.Join) and body.via == "link":
            if row is None or self._links.room_of(tx, post.token, now_ms) != row.pk:
                raise Rejected(Code.INVITE_INVALID, "This link does not lead into this chat.")
            return row
        if row is None or not knows(tx, self._rooms, row, actor):
            raise Rejected(Code.NOT_FOUND, "This chat does not exist, or you are not in it.")
        return row

    def _create(self, tx: Tx, actor: Actor, post: Post, body: content.Create, now_ms: int) -> Appended:
        if post.room:
            raise Rejected(Code.BAD_REQUEST, "A new chat has no id yet.", field="room")
        self._check_room_count(tx, actor)
        events = commands.create(actor.user, body, [UserId(guest) for guest in post.guests])
        for command in events[1:]:
            self._check_person(tx, command.body)
        first = self._draft(tx, actor, None, events[0], post, now_ms)
        row = self._rooms.insert(tx, RoomId(first.event_id), self._signer.nid, room.Room(kind=room.GROUP))
        entry = self._appender.append(tx, row, events[0], first, now_ms, None)
        for command in events[1:]:
            draft = self._draft(tx, actor, row.room, command, None, now_ms)
            self._appender.append(tx, row, command, draft, now_ms, None)
        return entry

    def _commit(
        self, tx: Tx, actor: Actor, row: RoomRow, command: Command, post: Post, now_ms: int, target: Message | None
    ) -> Appended:
        draft = self._draft(tx, actor, row.room, command, post, now_ms)
        return self._appender.append(tx, row, command, draft, now_ms, target)

    def _draft(
        self, tx: Tx, actor: Actor, room_id: RoomId | None, command: Command, post: Post | None, now_ms: int
    ) -> Draft:
        """The signed part and what is stored beside it; `post` None for events the node adds (first invitations)."""
        salt = self._entropy.token_bytes(hub.SALT_BYTES)
        body = content.encode_body(command.body) if post is None else post.body
        event = envelope.make_event(
            room=room_id,
            author=actor.user,
            device=actor.device,
            nid=self._signer.nid,
            incarnation=self._signer.incarnation,
            author_seq=self._log.next_author_seq(tx, now_ms),
            kind=command.kind,
            body_hash=hub.body_hash(salt, body),
        )
        return Draft(
            event=event,
            event_id=envelope.event_id(event),
            salt=salt,
            body=body,
            kind=command.kind,
            author_pk=actor.user_pk,
            counts=content.counts(command.kind, command.body),
            device_pk=None if post is None else actor.device_pk,
            client_id=None if post is None else post.client_id,
        )

    def _open_direct(self, tx: Tx, actor: Actor, other: UserId) -> RoomId:
        room_id = hub.direct_room_id(actor.user, other)
        if self._rooms.load(tx, room_id) is None:
            if parse_user(other)[1] != self._signer.nid:
                self._forwarding.require_contact(tx, actor, other)
            elif not self._people.exists(tx, other):
                raise Rejected(Code.NOT_FOUND, "There is no such person on this node.", field="user")
            self._check_room_count(tx, actor)
            self._rooms.insert_direct(tx, actor.user, other)
        return room_id

    # --- checks -----------------------------------------------------------------------------------------

    def _charge(self, actor: Actor, post: Post, body: Body) -> None:
        self._by_account.spend(actor.user_pk)
        if isinstance(body, content.Create):
            self._creations.spend(actor.user_pk)
            self._invitations.spend(actor.user_pk, len(post.guests))
            for guest in post.guests:
                _check_user(guest, "guests")
            return
        self._by_room.spend((actor.user_pk, post.room))
        if isinstance(body, content.Invite):
            self._invitations.spend(actor.user_pk)

    def _check_person(self, tx: Tx, body: Body) -> None:
        if isinstance(body, (content.Invite, content.Ban)):
            _check_user(body.user, "user")
            user = UserId(body.user)
            if parse_user(user)[1] != self._signer.nid:
                self._forwarding.require_met(tx, user)
            elif not self._people.exists(tx, user):
                raise Rejected(Code.NOT_FOUND, "There is no such person on this node.", field="user")

    def _check_room_count(self, tx: Tx, actor: Actor) -> None:
        used = self._rooms.count_of_user(tx, actor.user_pk)
        if used >= limits.ROOMS_PER_USER_MAX:
            raise Rejected(
                Code.LIMIT_REACHED,
                "You are in 2,000 chats; leave one first.",
                limit=limits.ROOMS_PER_USER_MAX,
                used=used,
            )


def _check_user(user: str, field: str) -> None:
    try:
        parse_user(user)
    except ValueError as error:
        raise Rejected(Code.BAD_REQUEST, f"This is not a user id: {error}.", field=field) from None
