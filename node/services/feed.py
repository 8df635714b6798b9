"""Wake-ups: what was committed reaches the devices that are online, each entry encoded once.

`Feed` knows which subscribers (device sockets) follow which rooms. A transaction stages what it appended; after the
commit each subscriber gets the chunks of its rooms in one call. A subscriber that is behind (catching up, paused by
flow control) ignores the chunk and reads the log instead: live delivery is an optimisation of `sync.page`, never a second truth.

Whatever is not a plain entry for a present member (joining, leaving, the first message of a direct chat) puts the
subscriber *behind* on purpose, so that the rules of who may read what stand in one place, in SQL.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeVar

from msgspec import Raw

from node.base.ids import DeviceId, RoomId, UserId
from node.services.actor import Actor
from node.storage.database import Tx
from node.storage.log import Appended
from node.storage.pending import PendingRow
from node.wire import c2s


class Chunk:
    """Entries of one room in one commit, shared by all its subscribers; `frame` is made at most once."""

    __slots__ = ("_frame", "first_seq", "last_idx", "last_seq", "raws", "receipts", "room_pk", "seqs", "size_bytes")

    def __init__(self, room_pk: int, *, receipts: bool) -> None:
        self.room_pk = room_pk
        self.receipts = receipts  # small enough a room for receipts of each member
        self.seqs: list[int] = []
        self.raws: list[Raw] = []
        self.first_seq = 0
        self.last_seq = 0
        self.last_idx = 0
        self.size_bytes = 0
        self._frame: bytes | None = None

    def add(self, entry: Appended) -> None:
        """One more entry, in rising seq."""
        self.first_seq = self.first_seq or entry.seq
        self.last_seq = entry.seq
        self.last_idx = entry.idx
        self.seqs.append(entry.seq)
        self.raws.append(entry.raw)
        self.size_bytes += len(bytes(entry.raw))

    def frame(self, wrap: FrameMaker) -> bytes:
        """The whole chunk as one ready WebSocket message."""
        if self._frame is None:
            self._frame = wrap(c2s.encode_frame(c2s.Entries(tuple(self.raws))))
        return self._frame


class FrameMaker(Protocol):
    """Puts a payload into a WebSocket frame; servers do not mask, so the bytes are the same for all sockets."""

    def __call__(self, payload: bytes) -> bytes:
        """Header and payload."""


class Subscriber(Protocol):
    """A device socket, seen from the feed. All calls are on the loop and return at once."""

    actor: Actor

    def deliver(self, chunks: list[Chunk]) -> None:
        """New entries of its rooms, in rising seq of the chunks' first entries."""

    def catch_up(self) -> None:
        """Something it must read from the log by itself."""

    def card(self, room: RoomId) -> None:
        """The card of this room changed for this user."""

    def send(self, frame: c2s.Frame) -> None:
        """A frame that may be dropped when the socket is full (signals) or is small (receipts)."""

    def receipts(self, frame: c2s.Receipts) -> None:
        """Marks that moved in its rooms."""

    def nodes(self, room: RoomId) -> None:
        """How far the nodes of the room have it changed."""

    def end(self, code: str, text: str) -> None:
        """The session is over: say why and close."""


K = TypeVar("K", int, UserId)
Followers = dict[Subscriber, None]  # a set in the order in which they came: the same in every run
_NOBODY: Final[Followers] = {}


class _Staged:
    """What one batch of transactions appended."""

    __slots__ = ("chunks", "entered", "invited", "left", "tx")

    def __init__(self, tx: Tx) -> None:
        self.tx = tx
        self.chunks: dict[int, Chunk] = {}
        self.entered: list[tuple[UserId, int, RoomId]] = []
        self.left: list[tuple[UserId, int, RoomId]] = []
        self.invited: list[tuple[UserId, RoomId]] = []


