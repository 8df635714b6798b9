"""People on other nodes: asking whether one may write, answering, taking it back.

Nobody is written to before they agreed. A stranger may ask once, with a short text; the question goes to their node, which acknowledges
it whether such a person exists or not. A yes goes back and makes both sides contacts; then the direct chat exists, and what was said
with the question becomes its first message. A no is never sent: ignoring and blocking look like silence. A contact link is a yes given
in advance, to whoever brings its token first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from msgspec import Struct

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, RoomId, UserId, make_user, parse_user
from node.core import content, hub
from node.runtime.clock import Clock
from node.services.actor import Actor
from node.services.budget import Budget
from node.services.feed import Feed
from node.services.followers import Followers
from node.storage import contacts
from node.storage.contacts import ContactRow, ContactState
from node.storage.database import Database, Tx
from node.storage.peers import Peer
from node.storage.rooms import Rooms
from node.storage.users import Users
from node.wire.exchange import Answer, Ask


class ContactTokens(Protocol):
    """Contact links (`services.invites.Invites`)."""

    def spend_contact(self, tx: Tx, token: bytes, now_ms: int) -> int:
        """Takes one use of a live contact link and says whose account it leads to. Raises Rejected."""


class People(Protocol):
    """Accounts of this node."""

    def exists(self, tx: Tx, user: UserId) -> bool:
        """Whether this user can be written to."""


class Contact(Struct, frozen=True, kw_only=True):
    """How the reader stands with somebody elsewhere."""

    user: UserId
    name: str
    state: str
    text: str
    at_ms: int
    room: RoomId


Say = Callable[[Tx, int, int, RoomId, str], None]  # account, device, chat, text


class Contacts:
    """Asks and answers for the people of this node."""

    def __init__(
        self, *, db: Database, node: NodeId, users: Users, rooms: Rooms, feed: Feed, followers: Followers, tokens: ContactTokens,
        people: People, asking: Budget, strangers: Budget, clock: Clock,
    ) -> None:  # fmt: skip
        self._db = db
        self._node = node
        self._users = users
        self._rooms = rooms
        self._feed = feed
        self._followers = followers
        self._tokens = tokens
        self._people = people
        self._asking = asking
        self._strangers = strangers
        self._clock = clock
        self.say: Say | None = None  # posts a first message; set by the composition root

    # --- for people of this node --------------------------------------------------------------------------

    def of(self, actor: Actor) -> list[Contact]:
        """Everybody the actor has to do with elsewhere, newest first."""
        rows = self._db.view(lambda tx: contacts.of_account(tx, actor.user_pk))
        return [self._view(actor.user, row) for row in rows]

    async def ask(self, actor: Actor, other: UserId, text: str, token: bytes = b"") -> Contact:
        """Asks `other` whether they may be written to. Raises Rejected."""
        self._check_other(other)
        content.check_text(text, "text")
        if len(text) > limits.REQUEST_CHARS_MAX:
            raise Rejected(
                Code.TOO_LARGE, "A first message to a stranger has at most 300 characters.", field="text",
                limit=limits.REQUEST_CHARS_MAX,
            )  # fmt: skip
        self._asking.spend(actor.user_pk)
        return await self._db.write(lambda tx: self._ask(tx, actor, other, text.strip(), token))

    def _ask(self, tx: Tx, actor: Actor, other: UserId, text: str, token: bytes) -> Contact:
        found = contacts.find(tx, actor.user_pk, other)
        if found is not None and found.state is ContactState.CONTACT:
            raise Rejected(Code.ALREADY_DONE, "You can write to this person already.", field="user")
        if found is not None and found.state is ContactState.ASKING:
            return self._agree(tx, actor, other)
        if contacts.count(tx, actor.user_pk, ContactState.CONTACT) >= limits.CONTACTS_MAX:
            raise Rejected(Code.LIMIT_REACHED, "You have 3,000 contacts; remove one first.", limit=limits.CONTACTS_MAX)
        local, nid = parse_user(other)
        now_ms = self._clock.now_ms()
        self._put(tx, actor, other, ContactState.ASKED, text)
        self._followers.send(tx, nid, Ask(actor.user, actor.name, local, text, now_ms, token))
        return self._now(tx, actor, other)

    async def accept(self, actor: Actor, other: UserId) -> Contact:
        """Agrees to be written to. Raises Rejected."""
        return await self._db.write(lambda tx: self._agree(tx, actor, other))

    def _agree(self, tx: Tx, actor: Actor, other: UserId) -> Contact:
        found = contacts.find(tx, actor.user_pk, other)
        if found is None or found.state not in {ContactState.ASKING, ContactState.IGNORED}:
            raise Rejected(Code.NOT_FOUND, "This person did not ask you.", field="user")
        self._put(tx, actor, other, ContactState.CONTACT)
        self._open(tx, actor.user, other)
        self._followers.send(tx, parse_user(other)[1], Answer(actor.user, actor.name, other))
        return self._now(tx, actor, other)

    async def ignore(self, actor: Actor, other: UserId) -> Contact:
        """Leaves a question unanswered and hides it. Raises Rejected."""
        return await self._change(actor, other, {ContactState.ASKING}, ContactState.IGNORED)

    async def block(self, actor: Actor, other: UserId) -> Contact:
        """Takes nothing more from this person; they are not told."""
        self._check_other(other)
        return await self._db.write(lambda tx: self._set(tx, actor, other, ContactState.BLOCKED))

    async def unblock(self, actor: Actor, other: UserId) -> None:
        """They may ask again. Raises Rejected."""
        await self._remove(actor, other, {ContactState.BLOCKED})

    async def remove(self, actor: Actor, other: UserId) -> None:
        """Takes the agreement, or the own question, back. Raises Rejected."""
        await self._remove(actor, other, {ContactState.CONTACT, ContactState.ASKED, ContactState.IGNORED})

    async def _change(self, actor: Actor, other: UserId, before: set[ContactState], after: ContactState) -> Contact:
        def write(tx: Tx) -> Contact:
            found = contacts.find(tx, actor.user_pk, other)
            if found is None or found.state not in before:
                raise Rejected(Code.NOT_FOUND, "This person did not ask you.", field="user")
            return self._set(tx, actor, other, after, found.text)

        return await self._db.write(write)

    async def _remove(self, actor: Actor, other: UserId, states: set[ContactState]) -> None:
        def write(tx: Tx) -> None:
            found = contacts.find(tx, actor.user_pk, other)
            if found is None or found.state not in states:
                raise Rejected(Code.NOT_FOUND, "There is no such contact.", field="user")
            contacts.remove(tx, actor.user_pk, self._users.pk(tx, other))
            self._told(tx, actor.user)

        await self._db.write(write)

    # --- what other nodes bring ---------------------------------------------------------------------------

    def asked(self, tx: Tx, peer: Peer, item: Ask) -> None:
        """Somebody of `peer` asks. Whoever does not exist, is full or does not want it gets silence."""
        sender = self._own_word(peer, item.sender)
        me = make_user(item.local, self._node)
        pk = self._users.find(tx, me)
        if pk is None or not self._people.exists(tx, me):
            return
        account = pk
        if item.token and self._spend(tx, item.token, account):
            self._name(tx, sender, item.name)
            self._put_for(tx, account, sender, ContactState.CONTACT, "")
            self._open(tx, me, sender)
            name = self._users.names(tx, {me}).get(me, "")
            self._followers.send(tx, peer.nid, Answer(me, name, sender))
            self._told(tx, me)
            return
        contacts.forget_questions(tx, account, self._clock.now_ms() - limits.REQUEST_LIFE_S * 1000)
        found = contacts.find(tx, account, sender)
        if found is not None and found.state in {ContactState.CONTACT, ContactState.ASKED}:
            self._settle(tx, account, me, sender, item, found)
        elif found is None and contacts.count(tx, account, ContactState.ASKING) < limits.REQUESTS_OPEN_MAX:
            content.check_text(item.text, "text")
            if not self._strangers.affords(account):
                return
            self._name(tx, sender, item.name)
            self._put_for(tx, account, sender, ContactState.ASKING, item.text)
            self._told(tx, me)

    def _settle(self, tx: Tx, account: int, me: UserId, sender: UserId, item: Ask, found: ContactRow) -> None:
        """Both asked, or they lost our answer: they agree already."""
        self._name(tx, sender, item.name)
        if found.state is ContactState.ASKED:
            self._put_for(tx, account, sender, ContactState.CONTACT, "")
            self._open(tx, me, sender)
            self._told(tx, me)
        name = self._users.names(tx, {me}).get(me, "")
        self._followers.send(tx, parse_user(sender)[1], Answer(me, name, sender))

    def answered(self, tx: Tx, peer: Peer, item: Answer) -> None:
        """Somebody we asked said yes."""
        sender = self._own_word(peer, item.sender)
        pk = self._users.find(tx, UserId(item.user))
        found = None if pk is None else contacts.find(tx, pk, sender)
        if pk is None or found is None or found.state is not ContactState.ASKED:
            return
        self._name(tx, sender, item.name)
        self._put_for(tx, pk, sender, ContactState.CONTACT, "")
        me = UserId(item.user)
        room_id = self._open(tx, me, sender)
        self._told(tx, me)
        if found.text and self.say is not None:
            with suppress(Rejected):  # frozen meanwhile, say: they agreed all the same
                self.say(tx, pk, found.device_pk, room_id, found.text)

    # --- inside -----------------------------------------------------------------------------------------

    def _own_word(self, peer: Peer, user: str) -> UserId:
        """A node speaks for its own people only. Raises Rejected."""
        try:
            nid = parse_user(user)[1]
        except ValueError:
            raise Rejected(Code.BAD_REQUEST, "This is not a user id.") from None
        if nid != peer.nid:
            raise Rejected(Code.FORBIDDEN, "A node speaks for its own people only.")
        return UserId(user)

    def _check_other(self, other: UserId) -> None:
        try:
            nid = parse_user(other)[1]
        except ValueError as error:
            raise Rejected(Code.BAD_REQUEST, f"This is not a user id: {error}.", field="user") from None
        if nid == self._node:
            raise Rejected(Code.BAD_REQUEST, "This person is on your own node; just write.", field="user")

    def _spend(self, tx: Tx, token: bytes, account: int) -> bool:
        try:
            return self._tokens.spend_contact(tx, token, self._clock.now_ms()) == account
        except Rejected:
            return False

    def _open(self, tx: Tx, a: UserId, b: UserId) -> RoomId:
        """The direct chat exists from now on, here and there."""
        room_id = hub.direct_room_id(a, b)
        if self._rooms.load(tx, room_id) is None:
            row = self._rooms.insert_direct(tx, a, b)
            mine = a if parse_user(a)[1] == self._node else b
            self._feed.stage_entered(tx, mine, row.pk, row.room)
        return room_id

    def _put(self, tx: Tx, actor: Actor, other: UserId, state: ContactState, text: str = "") -> None:
        contacts.put(
            tx, actor.user_pk, self._users.pk(tx, other), state, text=text, device_pk=actor.device_pk,
            at_ms=self._clock.now_ms(),
        )  # fmt: skip
        self._told(tx, actor.user)

    def _put_for(self, tx: Tx, account: int, other: UserId, state: ContactState, text: str) -> None:
        contacts.put(tx, account, self._users.pk(tx, other), state, text=text, at_ms=self._clock.now_ms())

    def _set(self, tx: Tx, actor: Actor, other: UserId, state: ContactState, text: str = "") -> Contact:
        self._put(tx, actor, other, state, text)
        return self._now(tx, actor, other)

    def _now(self, tx: Tx, actor: Actor, other: UserId) -> Contact:
        row = contacts.find(tx, actor.user_pk, other)
        assert row is not None, "it was just put"
        return self._view(actor.user, row)

    def _name(self, tx: Tx, user: UserId, name: str) -> None:
        """A first name to show, until the signed one comes."""
        try:
            content.check_line(name, "name")
        except Rejected:
            return
        self._users.suggest_name(tx, self._users.pk(tx, user), name[: limits.NAME_CHARS_MAX])

    def _view(self, me: UserId, row: ContactRow) -> Contact:
        return Contact(
            user=row.user, name=row.name, state=row.state.value, text=row.text, at_ms=row.at_ms,
            room=hub.direct_room_id(me, row.user),
        )  # fmt: skip

    def _told(self, tx: Tx, user: UserId) -> None:
        tx.after_commit(lambda: self._feed.contacts_changed(user))
