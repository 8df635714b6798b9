"""Who is online and who is typing: signals, never stored, best effort.

A user is online while at least one device socket is open, away when every one of them says so. Signals reach the followers of
rooms with at most `PRESENCE_ROOM_MEMBERS_MAX` members and of direct chats; a full socket simply misses them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from node.base import limits
from node.base.ids import UserId
from node.services.feed import Feed, Subscriber
from node.storage.database import Database, Tx
from node.storage.rooms import Rooms
from node.wire import c2s


class Elsewhere(Protocol):
    """People and nodes elsewhere (`services.signals.Signals`)."""

    def typing(self, room_pk: int, user: UserId, *, on: bool) -> None:
        """A person here is typing."""

    def presence(self, room_pk: int, user: UserId, state: str) -> None:
        """A person here came or went."""

    def there(self, user: UserId) -> str:
        """What was last heard of somebody elsewhere."""


class Presence:
    """Turns the coming and going of sockets into signals."""

    def __init__(self, *, db: Database, rooms: Rooms, feed: Feed, elsewhere: Elsewhere) -> None:
        self._elsewhere = elsewhere
        self._db = db
        self._rooms = rooms
        self._feed = feed
        self._away: set[Subscriber] = set()

    def came(self, subscriber: Subscriber, room_pks: Iterable[int], *, first: bool) -> None:
        """A socket opened: tell it who is there and, if its user was offline, tell the others."""
        small = self._small(room_pks)
        for user in sorted(self._others_online(subscriber, small)):
            subscriber.send(c2s.PresenceSignal(user, self._state(user)))
        for user in sorted({user for members in small.values() for user in members}):
            if (state := self._elsewhere.there(user)) != "offline":
                subscriber.send(c2s.PresenceSignal(user, state))
        if first:
            self._tell(subscriber.actor.user, small, "online")

    def went(self, subscriber: Subscriber, room_pks: Iterable[int], *, last: bool) -> None:
        """A socket closed."""
        self._away.discard(subscriber)
        if last:
            self._tell(subscriber.actor.user, self._small(room_pks), "offline")

    def say(self, subscriber: Subscriber, room_pks: Iterable[int], state: str) -> None:
        """A device says that its person is there, or away."""
        before = self._state(subscriber.actor.user)
        if state == "away":
            self._away.add(subscriber)
        else:
            self._away.discard(subscriber)
        after = self._state(subscriber.actor.user)
        if after != before:
            self._tell(subscriber.actor.user, self._small(room_pks), after)

    def typing(self, subscriber: Subscriber, room_pk: int, frame: c2s.Typing) -> None:
        """Passes on that somebody is typing."""
        user = subscriber.actor.user
        signal = c2s.TypingSignal(frame.room, user, frame.on)
        for other in self._feed.of_room(room_pk):
            if other.actor.user != user:
                other.send(signal)
        self._elsewhere.typing(room_pk, user, on=frame.on)

    def _state(self, user: UserId) -> str:
        sockets = list(self._feed.of_user(user))
        if not sockets:
            return "offline"
        return "away" if all(socket in self._away for socket in sockets) else "online"

    def _small(self, room_pks: Iterable[int]) -> dict[int, Collection[UserId]]:
        """The rooms whose members hear of each other, and those."""

        def pick(tx: Tx) -> dict[int, Collection[UserId]]:
            members = {pk: self._rooms.peek_pk(tx, pk).state.members for pk in room_pks}
            return {pk: users for pk, users in members.items() if len(users) <= limits.PRESENCE_ROOM_MEMBERS_MAX}

        return self._db.view(pick)

    def _others_online(self, subscriber: Subscriber, room_pks: Iterable[int]) -> set[UserId]:
        me = subscriber.actor.user
        return {other.actor.user for pk in room_pks for other in self._feed.of_room(pk) if other.actor.user != me}

    def _tell(self, user: UserId, room_pks: Collection[int], state: str) -> None:
        signal = c2s.PresenceSignal(user, state)
        followers = {other for pk in room_pks for other in self._feed.of_room(pk)}
        for other in followers:
            if other.actor.user != user:
                other.send(signal)
        for pk in room_pks:
            self._elsewhere.presence(pk, user, state)
