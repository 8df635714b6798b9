"""A call: who is called, who is in it, how long each waits. `decide` then `evolve`, with timers as values.

    decide(call, command, now_ms) -> events       raises Rejected; changes nothing
    evolve(call, event, now_ms) -> call            never fails for an event that was decided
    deadline_ms(call) -> when `Tick` is due next

A call belongs to a room and is kept by its *focus* (services/focus.py), which is the only one that decides. A *seat* is one device's
place. A call *rings* until a second person is in it; then it is *live*; *ended* is final. Somebody who was called waits as *invited* (no
device rang yet) or *ringing*; a seat is *connecting* (no media yet), *live* or *reconnecting* (its media or its socket is gone).

==================  =============================================================  ==========================
waits               is left by                                                     timer, then
==================  =============================================================  ==========================
invited             ring; join; decline, busy                                      15 s, unreachable
ringing             join; decline, busy                                            45 s since called, missed
seat connecting     media -> live                                                  15 s in a live call, failed
seat live           media or socket gone -> reconnecting; leave, remove            –
seat reconnecting   media and socket back -> live                                  30 s, failed
call ringing        second person -> live; nobody is left to wait for -> ended     those of the people called
call live           last one out -> ended (a group: after 60 s without anybody)    24 h
==================  =============================================================  ==========================

A direct call is a group call of two that ends when one of them says no, does not answer, or goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

from msgspec import Struct
from msgspec.structs import replace

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import RoomId, UserId

INVITED: Final = "invited"
RINGING: Final = "ringing"
WAITING: Final = frozenset({INVITED, RINGING})
CONNECTING: Final = "connecting"
LIVE: Final = "live"
RECONNECTING: Final = "reconnecting"
DECLINED, BUSY, MISSED, UNREACHABLE = "declined", "busy", "missed", "unreachable"
ANSWERED, CANCELLED, FAILED, ENDED = "answered", "cancelled", "failed", "ended"
LEFT, REMOVED, MOVED, MERGED = "left", "removed", "moved", "merged"


class Invitee(Struct, frozen=True):
    """Somebody who was called and has no seat."""

    state: str
    at_ms: int


class Flags(Struct, frozen=True):
    """What a device sends and shows. `sources` are those whose media its node has seen."""

    mic: bool = False
    camera: bool = False
    screen: bool = False
    hand: bool = False
    sources: tuple[str, ...] = ()


class Seat(Struct, frozen=True, kw_only=True):
    """One device in the call. `since_ms` is when its state began; `muted` by a moderator, since version `muted_at`."""

    user: UserId
    state: str = CONNECTING
    joined_ms: int
    since_ms: int
    flags: Flags = Flags()
    muted: bool = False
    muted_at: int = 0


class Call(Struct, frozen=True, kw_only=True):
    """State of a call. `live_ms` 0: it rings. `joined` are all who ever were in it; `gone` says why the last seats left."""

    id: bytes
    room: RoomId
    direct: bool
    media: str
    by: UserId
    started_ms: int
    until_ms: int
    version: int = 0
    live_ms: int = 0
    empty_ms: int = 0
    result: str = ""
    ended_ms: int = 0
    seats: dict[bytes, Seat] = {}
    invited: dict[UserId, Invitee] = {}
    joined: tuple[UserId, ...] = ()
    left: dict[UserId, int] = {}
    gone: dict[bytes, str] = {}

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return bool(self.result)

    @property
    def missed(self) -> tuple[UserId, ...]:
        """Who was called and heard of it too late."""
        return tuple(user for user, one in self.invited.items() if one.state in {MISSED, UNREACHABLE, CANCELLED})


# --- commands -------------------------------------------------------------------------------------------


class Invite(Struct, frozen=True):
    """People are called."""

    users: tuple[UserId, ...]


class Ring(Struct, frozen=True):
    """A device of `user` rings."""

    user: UserId


class Join(Struct, frozen=True):
    """`user` comes in with `seat`. `old` is a seat of the same person whose place it takes. `seats_max` is a live setting."""

    user: UserId
    seat: bytes
    old: bytes
    seats_max: int


class Answer(Struct, frozen=True):
    """`user` says no (`busy`: is in another call)."""

    user: UserId
    busy: bool


class Leave(Struct, frozen=True):
    """A device goes."""

    seat: bytes


class Finish(Struct, frozen=True):
    """Somebody who may do so ends it for everybody."""


class Remove(Struct, frozen=True):
    """A moderator takes a seat out."""

    seat: bytes


class Mute(Struct, frozen=True):
    """A moderator mutes a microphone."""

    seat: bytes


class Report(Struct, frozen=True):
    """What the home node of a seat says of it: its state, what its device sends; `seen` is the version of the call it knew then."""

    seat: bytes
    state: str
    flags: Flags
    seen: int


class Drop(Struct, frozen=True):
    """A seat is no more, and nobody said why (`reason` failed), or its person left the room (removed)."""

    seat: bytes
    reason: str


class Expel(Struct, frozen=True):
    """`user` is a member of the room no more."""

    user: UserId


class Silence(Struct, frozen=True):
    """The home node of this seat says nothing any more."""

    seat: bytes


class Merge(Struct, frozen=True):
    """Another call of the room, with a smaller id, goes on instead."""


class Tick(Struct, frozen=True):
    """Time has passed."""


Command = (
    Invite | Ring | Join | Answer | Leave | Finish | Remove | Mute | Report | Drop | Expel | Silence | Merge | Tick
)

# --- events ---------------------------------------------------------------------------------------------


class Called(Struct, frozen=True):
    """Somebody waits as invited."""

    user: UserId


class Answered(Struct, frozen=True):
    """The state of somebody who was called is this now."""

    user: UserId
    state: str


class Seated(Struct, frozen=True):
    """A device is in."""

    seat: bytes
    user: UserId


class Unseated(Struct, frozen=True):
    """A device is out."""

    seat: bytes
    reason: str


class Changed(Struct, frozen=True):
    """State and flags of a seat are these now."""

    seat: bytes
    state: str
    flags: Flags


class Muted(Struct, frozen=True):
    """A moderator muted a seat, or its device opened the microphone again."""

    seat: bytes
    on: bool


class Over(Struct, frozen=True):
    """The call is over."""

    result: str


Event = Called | Answered | Seated | Unseated | Changed | Muted | Over


# --- decide ---------------------------------------------------------------------------------------------


def start(*, call: bytes, room: RoomId, direct: bool, media: str, by: UserId, now_ms: int, hours: int) -> Call:
    """A new call that nobody was called to and nobody is in yet; it lasts `hours` at most."""
    until_ms = now_ms + hours * 3_600_000
    return Call(id=call, room=room, direct=direct, media=media, by=by, started_ms=now_ms, until_ms=until_ms)


def run(call: Call, command: Command, now_ms: int) -> Call:
    """`decide` and `evolve` in one. Raises Rejected."""
    for event in decide(call, command, now_ms):
        call = evolve(call, event, now_ms)
    return call


def decide(call: Call, command: Command, now_ms: int) -> list[Event]:
    """What `command` comes to. Raises Rejected: `gone` when the call is over."""
    if call.ended:
        raise Rejected(Code.GONE, "This call is over.")
    events = _decide(call, command, now_ms)
    if not any(isinstance(event, Over) for event in events):
        after = call
        for event in events:
            after = evolve(after, event, now_ms)
        if (result := _outcome(after, now_ms)) is not None:
            events.append(Over(result))
    return events


def _decide(call: Call, command: Command, now_ms: int) -> list[Event]:
    match command:
        case Invite() | Ring() | Answer():
            return _decide_called(call, command, now_ms)
        case Join():
            return _join(call, command)
        case Leave() | Remove() | Drop():
            return _unseat(call, command)
        case Finish():
            return [Over(ENDED if call.live_ms else CANCELLED)]
        case Mute():
            _seat(call, command.seat)
            return [Muted(command.seat, on=True)]
        case Report():
            return _report(call, command)
        case Expel():
            return _expel(call, command.user)
        case Silence():
            seat = _seat(call, command.seat)
            return [] if seat.state == RECONNECTING else [Changed(command.seat, RECONNECTING, seat.flags)]
        case Merge():
            return [Over(MERGED)]
        case Tick():
            return _tick(call, now_ms)
        case _:
            assert_never(command)


def _decide_called(call: Call, command: Invite | Ring | Answer, now_ms: int) -> list[Event]:
    if isinstance(command, Invite):
        return _invite(call, command.users, now_ms)
    one = call.invited.get(command.user)
    if isinstance(command, Ring):
        return [Answered(command.user, RINGING)] if one is not None and one.state == INVITED else []
    if one is None or one.state not in WAITING:
        raise Rejected(Code.ALREADY_DONE, "This call does not ring for you any more.")
    return [Answered(command.user, BUSY if command.busy else DECLINED)]


def _seat(call: Call, seat: bytes) -> Seat:
    found = call.seats.get(seat)
    if found is None:
        raise Rejected(Code.NOT_FOUND, "This device is not in the call any more.", field="seat")
    return found


def _invite(call: Call, users: Sequence[UserId], now_ms: int) -> list[Event]:
    inside = {seat.user for seat in call.seats.values()}
    called = [
        user
        for user in dict.fromkeys(users)
        if user not in inside
        and not (user in call.invited and call.invited[user].state in WAITING)
        and now_ms - call.left.get(user, 0) >= limits.CALL_REENTRY_S * 1000
    ]
    waiting = sum(one.state in WAITING for one in call.invited.values())
    if waiting + len(called) > limits.CALL_TARGETS_MAX:
        raise Rejected(Code.LIMIT_REACHED, "32 people can be called at once.", limit=limits.CALL_TARGETS_MAX)
    return [Called(user) for user in called]


def _join(call: Call, command: Join) -> list[Event]:
    if command.seat in call.seats:
        if call.seats[command.seat].user != command.user:
            raise Rejected(Code.CONFLICT, "This seat is taken.", field="seat")
        return []
    mine = [seat for seat, one in call.seats.items() if one.user == command.user]
    events: list[Event] = []
    if mine:
        if command.old not in mine:
            raise Rejected(Code.ALREADY_DONE, "Another device of yours is in this call.")
        events = [Unseated(seat, MOVED) for seat in mine]
        if any(call.seats[seat].muted for seat in mine):  # coming back is no way out
            return [*events, Seated(command.seat, command.user), Muted(command.seat, on=True)]
    elif len(call.seats) >= command.seats_max:
        raise Rejected(Code.LIMIT_REACHED, "This call is full.", limit=command.seats_max, used=len(call.seats))
    return [*events, Seated(command.seat, command.user)]


def _unseat(call: Call, command: Leave | Remove | Drop) -> list[Event]:
    _seat(call, command.seat)
    reason = LEFT if isinstance(command, Leave) else REMOVED if isinstance(command, Remove) else command.reason
    return [Unseated(command.seat, reason)]


def _report(call: Call, command: Report) -> list[Event]:
    """A report that was sent before a mute was known does not undo it, since it says nothing about it."""
    seat = _seat(call, command.seat)
    flags, events = command.flags, list[Event]()
    if seat.muted and flags.mic:
        if command.seen >= seat.muted_at:
            events.append(Muted(command.seat, on=False))
        else:
            flags = replace(flags, mic=False)
    state = CONNECTING if command.state == RECONNECTING and seat.state == CONNECTING else command.state
    if seat.state != CONNECTING and state == CONNECTING:
        state = RECONNECTING
    if (state, flags) != (seat.state, seat.flags):
        events.append(Changed(command.seat, state, flags))
    return events


def _expel(call: Call, user: UserId) -> list[Event]:
    events: list[Event] = [Unseated(seat, REMOVED) for seat, one in call.seats.items() if one.user == user]
    if user in call.invited and call.invited[user].state in WAITING:
        events.append(Answered(user, CANCELLED))
    return events


def _tick(call: Call, now_ms: int) -> list[Event]:
    if now_ms >= call.until_ms:
        return [Over(ENDED if call.live_ms else CANCELLED)]
    events: list[Event] = []
    for user, one in call.invited.items():
        if one.state in WAITING and now_ms >= _invitee_until(one):
            events.append(Answered(user, UNREACHABLE if one.state == INVITED else MISSED))
    for number, seat in call.seats.items():
        until_ms = _seat_until(call, seat)
        if until_ms is not None and now_ms >= until_ms:
            events.append(Unseated(number, FAILED))
    return events


def _invitee_until(one: Invitee) -> int:
    return one.at_ms + 1000 * (limits.CALL_UNREACHABLE_S if one.state == INVITED else limits.CALL_RING_S)


def _seat_until(call: Call, seat: Seat) -> int | None:
    """A caller whose call rings has nobody to send to yet."""
    if seat.state == RECONNECTING:
        return seat.since_ms + limits.CALL_RECONNECT_S * 1000
    if seat.state == CONNECTING and call.live_ms:
        return max(seat.since_ms, call.live_ms) + limits.CALL_CONNECT_S * 1000
    return None


def deadline_ms(call: Call) -> int | None:
    """When `Tick` has something to do; None for a call that is over."""
    if call.ended:
        return None
    times = [call.until_ms]
    times += [_invitee_until(one) for one in call.invited.values() if one.state in WAITING]
    times += [until for seat in call.seats.values() if (until := _seat_until(call, seat)) is not None]
    if call.empty_ms:
        times.append(call.empty_ms + limits.CALL_EMPTY_S * 1000)
    return min(times)


def _outcome(call: Call, now_ms: int) -> str | None:
    """How it ends, if nothing keeps it."""
    waiting = any(one.state in WAITING for one in call.invited.values())
    if call.live_ms:
        if call.direct and len(call.seats) < 2:  # a talk of two is over when one goes
            return FAILED if FAILED in call.gone.values() and not _talked(call) else ANSWERED
        if not call.seats and not call.direct and now_ms - call.empty_ms >= limits.CALL_EMPTY_S * 1000:
            return ANSWERED
        return None
    if not call.seats and call.joined:
        return CANCELLED if waiting or call.direct else ANSWERED if len(call.joined) > 1 else CANCELLED
    if call.direct and call.invited and not waiting:
        return next(one.state for one in call.invited.values())
    return None


def _talked(call: Call) -> bool:
    """Whether the media of anybody who is left, or of whoever left in peace, ever went."""
    return any(seat.state != CONNECTING for seat in call.seats.values()) or LEFT in call.gone.values()


# --- evolve ---------------------------------------------------------------------------------------------


def evolve(call: Call, event: Event, now_ms: int) -> Call:
    """The call after `event`."""
    call = replace(call, version=call.version + 1)
    match event:
        case Called():
            return replace(call, invited=_called(call, event.user, now_ms))
        case Answered():
            one = call.invited[event.user]
            return replace(call, invited={**call.invited, event.user: Invitee(event.state, one.at_ms)})
        case Seated():
            return _seated(call, event, now_ms)
        case Unseated():
            return _unseated(call, event, now_ms)
        case Changed():
            seat = call.seats[event.seat]
            since_ms = seat.since_ms if event.state == seat.state else now_ms
            seat = replace(seat, state=event.state, flags=event.flags, since_ms=since_ms)
            return replace(call, seats={**call.seats, event.seat: seat})
        case Muted():
            seat = call.seats[event.seat]
            flags = replace(seat.flags, mic=False) if event.on else seat.flags
            seat = replace(seat, muted=event.on, muted_at=call.version, flags=flags)
            return replace(call, seats={**call.seats, event.seat: seat})
        case Over():
            return _over(call, event, now_ms)
        case _:
            assert_never(event)


def _called(call: Call, user: UserId, now_ms: int) -> dict[UserId, Invitee]:
    """Who answered longest ago is forgotten when there are too many."""
    invited = {**call.invited, user: Invitee(INVITED, now_ms)}
    for other in list(invited):
        if len(invited) > limits.CALL_INVITED_MAX and invited[other].state not in WAITING:
            del invited[other]
    return invited


def _seated(call: Call, event: Seated, now_ms: int) -> Call:
    seat = Seat(user=event.user, joined_ms=now_ms, since_ms=now_ms)
    seats = {**call.seats, event.seat: seat}
    live = call.live_ms or (now_ms if len({one.user for one in seats.values()}) > 1 else 0)
    return replace(
        call,
        seats=seats,
        live_ms=live,
        empty_ms=0,
        invited={user: one for user, one in call.invited.items() if user != event.user},
        joined=call.joined if event.user in call.joined else (*call.joined, event.user),
    )


def _unseated(call: Call, event: Unseated, now_ms: int) -> Call:
    user = call.seats[event.seat].user
    seats = {number: seat for number, seat in call.seats.items() if number != event.seat}
    gone = {**call.gone, event.seat: event.reason}
    if len(gone) > limits.CALL_GONE_MAX:
        del gone[next(iter(gone))]
    left = {one: at for one, at in call.left.items() if now_ms - at < limits.CALL_REENTRY_S * 1000} | {user: now_ms}
    return replace(call, seats=seats, gone=gone, left=left, empty_ms=0 if seats else now_ms)


def _over(call: Call, event: Over, now_ms: int) -> Call:
    """Who still waited for an answer is told that it was taken back."""
    invited = {
        user: Invitee(CANCELLED, one.at_ms) if one.state in WAITING else one for user, one in call.invited.items()
    }
    gone = call.gone | dict.fromkeys(call.seats, event.result)
    return replace(call, result=event.result, ended_ms=now_ms, invited=invited, seats={}, gone=gone)


def winner(one: bytes, other: bytes) -> bytes:
    """Which of two calls of one room goes on: the smaller id."""
    return min(one, other)
