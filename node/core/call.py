"""A call: who is called, who is in it, what each device shows; and how each event changes it. `evolve` never fails for an event that was
decided (core/callcommands.py).

A call belongs to a room and is kept by its *focus* (services/focus.py), which is the only one that decides. A *seat* is one device's
place. A call *rings* until a second person is in it; then it is *live*; *ended* is final. Somebody who was called waits as *invited* (no
device rang yet) or *ringing*; a seat is *connecting* (no media yet), *live* or *reconnecting* (its media or its socket is gone).
"""

from __future__ import annotations

from typing import Final, assert_never

from msgspec import Struct
from msgspec.structs import replace

from node.base import limits
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


def start(*, call: bytes, room: RoomId, direct: bool, media: str, by: UserId, now_ms: int, hours: int) -> Call:
    """A new call that nobody was called to and nobody is in yet; it lasts `hours` at most."""
    until_ms = now_ms + hours * 3_600_000
    return Call(id=call, room=room, direct=direct, media=media, by=by, started_ms=now_ms, until_ms=until_ms)


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
        gone={number: reason for number, reason in call.gone.items() if number != event.seat},
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
