"""What the nodes of a call say to each other: the *focus*, which keeps the call, and the *homes* of the people in it.

A home **asks** the focus (``call.ask``, a request): to begin, to come in, to go. The focus **tells** every node of the room how the call
stands (``call.now``, a whisper): whole, with a rising version, again every few seconds. A home tells the focus of its own seats and of
whoever rings there (``call.seats``, a whisper), whole, with a rising `count`, likewise. So a lost whisper is healed by the next one, and a
focus that lost its memory has it back from the homes.

Homes join their relays by two halves of a pipe (``call.pipe``) and say which tracks they want (``call.want``). A half holds addresses and
keys of media; it is opaque here and goes over the authenticated link only. The specification is docs/spec/media.md.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from node.base import limits
from node.wire.calling import Media, Seat, Source, User
from node.wire.codec import Decoder, encode
from node.wire.frame import Id16, Id32, Int

ASK: Final = "call.ask"
PIPE: Final = "call.pipe"
WANT: Final = "call.want"
NOW: Final = "call.now"
SEATS: Final = "call.seats"

Users = Annotated[tuple[User, ...], Meta(max_length=limits.CALL_TARGETS_MAX)]
Sources = Annotated[tuple[Source, ...], Meta(max_length=limits.CALL_TRACKS_MAX)]
SeatState = Annotated[str, Meta(pattern="^(connecting|live|reconnecting)$")]
InviteeState = Annotated[str, Meta(pattern="^(invited|ringing|declined|busy|missed|unreachable|cancelled)$")]
Word = Annotated[str, Meta(max_length=16, pattern="^[a-z_]*$")]
SEATS_MAX: Final = limits.CALL_PARTICIPANTS_MAX


# --- requests to the focus ------------------------------------------------------------------------------


class AskStart(Struct, frozen=True, array_like=True, tag="start"):
    """`user` calls `targets` in `room`, with `seat`; `call` is the id if there is no call yet."""

    call: Id16
    room: Id32
    user: User
    seat: Seat
    count: Int
    media: Media
    targets: Users


class AskJoin(Struct, frozen=True, array_like=True, tag="join"):
    """`user` comes in with `seat`, in the place of `old` if that is not empty."""

    call: Id16
    room: Id32
    user: User
    seat: Seat
    count: Int
    old: Annotated[bytes, Meta(max_length=8)] = b""


class AskAnswer(Struct, frozen=True, array_like=True, tag="answer"):
    """`user` says no."""

    call: Id16
    room: Id32
    user: User
    busy: bool = False


class AskLeave(Struct, frozen=True, array_like=True, tag="leave"):
    """`seat`, of `user`, goes; `everybody`: the call ends."""

    call: Id16
    room: Id32
    user: User
    seat: Seat
    everybody: bool = False


class AskRemove(Struct, frozen=True, array_like=True, tag="remove"):
    """`user` takes `seat` out, or mutes it."""

    call: Id16
    room: Id32
    user: User
    seat: Seat
    mute: bool = False


Ask = AskStart | AskJoin | AskAnswer | AskLeave | AskRemove


# --- whispers -------------------------------------------------------------------------------------------


class SeatNow(Struct, frozen=True, array_like=True):
    """One seat. `muted` and `joined_ms` are the focus's to say."""

    seat: Seat
    user: User
    state: SeatState
    mic: bool = False
    camera: bool = False
    screen: bool = False
    hand: bool = False
    sources: Sources = ()
    muted: bool = False
    joined_ms: Int = 0


class InvitedNow(Struct, frozen=True, array_like=True):
    """Somebody who was called."""

    user: User
    state: InviteeState
    at_ms: Int


class CallNow(Struct, frozen=True, array_like=True):
    """Focus to homes: the whole call; also the answer to every request. `live_ms` 0: it rings; `result` empty: it goes on."""

    call: Id16
    room: Id32
    version: Int
    media: Media
    by: User
    started_ms: Int
    live_ms: Int
    seats: Annotated[tuple[SeatNow, ...], Meta(max_length=SEATS_MAX)]
    invited: Annotated[tuple[InvitedNow, ...], Meta(max_length=limits.CALL_INVITED_MAX)]
    gone: Annotated[dict[Seat, Word], Meta(max_length=limits.CALL_GONE_MAX + SEATS_MAX)] = {}
    result: Word = ""
    ended_ms: Int = 0
    joined: Int = 0


class SeatsNow(Struct, frozen=True, array_like=True):
    """Home to focus: all my seats and for whom devices ring. `seen` is the version of the call I know; `media`, `by` and `started_ms` as
    I know them."""

    call: Id16
    room: Id32
    count: Int
    seen: Int
    seats: Annotated[tuple[SeatNow, ...], Meta(max_length=SEATS_MAX)]
    ringing: Users
    media: Media
    by: User
    started_ms: Int


# --- between homes --------------------------------------------------------------------------------------


class PipeHalf(Struct, frozen=True, array_like=True):
    """``call.pipe`` and its answer: one side's half. Empty in a request: please begin the pipe anew; then the answer is empty."""

    call: Id16
    half: Annotated[bytes, Meta(max_length=limits.CALL_HALF_BYTES_MAX)] = b""


class WantedTrack(Struct, frozen=True, array_like=True):
    """How the asking home wants a track: at most `width` pixels wide, 0 paused."""

    seat: Seat
    source: Source
    width: Annotated[int, Meta(ge=0, le=8192)]
    pinned: bool = False


class PipeWant(Struct, frozen=True, array_like=True):
    """``call.want``: all tracks of the asked home that the asking one wants."""

    call: Id16
    tracks: Annotated[tuple[WantedTrack, ...], Meta(max_length=limits.CALL_WISHES_MAX)]


decode_ask: Decoder[Ask] = Decoder(Ask, what="request")
decode_now: Decoder[CallNow] = Decoder(CallNow, what="call")
decode_seats: Decoder[SeatsNow] = Decoder(SeatsNow, what="whisper")
decode_half: Decoder[PipeHalf] = Decoder(PipeHalf, what="request")
decode_want: Decoder[PipeWant] = Decoder(PipeWant, what="request")


def encode_said(said: Struct) -> bytes:
    """Bytes of any of these."""
    return encode(said)