class Feed:
    """Subscribers by user, by room and by device."""

    def __init__(self) -> None:
        self._by_user: dict[UserId, Followers] = {}
        self._by_room: dict[int, Followers] = {}
        self._staged: _Staged | None = None
        self.there: Callable[[UserId], str] = _absent  # what was last heard of people elsewhere
        self.entered: Callable[[int], None] = _nobody  # told of rooms that got a member, after the commit
        self.departed: Callable[[UserId, RoomId], None] = _nothing  # told who is a member no more, after the commit

    # --- subscribers ------------------------------------------------------------------------------------

    def attach(self, subscriber: Subscriber, room_pks: Iterable[int]) -> bool:
        """From now on `subscriber` hears of these rooms. Returns whether its user was offline before."""
        user = subscriber.actor.user
        first = user not in self._by_user
        self._by_user.setdefault(user, {})[subscriber] = None
        for pk in room_pks:
            self._by_room.setdefault(pk, {})[subscriber] = None
        return first

    def detach(self, subscriber: Subscriber, room_pks: Iterable[int]) -> bool:
        """The end of `attach`. Returns whether its user is offline now."""
        user = subscriber.actor.user
        for pk in room_pks:
            _discard(self._by_room, pk, subscriber)
        _discard(self._by_user, user, subscriber)
        return user not in self._by_user

    def of_user(self, user: UserId) -> Iterable[Subscriber]:
        """The user's sockets."""
        return tuple(self._by_user.get(user, _NOBODY))

    def of_device(self, device: DeviceId, user: UserId) -> list[Subscriber]:
        """Sockets of one device."""
        return [s for s in self._by_user.get(user, _NOBODY) if s.actor.device == device]

    def of_room(self, room_pk: int) -> Iterable[Subscriber]:
        """Sockets that follow a room."""
        return tuple(self._by_room.get(room_pk, _NOBODY))

    def everyone(self) -> list[Subscriber]:
        """All sockets."""
        return [subscriber for followers in self._by_user.values() for subscriber in followers]

    def online(self, user: UserId) -> bool:
        """Whether the user has a socket."""
        return user in self._by_user

    def is_there(self, user: UserId) -> bool:
        """Whether the user has a socket, here or as far as is heard from elsewhere."""
        return user in self._by_user or self.there(user) != "offline"

    def end_device(self, device: DeviceId, code: str, text: str) -> None:
        """Ends the sockets of a device that was signed out."""
        for subscriber in self.everyone():
            if subscriber.actor.device == device:
                subscriber.end(code, text)

    def renamed(self, user: UserId, name: str) -> None:
        """Tells everybody on this node the new name; the directory shows it to them anyway."""
        frame = c2s.People((c2s.Person(user, name),))
        for subscriber in self.everyone():
            subscriber.send(frame)

    # --- other nodes ------------------------------------------------------------------------------------

    def waiting(self, rows: Iterable[PendingRow]) -> None:
        """Posts that wait for another node, or were refused by it, for their authors' devices."""
        by_author: defaultdict[UserId, list[c2s.WaitingItem]] = defaultdict(list)
        for row in rows:
            by_author[row.author].append(to_waiting(row))
        for user, items in by_author.items():
            frame = c2s.Waiting(tuple(items))
            for subscriber in self.of_user(user):
                subscriber.send(frame)

    def waiting_gone(self, user: UserId, row: PendingRow) -> None:
        """A post is no longer shown as waiting, or refused, and no entry takes its place on the devices."""
        frame = c2s.Waiting(
            (c2s.WaitingItem(row.room, row.event_id, row.client_id, row.kind, b"", row.at_ms, "", "", gone=True),)
        )
        for subscriber in self.of_user(user):
            subscriber.send(frame)

    def contacts_changed(self, user: UserId) -> None:
        """The user's contacts on other nodes, or questions from there, changed."""
        for subscriber in self.of_user(user):
            subscriber.send(c2s.ContactsChanged())

    def nodes_moved(self, room_pk: int, room: RoomId) -> None:
        """Another node of the room acknowledged more."""
        for subscriber in self.of_room(room_pk):
            subscriber.nodes(room)

    # --- what a transaction appended --------------------------------------------------------------------

    def stage(self, tx: Tx, room_pk: int, entry: Appended, *, receipts: bool) -> None:
        """`entry` was appended by `tx`; publish it after the commit."""
        staged = self._of(tx)
        chunk = staged.chunks.get(room_pk)
        if chunk is None:
            chunk = staged.chunks[room_pk] = Chunk(room_pk, receipts=receipts)
        chunk.add(entry)

    def stage_entered(self, tx: Tx, user: UserId, room_pk: int, room: RoomId) -> None:
        """`user` became a member."""
        self._of(tx).entered.append((user, room_pk, room))

    def stage_left(self, tx: Tx, user: UserId, room_pk: int, room: RoomId) -> None:
        """`user` is a member no more."""
        self._of(tx).left.append((user, room_pk, room))

    def stage_card(self, tx: Tx, user: UserId, room: RoomId) -> None:
        """An invitation came or went, or a chat became visible."""
        self._of(tx).invited.append((user, room))

    def _of(self, tx: Tx) -> _Staged:
        staged = self._staged
        if staged is None or staged.tx is not tx:
            staged = self._staged = _Staged(tx)
            tx.after_commit(lambda: self._publish(staged))
        return staged

    def _publish(self, staged: _Staged) -> None:
        for room_pk in dict.fromkeys(room_pk for _, room_pk, _ in staged.entered):
            self.entered(room_pk)
        for user, room_pk, room in staged.entered:
            for subscriber in self.of_user(user):
                self._by_room.setdefault(room_pk, {})[subscriber] = None
                subscriber.card(room)
                subscriber.catch_up()
        for user, room_pk, room in staged.left:
            for subscriber in self.of_user(user):
                _discard(self._by_room, room_pk, subscriber)
                subscriber.card(room)
                subscriber.catch_up()
            self.departed(user, room)
        for user, room in staged.invited:
            for subscriber in self.of_user(user):
                subscriber.card(room)
        self._fan_out(staged.chunks)

    def _fan_out(self, chunks: dict[int, Chunk]) -> None:
        if len(chunks) == 1:
            ((room_pk, chunk),) = chunks.items()
            only = [chunk]
            for subscriber in tuple(self._by_room.get(room_pk, _NOBODY)):
                subscriber.deliver(only)
            return
        work: defaultdict[Subscriber, list[Chunk]] = defaultdict(list)
        for room_pk, chunk in chunks.items():
            for subscriber in self._by_room.get(room_pk, _NOBODY):
                work[subscriber].append(chunk)
        for subscriber, mine in work.items():
            subscriber.deliver(mine)


def _nobody(room_pk: int) -> None:
    """Nobody else wants to know."""


def _nothing(user: UserId, room: RoomId) -> None:
    """Nobody else wants to know."""


def _absent(user: UserId) -> str:
    """Nothing was heard of anybody."""
    return "offline"


def to_waiting(row: PendingRow) -> c2s.WaitingItem:
    """As devices see it."""
    return c2s.WaitingItem(
        row.room, row.event_id, row.client_id, row.kind, row.body, row.at_ms, row.code, row.text, hub=row.hub
    )


def _discard(table: dict[K, Followers], key: K, subscriber: Subscriber) -> None:
    followers = table.get(key)
    if followers is not None:
        followers.pop(subscriber, None)
        if not followers:
            del table[key]
