"""Frames of calls, part of ``startalk.c2s.1`` (node/wire/c2s.py). The specification is docs/spec/media.md.

A *call* has 16 random bytes as its id and belongs to a room; a *seat* (8 random bytes) is one device's place in it. A *track* is
named by its seat and its *source*: ``mic``, ``camera``, ``screen`` or ``sound`` (of the shared screen). A device has two media
transports to its own node: *up* (it offers, the node answers) and *down* (the node offers, it answers).

Nothing here is stored. The node's frames about a call carry full state with a rising `version`, so a lost or late one does no harm.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from node.base import limits
from node.wire.frame import Frame, Id16, Id32, Int

Seat = Annotated[bytes, Meta(min_length=8, max_length=8)]
Source = Annotated[str, Meta(pattern="^(mic|camera|screen|sound)$")]
Media = Annotated[str, Meta(pattern="^(audio|video)$")]
Mid = Annotated[str, Meta(min_length=1, max_length=16)]
Sdp = Annotated[str, Meta(max_length=limits.SDP_BYTES_MAX)]
User = Annotated[str, Meta(max_length=85)]


# --- device -> node -------------------------------------------------------------------------------------


class CallStart(Frame, tag="call_start", frozen=True):
    """Calls people of `room`: rings `targets` (empty: everybody in a direct chat, nobody in a group). Answered by `CallSeat` or
    `Refused` (`busy`: there is a call in this room already, `call` in the detail; join it. Or this user is in another call). Whoever
    is called by the call of the room accepts it with this; whoever is in it calls more people, and is answered with the present seat."""

    n: Int
    room: Id32
    media: Media
    targets: Annotated[tuple[User, ...], Meta(max_length=limits.CALL_TARGETS_MAX)] = ()


class CallRinging(Frame, tag="call_ringing", frozen=True):
    """This device rings for `call`. Not answered."""

    call: Id16


class CallJoin(Frame, tag="call_join", frozen=True):
    """Accepts a ringing call, enters a live one, or comes back to it: `seat` is the old one then, whose place the new one takes (its media
    is gone; on another device of the same user the call moves there). A device whose socket was lost while its media goes on need not
    come back: any frame with its seat, or the next hello, makes the new socket the seat's. Answered by `CallSeat` or `Refused`
    (`already_done`: another device of this user accepted first)."""

    n: Int
    call: Id16
    seat: Annotated[bytes, Meta(max_length=8)] = b""


class CallDecline(Frame, tag="call_decline", frozen=True):
    """No, on every device of this user. Answered by `Done`."""

    n: Int
    call: Id16
    busy: bool = False  # the user is in another call


class CallLeave(Frame, tag="call_leave", frozen=True):
    """Leaves; a caller who leaves while it rings cancels it. `everybody`: ends the call for all (starter, owner, admin).
    Answered by `Done`."""

    n: Int
    call: Id16
    seat: Seat
    everybody: bool = False


class CallRemove(Frame, tag="call_remove", frozen=True):
    """A moderator (owner or admin of the room, or the starter) takes a seat out (`mute` false), or mutes its microphone.
    Answered by `Done`."""

    n: Int
    call: Id16
    seat: Seat
    mute: bool = False


class CallUp(Frame, tag="call_up", frozen=True):
    """SDP offer of the up transport; `sources` names the source of each m-line by its mid. Said again with every change and to
    restart ICE. Answered by `CallSdp`."""

    n: Int
    call: Id16
    seat: Seat
    sdp: Sdp
    sources: Annotated[dict[Mid, Source], Meta(max_length=limits.CALL_TRACKS_MAX)]


class CallDown(Frame, tag="call_down", frozen=True):
    """SDP answer of the down transport, to the `CallOffer` of that version. Answered by `Done`."""

    n: Int
    call: Id16
    seat: Seat
    version: Int
    sdp: Sdp


class CallRestart(Frame, tag="call_restart", frozen=True):
    """The down transport is broken: please offer it anew with new ICE credentials (a `CallOffer` follows). Not answered."""

    call: Id16
    seat: Seat


class CallState(Frame, tag="call_state", frozen=True):
    """What this device sends and shows, for the roster: microphone open, camera on, screen shared, hand up. Not answered."""

    call: Id16
    seat: Seat
    mic: bool = False
    camera: bool = False
    screen: bool = False
    hand: bool = False


class Wish(Struct, frozen=True, array_like=True):
    """How one track is wanted: shown at most `width` pixels wide (0: paused); `pinned`: before others."""

    seat: Seat
    source: Source
    width: Annotated[int, Meta(ge=0, le=8192)]
    pinned: bool = False


class CallWant(Frame, tag="call_want", frozen=True):
    """How this device wants the tracks of others, all of them anew; one that is not named is wanted as the node sees fit.
    Not answered."""

    call: Id16
    seat: Seat
    wishes: Annotated[tuple[Wish, ...], Meta(max_length=limits.CALL_WISHES_MAX)]


# --- node -> device -------------------------------------------------------------------------------------


class CallSeat(Frame, tag="call_seat", frozen=True):
    """Answer to `CallStart` and `CallJoin`: this device is in. `reconnect_s` is how long the seat is kept without media."""

    n: int
    call: bytes
    seat: bytes
    room: bytes
    reconnect_s: int
    video: bool = True  # whether this node forwards video now


class CallSdp(Frame, tag="call_sdp", frozen=True):
    """Answer to `CallUp`."""

    n: int
    sdp: str


class CallOffer(Frame, tag="call_offer", frozen=True):
    """SDP offer of the down transport. `tracks` says whose each m-line is, by mid; an m-line not named is not in use."""

    call: bytes
    seat: bytes
    version: int
    sdp: str
    tracks: dict[str, tuple[bytes, str]]


class Ring(Frame, tag="ring", frozen=True):
    """Somebody calls: ring until `expires_ms`, or until `CallRoster` or `CallOver` says otherwise. Answer with `CallRinging`,
    then `CallJoin` or `CallDecline`."""

    call: bytes
    room: bytes
    by: str
    media: str
    expires_ms: int


class Participant(Struct, frozen=True, array_like=True):
    """One seat. `state`: connecting, live, reconnecting."""

    seat: bytes
    user: str
    state: str
    mic: bool
    camera: bool
    screen: bool
    hand: bool
    muted: bool  # by a moderator; until its device opens the microphone again
    joined_ms: int


class Invited(Struct, frozen=True, array_like=True):
    """Somebody who was called and has no seat. `state`: invited, ringing, declined, busy, missed, unreachable."""

    user: str
    state: str


class CallRoster(Frame, tag="call_roster", frozen=True):
    """A call of a room and everybody in it, whole; sent to the room's devices, in the call or not. `state`: ringing, live."""

    call: bytes
    room: bytes
    version: int
    media: str
    by: str
    state: str
    started_ms: int
    participants: tuple[Participant, ...]
    invited: tuple[Invited, ...]


