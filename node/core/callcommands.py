"""Commands about a call: which are legal, and what time alone brings. `decide`, then `call.evolve`; timers are values.

    decide(call, command, now_ms) -> events       raises Rejected; changes nothing
    deadline_ms(call) -> when `Tick` is due next

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
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import UserId
from node.core.call import (
    ANSWERED,
    BUSY,
    CANCELLED,
    CONNECTING,
    DECLINED,
    ENDED,
    FAILED,
    INVITED,
    LEFT,
    MERGED,
    MISSED,
    MOVED,
    RECONNECTING,
    REMOVED,
    RINGING,
    UNREACHABLE,
    WAITING,
    Answered,
    Call,
    Called,
    Changed,
    Event,
    Flags,
    Invitee,
    Muted,
    Over,
    Seat,
    Seated,
    Unseated,
    evolve,
)


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
