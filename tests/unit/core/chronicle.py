"""A room's log in memory: what the hub does with commands, without a disk, for tests of the rules.

It holds entries, the folded room and the folded messages, as posting does. `replay` is a follower: it knows nothing but
the entries and their times, asks `decide` again for each, and must reach the same state.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec
from msgspec import Struct

from node.base.errors import Code, Rejected
from node.base.ids import EventId, NodeId, UserId, make_user
from node.core import commands, content, message, room
from node.core.content import Body
from node.core.message import Message
from node.core.room import Command, Room

T = TypeVar("T")
NODE = NodeId(bytes(range(32)))
START_MS = 1_700_000_000_000
KIND_OF: dict[type[Body], str] = {struct: kind for kind, struct in content.KINDS.items()} | {content.Unknown: "x.poll"}


def person(name: str) -> UserId:
    """A user of the test node."""
    return make_user(name, NODE)


ALICE, BOB, CAROL, DAVE, ERIN = CAST = tuple(map(person, ("alice", "bob", "carol", "dave", "erin")))


class Entry(Struct, frozen=True):
    """One accepted command with its place and time."""

    idx: int
    at_ms: int
    event: EventId
    command: Command


class Chronicle:
    """Accepts or refuses commands, one after the other."""

    def __init__(self, first: Room | None = None, *, now_ms: int = START_MS) -> None:
        self.room = first or Room(kind=room.GROUP)
        self.first = self.room
        self.now_ms = now_ms
        self.entries: list[Entry] = []
        self.messages: dict[EventId, Message] = {}

    def post(self, actor: UserId, body: Body) -> Entry:
        """Appends what `body` becomes. Raises Rejected."""
        command = Command(actor, KIND_OF[type(body)], body)
        return self.accept(command, self.now_ms)

    def refusal(self, actor: UserId, body: Body) -> Code:
        """The code with which `body` is refused; the state must not change."""
        before = self.room, dict(self.messages), len(self.entries)
        try:
            self.post(actor, body)
        except Rejected as error:
            assert before == (self.room, self.messages, len(self.entries))
            return error.code
        raise AssertionError(f"{body} by {actor} was accepted")

    def accept(self, command: Command, at_ms: int) -> Entry:
        """Decides, folds and appends at this time."""
        target = self.messages.get(_named(command.body))
        if isinstance(command.body, content.Create) and not self.entries:
            (event, *_) = commands.create(command.actor, command.body)
        else:
            event = commands.decide(self.room, command, at_ms, target)
        idx = len(self.entries) + 1
        entry = Entry(idx, at_ms, EventId(hashlib.sha256(b"%d" % idx).digest()), event)
        self.entries.append(entry)
        if message.target_of(event.body) is not None:
            assert target is not None
            self.messages[target.event] = message.evolve(target, event.actor, event.body)
        else:
            self.room = room.evolve(self.room, event, at_ms, idx)
        if content.is_content(event.kind):
            self.messages[entry.event] = Message(
                event=entry.event, idx=idx, author=event.actor, kind=event.kind, at_ms=at_ms
            )
        return entry

    def replay(self, *, restarts: bool = False) -> Chronicle:
        """A follower that gets the same entries; with `restarts` it stores and loads its state between any two."""
        follower = Chronicle(self.first)
        for entry in self.entries:
            follower.accept(entry.command, entry.at_ms)
            if restarts:
                follower.room = stored(follower.room, Room)
                follower.messages = stored(follower.messages, dict[EventId, Message])
        return follower


def stored(value: T, kind: type[T]) -> T:
    """What comes back from disk."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=kind)


def _named(body: Body) -> EventId:
    return message.named_by(body) or EventId(b"")


def group(*members: UserId) -> Chronicle:
    """A group of ALICE, who owns it, and `members`."""
    log = Chronicle()
    log.post(ALICE, content.Create(name="Garden"))
    for member in members:
        log.post(member, content.Join(via="link"))
    return log