class CallOver(Frame, tag="call_over", frozen=True):
    """This call is over for this device: stop ringing, close its media. `reason`: accepted_elsewhere, declined_elsewhere, cancelled,
    missed, declined, busy, unreachable, failed, ended, left, removed, moved, restarting (the relay or the node starts again: come
    back with `CallJoin` and the old seat)."""

    call: bytes
    room: bytes
    reason: str


class CallSpeakers(Frame, tag="call_speakers", frozen=True):
    """Who speaks, loudest first; at most four a second, only on change."""

    call: bytes
    seats: tuple[bytes, ...]


class CallQuality(Frame, tag="call_quality", frozen=True):
    """How this device's media goes, each few seconds: loss in per mille and kbit/s of both directions, round trip in ms (-1: not
    known); `level` 0 (bad) to 3 (good); `audio_only`: there is no room for video. `layers` says how many layers of a source of this
    seat somebody looks at, lowest first (a track without simulcast has one): the others need not be sent. A source that is not named is
    wanted whole. Said at once when somebody looks again."""

    call: bytes
    seat: bytes
    level: int
    up_loss: int
    up_kbps: int
    down_loss: int
    down_kbps: int
    rtt_ms: int
    audio_only: bool = False
    layers: dict[str, int] = field(default_factory=dict)


DeviceCallFrame = (
    CallStart | CallRinging | CallJoin | CallDecline | CallLeave | CallRemove | CallUp | CallDown | CallRestart | CallState | CallWant
)  # fmt: skip
NodeCallFrame = CallSeat | CallSdp | CallOffer | Ring | CallRoster | CallOver | CallSpeakers | CallQuality
