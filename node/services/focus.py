"""The focus: the node that keeps the calls of a room and decides about them (core/callcommands.py). It is the room's hub; while that
cannot be reached, the caller's home node or one that stands in (services/standins.py).

Everything here is plain and on the loop: a request or report comes in with the node that makes it, the machine decides, and every node of
the room is told how the call stands now. A node speaks only for its own people, who must be members. Nothing is stored: calls that a
focus forgot in a restart come back from the reports of the homes (`report`), under the rules of new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from msgspec.structs import replace

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, RoomId, UserId, format_id, parse_user
from node.core import call as rules
from node.core import callcommands, room
from node.core.call import Call, Flags
from node.core.roles import Capability
from node.runtime.clock import Clock
from node.storage import calls
from node.storage.database import Database
from node.storage.rooms import RoomRow, Rooms
from node.wire import focus as wire
from node.wire.focus import AskAnswer, AskJoin, AskLeave, AskRemove, AskStart, CallNow, SeatsNow


class Nodes(Protocol):
    """Which nodes follow a room (`services.followers.Followers`)."""

    def of(self, row: RoomRow) -> Sequence[NodeId]:
        """The other nodes with a member."""


class Limits(Protocol):
    """Live settings of calls (`services.settings.Settings`)."""

    def call_limit(self, name: str) -> int:
        """Present value of ``calls.<name>``."""


class _Held:
    """A call that is kept here, and when each of its homes spoke last."""

    __slots__ = ("adopted_at", "back", "call", "counts", "ended_at", "heard", "room_pk", "since", "told_at", "untold")

    def __init__(self, call: Call, room_pk: int) -> None:
        self.call = call
        self.room_pk = room_pk
        self.counts: dict[NodeId, int] = {}
        self.since: dict[bytes, int] = {}  # the count with which a seat was asked for
        self.heard: dict[NodeId, float] = {}
        self.back: dict[NodeId, float] = {}  # when a home that was silent, or never heard, spoke again
        self.told_at = float("-inf")
        self.untold = False  # a change that other nodes did not hear of yet
        self.ended_at = 0.0
        self.adopted_at = float("-inf")  # when it came back from its homes


class Focus:
    """Keeps calls. `tell` is set by who passes on what is told (services/calls.py)."""

    def __init__(self, *, db: Database, node: NodeId, rooms: Rooms, nodes: Nodes, limits: Limits, clock: Clock) -> None:
        self._db = db
        self._node = node
        self._rooms = rooms
        self._nodes = nodes
        self._limits = limits
        self._clock = clock
        self._held: dict[bytes, _Held] = {}
        self._by_room: dict[RoomId, bytes] = {}
        self.tell: Callable[[NodeId, CallNow], None] = lambda node, now: None
        self.affords: Callable[[tuple[NodeId, str]], bool] = lambda who: (
            True
        )  # whether one more call may begin, for whom by which node

    # --- requests ---------------------------------------------------------------------------------------

    def ask(self, node: NodeId, ask: wire.Ask) -> CallNow:
        """What `node` asks for its user. Raises Rejected."""
        row = self._row(node, RoomId(ask.room))
        user = UserId(ask.user)
        if user not in row.state.members or parse_user(user)[1] != node:
            raise Rejected(Code.NOT_MEMBER, "You are not a member of this chat.")
        match ask:
            case AskStart():
                return self._start(node, row, ask)
            case AskJoin():
                held = self._find(ask.call, row)
                self._check_voice(row, user)
                return self._join(node, held, ask)
            case AskAnswer():
                return self._run(self._find(ask.call, row), callcommands.Answer(user, ask.busy))
            case AskLeave():
                return self._leave(row, ask)
            case AskRemove():
                return self._remove(row, ask)

    def _row(self, node: NodeId, room_id: RoomId) -> RoomRow:
        row = self._db.view(lambda tx: self._rooms.peek(tx, room_id))
        if row is None:
            raise Rejected(Code.NOT_FOUND, "This chat does not exist, or you are not in it.")
        if self._node not in {row.hub, node} and not self._keeps(room_id):
            raise Rejected(Code.NOT_HUB, "This chat is ordered by another node.")
        return row

    def _keeps(self, room_id: RoomId) -> bool:
        return room_id in self._by_room

    def _find(self, call: bytes, row: RoomRow) -> _Held:
        held = self._held.get(call)
        if held is None or held.call.room != row.room:
            raise Rejected(Code.NOT_FOUND, "This call is over.", field="call")
        return held

    def _check_voice(self, row: RoomRow, user: UserId) -> None:
        """Whoever may speak in the chat may take part; an admin who silenced everybody means the chat, not the call."""
        room.require(_unsilenced(row), user, Capability.POST, self._clock.now_ms())

    def _has_voice(self, row: RoomRow, user: UserId) -> bool:
        return Capability.POST in room.capabilities(_unsilenced(row), user, self._clock.now_ms())

    def _start(self, node: NodeId, row: RoomRow, ask: AskStart) -> CallNow:
        user, now_ms = UserId(ask.user), self._clock.now_ms()
        present = self._held.get(self._by_room.get(row.room, b""))
        targets = self._targets(row, ask)
        if present is not None:
            return self._start_again(node, row, present, ask, targets)
        room.require(row.state, user, Capability.CALL, now_ms)
        if self._full(node):
            raise Rejected(Code.LIMIT_REACHED, "There are too many calls on this node.", limit=limits.CALLS_MAX)
        if ask.call in self._held:
            raise Rejected(Code.ALREADY_DONE, "This call was begun before.", field="call")
        call = rules.start(
            call=ask.call, room=row.room, direct=row.kind == room.DIRECT, media=ask.media, by=user, now_ms=now_ms,
            hours=self._limits.call_limit("hours"),
        )  # fmt: skip
        call = callcommands.run(call, callcommands.Invite(targets), now_ms)
        held = self._hold(call, row)
        return self._join(node, held, AskJoin(ask.call, ask.room, ask.user, ask.seat, ask.count))

    def _start_again(
        self, node: NodeId, row: RoomRow, held: _Held, ask: AskStart, targets: tuple[UserId, ...]
    ) -> CallNow:
        """There is a call. Who is called by it accepts (two who call each other); who is in it calls more people."""
        user = UserId(ask.user)
        one = held.call.invited.get(user)
        if one is not None and one.state in rules.WAITING:
            self._check_voice(row, user)
            return self._join(node, held, AskJoin(held.call.id, ask.room, ask.user, ask.seat, ask.count))
        if any(seat.user == user for seat in held.call.seats.values()) and targets:
            room.require(row.state, user, Capability.CALL, self._clock.now_ms())
            return self._run(held, callcommands.Invite(targets))
        raise Rejected(Code.BUSY, "There is a call in this chat already; join it.", call=format_id(held.call.id))

    def _targets(self, row: RoomRow, ask: AskStart) -> tuple[UserId, ...]:
        targets = tuple(UserId(user) for user in ask.targets if user != ask.user)
        if row.kind == room.DIRECT:
            targets = tuple(user for user in row.state.members if user != ask.user)
        for user in targets:
            if user not in row.state.members:
                raise Rejected(Code.NOT_MEMBER, "Somebody you call is not in this chat.", field="targets")
        return targets

    def _join(self, node: NodeId, held: _Held, ask: AskJoin) -> CallNow:
        command = callcommands.Join(UserId(ask.user), ask.seat, ask.old, self._limits.call_limit("participants"))
        held.since[ask.seat] = ask.count
        held.heard[node] = self._clock.monotonic()
        try:
            return self._run(held, command)
        except Rejected:
            if ask.seat not in held.call.seats:  # whoever is refused again and again leaves nothing behind
                del held.since[ask.seat]
            raise

    def _leave(self, row: RoomRow, ask: AskLeave) -> CallNow:
        held, user = self._find(ask.call, row), UserId(ask.user)
        if ask.everybody:
            if user != held.call.by:
                self._check_moderator(row, user)
            return self._run(held, callcommands.Finish())
        self._own(held, ask.seat, user)
        return self._run(held, callcommands.Leave(ask.seat))

    def _remove(self, row: RoomRow, ask: AskRemove) -> CallNow:
        held, user = self._find(ask.call, row), UserId(ask.user)
        seat = held.call.seats.get(ask.seat)
        if seat is None:
            raise Rejected(Code.NOT_FOUND, "This device is not in the call any more.", field="seat")
        if row.kind == room.DIRECT:
            raise Rejected(Code.FORBIDDEN, "This is not possible in a direct chat.")
        if user != held.call.by:
            self._check_moderator(row, user)
        return self._run(held, callcommands.Mute(ask.seat) if ask.mute else callcommands.Remove(ask.seat))

    def _check_moderator(self, row: RoomRow, user: UserId) -> None:
        room.require(row.state, user, Capability.KICK, self._clock.now_ms())

    def _own(self, held: _Held, seat: bytes, user: UserId) -> None:
        found = held.call.seats.get(seat)
        if found is None or found.user != user:
            raise Rejected(Code.NOT_FOUND, "This device is not in the call any more.", field="seat")

    # --- reports of homes -------------------------------------------------------------------------------

    def report(self, node: NodeId, said: SeatsNow) -> None:
        """How the seats of `node` stand. Older than what is known, or of people elsewhere: ignored."""
        row = self._db.view(lambda tx: self._rooms.peek(tx, RoomId(said.room)))
        if row is None or (node != self._node and node not in self._nodes.of(row)):
            return
        held = self._held.get(said.call)
        if held is not None and held.call.ended and held.call.room == row.room and _was_given_up(held.call, said):
            del self._held[said.call]
            held = None
        held = held or self._adopt(node, row, said)
        if held is None or held.call.room != row.room:
            return
        if held.call.ended:
            self.tell(node, to_now(held.call))
            return
        if said.count <= held.counts.get(node, -1):
            return
        held.counts[node] = said.count
        now = self._clock.monotonic()
        if now - held.heard.get(node, float("-inf")) > limits.CALL_SILENT_S:
            held.back[node] = now
            ahead = said.seen - held.call.version  # of another node that stood in: what is told next is newer still
            if 0 < ahead <= limits.CALL_VERSIONS_AHEAD:
                held.call = replace(held.call, version=said.seen + 1)
        held.heard[node] = now
        if now - max(held.adopted_at, held.back.get(node, float("-inf"))) < limits.CALL_SILENT_S:
            self._seat_again(node, row, held, said)
        for command in self._commands(node, held, said):
            with suppress(Rejected):  # an earlier one of them ended the call, or this seat
                self._run(held, command)

    def _seat_again(self, node: NodeId, row: RoomRow, held: _Held, said: SeatsNow) -> None:
        """Seats that this focus forgot (the other homes of a call that was taken back from one of them), or gave up since it heard
        nothing of them, or never knew because another node stood in."""
        for one in said.seats:
            given_up = held.call.gone.get(one.seat) == rules.FAILED and one.state == rules.LIVE
            known = one.seat in held.call.seats or (one.seat in held.call.gone and not given_up)
            if known or parse_user(one.user)[1] != node or not self._has_voice(row, UserId(one.user)):
                continue
            held.since[one.seat] = said.count
            with suppress(Rejected):
                self._run(
                    held, callcommands.Join(UserId(one.user), one.seat, b"", self._limits.call_limit("participants"))
                )

    def _commands(self, node: NodeId, held: _Held, said: SeatsNow) -> list[callcommands.Command]:
        seats, commands = held.call.seats, list[callcommands.Command]()
        for user in said.ringing:
            if parse_user(user)[1] == node:
                commands.append(callcommands.Ring(UserId(user)))
        named = {one.seat for one in said.seats}
        for one in said.seats:
            if one.seat in seats and seats[one.seat].user == one.user and parse_user(one.user)[1] == node:
                flags = Flags(one.mic, one.camera, one.screen, one.hand, tuple(one.sources))
                commands.append(callcommands.Report(one.seat, one.state, flags, said.seen))
        for number, seat in seats.items():
            if parse_user(seat.user)[1] == node and number not in named and held.since.get(number, 0) < said.count:
                commands.append(callcommands.Drop(number, rules.LEFT))
        return commands

    def _adopt(self, node: NodeId, row: RoomRow, said: SeatsNow) -> _Held | None:
        """A call that this focus forgot, or never heard of; None (and its home told so) if it may not be here."""
        if row.hub != self._node:
            return None
        named = {one.seat: UserId(one.user) for one in said.seats if self._has_voice(row, UserId(one.user))}
        users = set(named.values())
        if not named or len(users) < len(named) or not self._may_adopt(node, row, said):
            self.tell(node, over(said))
            return None
        if not self.affords((node, said.by)):  # it may be taken later
            return None
        now_ms = self._clock.now_ms()
        started_ms = min(said.started_ms, now_ms)
        call = rules.start(
            call=said.call, room=row.room, direct=row.kind == room.DIRECT, media=said.media, by=UserId(said.by),
            now_ms=started_ms, hours=self._limits.call_limit("hours"),
        )  # fmt: skip
        seats = {seat: rules.Seat(user=user, joined_ms=now_ms, since_ms=now_ms) for seat, user in named.items()}
        call = replace(
            call, seats=seats, joined=tuple(users), version=said.seen + 1, live_ms=started_ms,
            invited={} if call.direct else call.invited,
        )  # fmt: skip
        if call.direct and len(seats) < 2:  # the other home says its own in a moment; until then somebody is awaited
            other = next(user for user in row.state.members if user not in users)
            call = replace(call, live_ms=0, invited={other: rules.Invitee(rules.INVITED, now_ms)})
        held = self._hold(call, row)
        held.adopted_at = self._clock.monotonic()
        return held

    def take_over(self, now: CallNow, row: RoomRow) -> None:
        """Stands in for the focus of a call, which is away, with what it told last. Its homes speak soon, or are silent."""
        if row.room in self._by_room or len(self._held) >= limits.CALLS_MAX:
            return
        call = from_now(
            now, direct=row.kind == room.DIRECT, now_ms=self._clock.now_ms(), hours=self._limits.call_limit("hours")
        )
        held = self._hold(call, row)
        self._tell(held)

    def hand_over(self, call: bytes) -> None:
        """Another node keeps this call from now on."""
        held = self._held.pop(call, None)
        if held is not None and self._by_room.get(held.call.room) == call:
            del self._by_room[held.call.room]

    def _may_adopt(self, node: NodeId, row: RoomRow, said: SeatsNow) -> bool:
        """What would let a new call begin and its people come in."""
        if row.room in self._by_room or self._full(node) or len(said.seats) > self._limits.call_limit("participants"):
            return False
        if said.seen > limits.INTEGER_MAX - limits.CALL_VERSIONS_AHEAD:  # its versions could not rise any more
            return False
        own = all(parse_user(one.user)[1] == node and one.user in row.state.members for one in said.seats)
        by = UserId(said.by)
        if by not in row.state.members:
            return own and self._began(node, row, by, said.call)
        return own and Capability.CALL in room.capabilities(row.state, by, self._clock.now_ms())

    def _began(self, node: NodeId, row: RoomRow, by: UserId, call: bytes) -> bool:
        """Whether the log says that somebody who is not in the room any more began this call; looked up as often as one may be begun."""
        return self.affords((node, by)) and self._db.view(
            lambda tx: calls.start_of(tx, row.pk, by, call, row.head.idx) is not None
        )

    def _full(self, node: NodeId) -> bool:
        """Whether no more calls are kept, or no more of people of that node."""
        if len(self._held) >= limits.CALLS_MAX:
            return True
        theirs = sum(parse_user(held.call.by)[1] == node for held in self._held.values())
        return node != self._node and theirs >= limits.CALLS_PER_NODE_MAX

    # --- what happens elsewhere -------------------------------------------------------------------------

    def expel(self, room_id: RoomId, user: UserId) -> None:
        """`user` is a member of the room no more."""
        held = self._held.get(self._by_room.get(room_id, b""))
        if held is not None:
            self._run(held, callcommands.Expel(user))

    def merge(self, call: bytes) -> None:
        """Another call of its room goes on instead."""
        held = self._held.get(call)
        if held is not None and not held.call.ended:
            self._run(held, callcommands.Merge())

    def linked(self, node: NodeId) -> None:
        """A link to `node` opened: it hears of the calls of its rooms."""
        for held in list(self._held.values()):
            if not held.call.ended and node in self._nodes.of(self._row_of(held)):
                self.tell(node, to_now(held.call))

    def tick(self) -> None:
        """Timers, silent nodes, and what is said again."""
        now, now_ms = self._clock.monotonic(), self._clock.now_ms()
        for held in list(self._held.values()):
            if not held.call.ended:
                self._tick_silent(held, now)
            due = callcommands.deadline_ms(held.call)
            if due is not None and now_ms >= due:
                self._run(held, callcommands.Tick())
            if held.call.ended and now - held.ended_at > limits.CALL_EMPTY_S:
                del self._held[held.call.id]
            elif held.untold or (not held.call.ended and now - held.told_at >= limits.CALL_REPEAT_S):
                self._tell_others(held, now)

    def _tick_silent(self, held: _Held, now: float) -> None:
        for number, seat in list(held.call.seats.items()):
            node = parse_user(seat.user)[1]
            if node != self._node and now - held.heard.setdefault(node, now) > limits.CALL_SILENT_S:
                self._run(held, callcommands.Silence(number))

    def is_at_home(self, node: NodeId) -> bool:
        """Whether `node` is this one."""
        return node == self._node

    @property
    def idle(self) -> bool:
        """Whether nothing is kept, so that no timer runs."""
        return not self._held

    @property
    def calls(self) -> list[Call]:
        """Those that go on."""
        return [held.call for held in self._held.values() if not held.call.ended]

    # --- changing ---------------------------------------------------------------------------------------

    def _hold(self, call: Call, row: RoomRow) -> _Held:
        held = self._held[call.id] = _Held(call, row.pk)
        self._by_room[row.room] = call.id
        return held

    def _run(self, held: _Held, command: callcommands.Command) -> CallNow:
        before = held.call
        try:
            held.call = callcommands.run(before, command, self._clock.now_ms())
        finally:
            if not held.call.joined:  # its first seat was refused: it never was
                self._held.pop(held.call.id, None)
                self._by_room.pop(held.call.room, None)
        if held.call.ended and not before.ended:
            held.ended_at = self._clock.monotonic()
            self._by_room.pop(held.call.room, None)
        if held.call.version != before.version:
            held.since = {seat: count for seat, count in held.since.items() if seat in held.call.seats}
            self._tell(held)
        return to_now(held.call)

    def _row_of(self, held: _Held) -> RoomRow:
        return self._db.view(lambda tx: self._rooms.peek_pk(tx, held.room_pk))

    def _tell(self, held: _Held) -> None:
        """This node at once; the others too, unless they were told a moment ago: then with the next tick."""
        now = self._clock.monotonic()
        held.untold = True
        if held.call.ended or now - held.told_at >= limits.CALL_TELL_EVERY_S:
            self._tell_others(held, now)
        self.tell(self._node, to_now(held.call))

    def _tell_others(self, held: _Held, now: float) -> None:
        held.told_at, held.untold = now, False
        said = to_now(held.call)
        for node in self._nodes.of(self._row_of(held)):
            self.tell(node, said)


def _unsilenced(row: RoomRow) -> room.Room:
    return replace(row.state, muted_all=False)


def to_now(call: Call) -> CallNow:
    """The call as nodes are told of it."""
    seats = tuple(
        wire.SeatNow(
            number, seat.user, seat.state, seat.flags.mic, seat.flags.camera, seat.flags.screen, seat.flags.hand,
            seat.flags.sources, seat.muted, seat.joined_ms,
        )
        for number, seat in call.seats.items()
    )  # fmt: skip
    invited = tuple(wire.InvitedNow(user, one.state, one.at_ms) for user, one in call.invited.items())
    return CallNow(
        call.id, call.room, call.version, call.media, call.by, call.started_ms, call.live_ms, seats, invited, call.gone,
        call.result, call.ended_ms, len(call.joined),
    )  # fmt: skip


def over(said: SeatsNow) -> CallNow:
    """What a home is told of a call that is not here."""
    gone = {one.seat: rules.ENDED for one in said.seats}
    return CallNow(
        said.call, said.room, said.seen + 1, said.media, said.by, said.started_ms, 0, (), (), gone, rules.ENDED
    )


def from_now(now: CallNow, *, direct: bool, now_ms: int, hours: int) -> Call:
    """The call that nodes were told of, to go on with."""
    seats = {
        one.seat: rules.Seat(
            user=UserId(one.user), state=one.state, joined_ms=one.joined_ms, since_ms=now_ms, muted=one.muted,
            flags=Flags(one.mic, one.camera, one.screen, one.hand, tuple(one.sources)),
        )
        for one in now.seats
    }  # fmt: skip
    call = rules.start(
        call=now.call,
        room=RoomId(now.room),
        direct=direct,
        media=now.media,
        by=UserId(now.by),
        now_ms=now.started_ms,
        hours=hours,
    )
    return replace(
        call, seats=seats, version=now.version + 1, live_ms=now.live_ms, gone=dict(now.gone),
        invited={UserId(one.user): rules.Invitee(one.state, one.at_ms) for one in now.invited},
        joined=tuple(dict.fromkeys(UserId(one.user) for one in now.seats)),
    )  # fmt: skip


def _was_given_up(call: Call, said: SeatsNow) -> bool:
    """Whether a group call ended here only because nothing was heard of its homes, and goes on there."""
    return not call.direct and any(
        call.gone.get(one.seat) == rules.FAILED and one.state == rules.LIVE for one in said.seats
    )
